package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestCloudShapes runs the module test/tfe, which decodes the server's answers through the types of go-tfe.
func TestCloudShapes(t *testing.T) {
	t.Parallel()
	s := newCloudServer(t)
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-skip=TestUpstream", "./...")
	cmd.Dir = filepath.Join("..", "tfe")
	cmd.Env = append(os.Environ(), "GOWORK=off", "TFE_ADDRESS=https://"+s.cloudHost(), "TFE_TOKEN="+s.adminToken(),
		"SSL_CERT_FILE="+filepath.Join(s.dir, "ca.pem"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, tail(string(out), 60))
	}
}
