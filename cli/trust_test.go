package cli_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"gantry.example/internal/pki"
)

// trusted is a server with an authority of its own, and the folder of that.
func trusted(t *testing.T, hosts ...string) (address, dir, fingerprint string) {
	t.Helper()
	dir = t.TempDir()
	own, err := pki.Open(dir, hosts)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.TLS = &tls.Config{GetCertificate: pki.TLS(own, nil).GetCertificate}
	s.StartTLS()
	s.TLS.Certificates = nil // httptest's own, which would be shown to who names no host
	t.Cleanup(s.Close)
	return strings.Replace(s.URL, "127.0.0.1", "localhost", 1), dir, own.Fingerprint()
}

// TestTrust never changes the system: it prints.
func TestTrust(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED, gantry trust --print IS NOT TESTED: only Linux has something to print; run it on Linux")
	}
	address, dir, fingerprint := trusted(t, "localhost")
	elsewhere, _, _ := trusted(t, "gantry.test")
	ca := filepath.Join(dir, "ca.pem")
	kept := func(home string) string {
		return filepath.Join(home, ".config", "gantry", "ca", strings.ReplaceAll(strings.TrimPrefix(address, "https://"), ":", "_")+".pem")
	}
	for name, tt := range map[string]struct {
		args  []string
		stdin string
		code  int
		out   string // what stdout is; HOME stands for the user's folder
		says  string
		keeps bool
	}{
		"a file":                {args: []string{"--print", "--ca-file", ca}, out: "export SSL_CERT_FILE=" + ca + "\n"},
		"own machine":           {args: []string{"--print", "--data-dir", dir}, out: "export SSL_CERT_FILE=" + ca + "\n"},
		"show":                  {args: []string{"--show", "--data-dir", dir}, out: fingerprint + "\n", says: "ca.pem"},
		"the server's file":     {args: []string{address, "--print", "--ca-file", ca}, out: "export SSL_CERT_FILE=" + ca + "\n", says: "terraform login localhost:"},
		"fingerprint":           {args: []string{address, "--print", "--fingerprint", fingerprint}, out: "export SSL_CERT_FILE=KEPT\n", keeps: true},
		"as openssl shows it":   {args: []string{address, "--print", "--fingerprint", "sha256=" + strings.ToLower(fingerprint)}, out: "export SSL_CERT_FILE=KEPT\n", keeps: true},
		"other fingerprint":     {args: []string{address, "--print", "--fingerprint", "AB" + fingerprint[2:]}, code: 1, says: "has another fingerprint than --fingerprint"},
		"half a fingerprint":    {args: []string{address, "--print", "--fingerprint", fingerprint[:20]}, code: 1, says: "has another fingerprint"},
		"nobody to ask":         {args: []string{address, "--print"}, code: 1, says: "gantry trust --show"},
		"yes":                   {args: []string{address, "--print"}, stdin: "yes\n", out: "export SSL_CERT_FILE=KEPT\n", says: fingerprint, keeps: true},
		"no":                    {args: []string{address, "--print"}, stdin: "y\n", code: 1, says: "nothing was changed"},
		"show of another":       {args: []string{address, "--show"}, out: fingerprint + "\n"},
		"not for the address":   {args: []string{elsewhere, "--print"}, stdin: "yes\n", code: 1, says: "--public-url " + elsewhere},
		"file of another":       {args: []string{elsewhere, "--print", "--ca-file", ca}, code: 1, says: "not of the authority in"},
		"plain http":            {args: []string{"http://127.0.0.1:8080", "--print"}, code: 1, says: "plain http has no certificate"},
		"nobody there":          {args: []string{"https://localhost:1", "--print"}, code: 4, says: "does not answer"},
		"no server here":        {args: []string{"--print"}, code: 1, says: "there is no server of this machine"},
		"not kept":              {args: []string{address, "--remove"}, code: 1, says: "--ca-file"},
		"print and remove":      {args: []string{"--print", "--remove"}, code: 1, says: "exclude each other"},
		"a server's as a CA":    {args: []string{"--print", "--ca-file", "trust_test.go"}, code: 1, says: "not a certificate"},
		"login nobody knows to": {args: []string{"--print", "--login", "--ca-file", ca}, code: 1, out: "export SSL_CERT_FILE=" + ca + "\n", says: "not known which server"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			home := t.TempDir()
			x := &terminal{env: map[string]string{"HOME": home, "GANTRY_DATA_DIR": t.TempDir()}, stdin: strings.NewReader(tt.stdin), interactive: tt.stdin != ""}
			code := x.run(t, append([]string{"trust"}, tt.args...)...)
			if want := strings.ReplaceAll(tt.out, "KEPT", kept(home)); code != tt.code || x.out.String() != want || !strings.Contains(x.err.String(), tt.says) {
				t.Errorf("got exit code %d, stdout %q and stderr\n%s\nwant %d, %q and %q", code, x.out.String(), x.err.String(), tt.code, want, tt.says)
			}
			if _, err := os.Stat(kept(home)); (err == nil) != tt.keeps {
				t.Errorf("the authority is kept: got %v, want %v", err == nil, tt.keeps)
			}
		})
	}
}

// TestTrustIsUsed: what was compared once is enough for later commands, until it is removed or the server has another one.
func TestTrustIsUsed(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED, gantry trust --print IS NOT TESTED: only Linux has something to print; run it on Linux")
	}
	address, _, fingerprint := trusted(t, "localhost")
	x := &terminal{env: map[string]string{"HOME": t.TempDir(), "GANTRY_DATA_DIR": t.TempDir()}, stdin: strings.NewReader("")}
	x.check(t, x.run(t, "status", "--address", address), 4, "", "unknown authority")
	x.check(t, x.run(t, "trust", address, "--print", "--fingerprint", fingerprint), 0, "SSL_CERT_FILE", "")
	x.check(t, x.run(t, "status", "--address", address), 0, "is ready", "")
	x.check(t, x.run(t, "trust", address, "--print"), 0, "SSL_CERT_FILE", "") // is not asked again
	x.check(t, x.run(t, "trust", address, "--remove"), 0, "", "not in the system's store")
	x.check(t, x.run(t, "status", "--address", address), 4, "", "unknown authority")
}
