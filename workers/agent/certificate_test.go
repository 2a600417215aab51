package agent_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certificate makes one that is its own authority, of this machine, valid from an hour before until.
func certificate(t *testing.T, until time.Time, address string) (pair tls.Certificate, caFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: until.Add(-time.Hour), NotAfter: until, IPAddresses: []net.IP{net.ParseIP(address)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, caFile
}

// TestServersThatAreNotTrusted: an agent says which of the many reasons it is, and what to do about it.
func TestServersThatAreNotTrusted(t *testing.T) {
	t.Parallel()
	now := time.Now()
	fine, ca := certificate(t, now.Add(time.Hour/2), "127.0.0.1")
	_, otherCA := certificate(t, now.Add(time.Hour/2), "127.0.0.1")
	old, oldCA := certificate(t, now.Add(-time.Hour), "127.0.0.1") // or the agent's clock is ahead by an hour and more
	early, earlyCA := certificate(t, now.Add(2*time.Hour), "127.0.0.1")
	elsewhere, elsewhereCA := certificate(t, now.Add(time.Hour/2), "192.0.2.7")
	for name, c := range map[string]struct {
		pair    *tls.Certificate // nil: no TLS
		ca      string
		problem string
	}{
		"none":           {&fine, ca, "ready default/aws a\n"},
		"wrong CA":       {&fine, otherCA, "is signed by nobody that this agent trusts: give the authority's certificate with --ca-file"},
		"over":           {&old, oldCA, "is not valid now"},
		"not begun":      {&early, earlyCA, "is not valid now"},
		"another's name": {&elsewhere, elsewhereCA, "is for other names"},
		"no TLS":         {nil, ca, "does not speak TLS"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := &api{pool: good("v1.0.0")}
			front := httptest.NewUnstartedServer(server)
			if c.pair != nil {
				front.TLS = &tls.Config{Certificates: []tls.Certificate{*c.pair}}
				front.StartTLS()
			} else {
				front.Start()
			}
			t.Cleanup(front.Close)
			out, _, _ := begin(t, server, "v1.0.0", "--ca-file", c.ca, "--address", "https://"+strings.TrimPrefix(strings.TrimPrefix(front.URL, "https://"), "http://"))
			out.await(t, c.problem)
		})
	}
}
