package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// nullVersion is what the stand-in for the provider hashicorp/null is called.
const nullVersion = "3.2.4"

// nullMirror is a folder with the stand-in for the provider that go-tfe's fixtures name.
func nullMirror(t *testing.T) string {
	t.Helper()
	dir := shared(t)
	program := filepath.Join(dir, "registry.terraform.io", "hashicorp", "null", nullVersion, runtime.GOOS+"_"+runtime.GOARCH, "terraform-provider-null_v"+nullVersion)
	if err := os.MkdirAll(filepath.Dir(program), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./nullprovider")
	cmd.Dir = filepath.Join("..", "tfe")
	cmd.Env = append(os.Environ(), "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the provider: %v\n%s", err, out)
	}
	return dir
}

// TestUpstreamSuite runs go-tfe's own integration tests against the server, those of test/tfe/upstream.txt: with the admin token,
// and with the token of a user who is a site admin, which some of them want.
func TestUpstreamSuite(t *testing.T) {
	t.Parallel()
	mirror := nullMirror(t)
	for name, flags := range map[string][]string{"admin token": nil, "user": {"-upstream.user"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newCloudServer(t, "--provider-filesystem-mirror", mirror, "--concurrency", "4", "--notification-networks", "127.0.0.0/8")
			token := s.adminToken()
			if flags != nil {
				token = s.siteAdmin(t)
			}
			cmd := exec.CommandContext(t.Context(), "go", append([]string{"test", "-count=1", "-v", "-timeout=15m", "-run=^TestUpstream$", "."}, flags...)...)
			cmd.Dir = filepath.Join("..", "tfe")
			cmd.Env = append(os.Environ(), "GOWORK=off", "TFE_ADDRESS=https://"+s.cloudHost(), "TFE_TOKEN="+token, "SSL_CERT_FILE="+filepath.Join(s.dir, "ca.pem"))
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Errorf("%v\n%s", err, tail(string(out), 120))
			}
			for line := range strings.Lines(string(out)) {
				if strings.Contains(line, "go-tfe's own tests:") {
					t.Log(strings.TrimSpace(line))
				}
			}
		})
	}
}

// siteAdmin makes a user who is a site admin, and returns their token.
func (s *server) siteAdmin(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	secret := filepath.Join(dir, "password")
	if err := os.WriteFile(secret, []byte(passphrase+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.must("users", "new", "ann", "--email", "ann@example.com", "--role", "admin", "--password-file", secret)
	s.must("users", "role", "ann", "admin", "--site")
	return s.terraformLogin(dir)
}
