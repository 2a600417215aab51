package pki_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"gantry.example/internal/pki"
)

// acmeStub is as much of an ACME authority (RFC 8555) as one order needs. It believes signatures, and checks challenges: by a
// TLS handshake with tlsAt, or on plain HTTP with httpAt where that is not empty.
type acmeStub struct {
	*httptest.Server
	t             *testing.T
	tlsAt, httpAt string
	key           *ecdsa.PrivateKey

	mu      sync.Mutex
	status  string // of the order; guarded by mu like all below
	issued  []byte
	orders  int
	contact []string
}

func newACMEStub(t *testing.T) *acmeStub {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := &acmeStub{t: t, key: key, status: "pending"}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

func (s *acmeStub) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Replay-Nonce", rand.Text())
	var jws struct{ Payload string }
	body, _ := io.ReadAll(r.Body)
	_ = json.Unmarshal(body, &jws)
	payload, _ := base64.RawURLEncoding.DecodeString(jws.Payload)
	answer := func(status int, v any) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	order := map[string]any{
		"status": s.status, "authorizations": []string{s.URL + "/authz"}, "finalize": s.URL + "/finalize", "certificate": s.URL + "/cert",
	}
	kind := map[bool]string{true: "http-01", false: "tls-alpn-01"}[s.httpAt != ""]
	challenge := map[string]any{"type": kind, "url": s.URL + "/challenge", "token": "token", "status": s.status}
	switch r.URL.Path {
	case "/":
		answer(200, map[string]any{"newNonce": s.URL + "/nonce", "newAccount": s.URL + "/account", "newOrder": s.URL + "/order"})
	case "/account":
		var in struct{ Contact []string }
		_ = json.Unmarshal(payload, &in)
		s.contact = in.Contact
		w.Header().Set("Location", s.URL+"/account/1")
		answer(201, map[string]string{"status": "valid"})
	case "/order":
		s.orders++
		w.Header().Set("Location", s.URL+"/order/1")
		answer(201, order)
	case "/order/1":
		answer(200, order)
	case "/authz":
		answer(200, map[string]any{
			"status": map[bool]string{true: "pending", false: "valid"}[s.status == "pending"], "challenges": []any{challenge},
			"identifier": map[string]string{"type": "dns", "value": "gantry.test"},
		})
	case "/challenge":
		if err := s.check(); err != nil {
			s.t.Errorf("challenge: %v", err)
		}
		s.status = "ready"
		answer(200, challenge)
	case "/finalize":
		s.issue(payload)
		s.status, order["status"] = "valid", "valid"
		w.Header().Set("Location", s.URL+"/order/1")
		answer(200, order)
	case "/cert":
		_ = pem.Encode(w, &pem.Block{Type: "CERTIFICATE", Bytes: s.issued})
	}
}

// check asks the server whether it was it that asked for a certificate.
func (s *acmeStub) check() error {
	if s.httpAt != "" {
		req, err := http.NewRequest(http.MethodGet, "http://"+s.httpAt+"/.well-known/acme-challenge/token", nil)
		if err != nil {
			return err
		}
		req.Host = "gantry.test"
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if b, _ := io.ReadAll(res.Body); res.StatusCode != 200 || len(b) < len("token.") || string(b[:6]) != "token." {
			return fmt.Errorf("got %s %q, want the token", res.Status, b)
		}
		return nil
	}
	c, err := tls.Dial("tcp", s.tlsAt, &tls.Config{ServerName: "gantry.test", NextProtos: []string{"acme-tls/1"}, InsecureSkipVerify: true})
	if err != nil {
		return err
	}
	defer c.Close()
	for _, e := range c.ConnectionState().PeerCertificates[0].Extensions {
		if e.Id.String() == "1.3.6.1.5.5.7.1.31" && c.ConnectionState().NegotiatedProtocol == "acme-tls/1" {
			return nil
		}
	}
	return fmt.Errorf("got a certificate that answers no challenge")
}

func (s *acmeStub) issue(payload []byte) {
	var in struct{ CSR string }
	_ = json.Unmarshal(payload, &in)
	der, _ := base64.RawURLEncoding.DecodeString(in.CSR)
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		s.t.Errorf("request: %v", err)
		return
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "by the stub"}, DNSNames: csr.DNSNames,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour),
	}
	s.issued, err = x509.CreateCertificate(rand.Reader, template, template, csr.PublicKey, s.key)
	if err != nil {
		s.t.Errorf("certificate: %v", err)
	}
}

// TestACME: a certificate for the host by either challenge, kept over a restart; the own authority's for programs of the machine.
func TestACME(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"tls-alpn-01", "http-01"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			stub, dir := newACMEStub(t), filepath.Join(t.TempDir(), "acme")
			told := map[string]error{}
			open := func() (*pki.ACME, *tls.Config) {
				a, err := pki.OpenACME(pki.ACMEConfig{
					Hosts: []string{"gantry.test"}, Email: "ops@gantry.test", Directory: stub.URL, Dir: dir,
					Told: func(host string, err error) { told[host] = err },
				})
				if err != nil {
					t.Fatal(err)
				}
				own, err := pki.Open(t.TempDir(), []string{"localhost", "127.0.0.1"})
				if err != nil {
					t.Fatal(err)
				}
				return a, pki.TLS(own, a)
			}
			a, conf := open()
			stub.tlsAt = serveTLS(t, conf)
			if plain := httptest.NewServer(a.Handler(http.NotFoundHandler())); kind == "http-01" {
				stub.httpAt = plain.Listener.Addr().String()
				t.Cleanup(plain.Close)
			} else {
				plain.Close()
			}
			a.Obtain(t.Context())
			if got := shownBy(t, conf, "gantry.test"); got != "by the stub" || told["gantry.test"] != nil {
				t.Fatalf("got the certificate of %q (told %v), want the stub's", got, told)
			}
			if got := shownBy(t, conf, "localhost"); got != "gantry server" {
				t.Errorf("localhost: got the certificate of %q, want the own authority's", got)
			}
			if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("folder: got %v, %v, want mode 0700", info, err)
			}
			_, conf = open()
			if got := shownBy(t, conf, "gantry.test"); got != "by the stub" || stub.orders != 1 || len(stub.contact) != 1 || stub.contact[0] != "mailto:ops@gantry.test" {
				t.Errorf("after a restart: got %q after %d orders of %v, want the stub's of one order", got, stub.orders, stub.contact)
			}
		})
	}
}

// TestACMEFails: the reason is told once, and the server goes on.
func TestACMEFails(t *testing.T) {
	t.Parallel()
	down := httptest.NewServer(http.NotFoundHandler())
	down.Close()
	var told []error
	a, err := pki.OpenACME(pki.ACMEConfig{
		Hosts: []string{"gantry.test"}, Directory: down.URL, Dir: t.TempDir(), Told: func(_ string, err error) { told = append(told, err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	a.Obtain(ctx)
	a.Obtain(ctx)
	if len(told) != 1 || told[0] == nil {
		t.Errorf("got told %v, want one error", told)
	}
}

// serveTLS answers handshakes until the test ends.
func serveTLS(t *testing.T, conf *tls.Config) string {
	t.Helper()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", conf)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func(c net.Conn) { _ = c.(*tls.Conn).Handshake(); _ = c.Close() }(c)
		}
	}()
	t.Cleanup(func() { _ = ln.Close(); <-done })
	return ln.Addr().String()
}
