package pki_test

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"

	"gantry.example/internal/pki"
)

func TestIssuedCertificatesServeAndCall(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, err := pki.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	chain, key, err := a.Issue("nats-1", "10.0.0.7")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(filepath.Join(dir, pki.CAFile))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		for _, host := range []string{"nats-1", "10.0.0.7"} {
			if _, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: roots, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
				t.Errorf("as %s, usage %v: %v", host, usage, err)
			}
		}
	}
	if pair.Leaf.VerifyHostname("nats-2") == nil {
		t.Error("got a certificate that is good for another server too")
	}
}
