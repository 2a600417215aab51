package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestCloudShapes runs the module test/tfe, which decodes the server's answers through the types of go-tfe, as people do: with
// the token of a user, who is an admin of the organization.
func TestCloudShapes(t *testing.T) {
	t.Parallel()
	s := newCloudServer(t, "--notification-networks", "127.0.0.0/8")
	dir := t.TempDir()
	secret := filepath.Join(dir, "password")
	if err := os.WriteFile(secret, []byte(passphrase+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.must("users", "new", "ann", "--email", "ann@example.com", "--role", "admin", "--password-file", secret)
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-skip=TestUpstream", "./...")
	cmd.Dir = filepath.Join("..", "tfe")
	cmd.Env = append(os.Environ(), "GOWORK=off", "TFE_ADDRESS=https://"+s.cloudHost(), "TFE_TOKEN="+s.terraformLogin(dir),
		"SSL_CERT_FILE="+filepath.Join(s.dir, "ca.pem"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, tail(string(out), 60))
	}
}
