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

// TestUpstreamSuite runs go-tfe's own integration tests against the server: those of test/tfe/upstream.txt.
func TestUpstreamSuite(t *testing.T) {
	t.Parallel()
	s := newCloudServer(t, "--provider-filesystem-mirror", nullMirror(t), "--concurrency", "4", "--notification-networks", "127.0.0.0/8")
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-v", "-timeout=15m", "-run=^TestUpstream$", "./...")
	cmd.Dir = filepath.Join("..", "tfe")
	cmd.Env = append(os.Environ(), "GOWORK=off", "TFE_ADDRESS=https://"+s.cloudHost(), "TFE_TOKEN="+s.adminToken(),
		"SSL_CERT_FILE="+filepath.Join(s.dir, "ca.pem"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, tail(string(out), 120))
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "go-tfe's own tests:") {
			t.Log(strings.TrimSpace(line))
		}
	}
}
