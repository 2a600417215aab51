package pki_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"gantry.example/internal/pki"
)

// writePair puts a certificate for the names, and its key, into the folder, as whoever renews it does.
func writePair(t *testing.T, dir string, names ...string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names, NotAfter: time.Now().Add(200 * 365 * 24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(path+".new", pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// TestPairIsRenewed: a new certificate is used within seconds or at once when asked to; a broken one changes nothing and is told
// once.
func TestPairIsRenewed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		cert, key := writePair(t, dir, "one.test")
		var told []error
		p, err := pki.OpenPair(cert, key, func(err error) { told = append(told, err) })
		if err != nil {
			t.Fatal(err)
		}
		want := func(name string, tellings int) {
			t.Helper()
			got, err := p.Certificate(nil)
			if err != nil || got.Leaf.Subject.CommonName != name || !p.Covers(name) || len(told) != tellings {
				t.Fatalf("got %s, %v, told %v, want %s and %d of them", got.Leaf.Subject.CommonName, err, told, name, tellings)
			}
		}
		writePair(t, dir, "two.test")
		want("one.test", 0)
		<-time.After(5 * time.Second) // of the test's own clock: at once
		want("two.test", 1)
		writePair(t, dir, "three.test")
		p.Reload()
		want("three.test", 2)
		if err := os.WriteFile(key, []byte("half a ke"), 0o600); err != nil {
			t.Fatal(err)
		}
		p.Reload()
		p.Reload()
		want("three.test", 3)
		if told[0] != nil || told[1] != nil || told[2] == nil {
			t.Errorf("got told %v, want an error at last only", told)
		}
		writePair(t, dir, "four.test")
		p.Reload()
		want("four.test", 4)
	})
	if _, err := pki.OpenPair("/nowhere/cert.pem", "/nowhere/key.pem", nil); err == nil {
		t.Error("no files: got no error, want one: a server must not start without its certificate")
	}
}

// shownBy is the first name of the certificate that a client of the name gets; "" connects to 127.0.0.1 without one.
func shownBy(t *testing.T, conf *tls.Config, name string) string {
	t.Helper()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", conf)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if c, err := ln.Accept(); err == nil {
			_ = c.(*tls.Conn).Handshake()
			_ = c.Close()
		}
	}()
	defer func() { _ = ln.Close(); <-done }()
	raw, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	c := tls.Client(raw, &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err := c.Handshake(); err != nil {
		return err.Error()
	}
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName
}

// TestWhoseCertificate: the operator's wherever it is good, and the own authority's where only that one is.
func TestWhoseCertificate(t *testing.T) {
	t.Parallel()
	own, err := pki.Open(t.TempDir(), []string{"localhost", "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key := writePair(t, dir, "gantry.test")
	pair, err := pki.OpenPair(cert, key, func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"": "gantry server", "localhost": "gantry server", "gantry.test": "gantry.test", "other.test": "gantry.test",
	} {
		if got := shownBy(t, pki.TLS(own, pair), name); got != want {
			t.Errorf("server name %q: got the certificate of %q, want %q", name, got, want)
		}
	}
	writePair(t, dir, "mine.test", "localhost")
	pair.Reload()
	if got := shownBy(t, pki.TLS(own, pair), "localhost"); got != "mine.test" {
		t.Errorf("localhost in the operator's: got the certificate of %q, want the operator's", got)
	}
}
