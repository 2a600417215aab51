package pki_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"gantry.example/internal/pki"
)

// TestTrustSurvivesARestart: who trusts ca.pem once reaches the server by every name, also after a restart.
func TestTrustSurvivesARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := pki.Open(dir, []string{"localhost"}); err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(filepath.Join(dir, pki.CAFile))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		t.Fatal("ca.pem holds no certificate")
	}
	again, err := pki.Open(dir, []string{"localhost", "127.0.0.1", "gantry.test"})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", pki.TLS(again, nil))
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	served := make(chan struct{})
	go func() { defer close(served); _ = srv.Serve(ln) }()
	defer func() { _ = srv.Close(); <-served }()
	for _, name := range []string{"", "localhost", "gantry.test"} {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: name}}}
		res, err := client.Get("https://" + ln.Addr().String())
		if err != nil {
			t.Errorf("server name %q: got %v, want a trusted connection", name, err)
			continue
		}
		_ = res.Body.Close()
		client.CloseIdleConnections()
	}
	info, err := os.Stat(filepath.Join(dir, "ca-key.pem"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: got %v, %v, want mode 0600", info, err)
	}
}
