package e2e_test

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDispatcherBeforeItsServer: a dispatcher that cannot reach the server yet is alive, says why it is not ready, and ends well
// when it is asked to.
func TestDispatcherBeforeItsServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	token, kubeconfig := filepath.Join(dir, "token"), filepath.Join(dir, "kubeconfig")
	const cluster = `{"apiVersion": "v1", "kind": "Config", "current-context": "c", "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
		"contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}], "users": [{"name": "u", "user": {"token": "t"}}]}`
	for path, text := range map[string]string{token: "gantry-nobody\n", kubeconfig: cluster} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	probes, nobody := freeAddress(t), freeAddress(t)
	cmd := exec.Command(filepath.Join(filepath.Dir(binary(t)), "gantry-dispatcher"), "--address", "https://"+nobody, "--nats-url", "wss://"+nobody+"/nats",
		"--token-file", token, "--kubeconfig", kubeconfig, "--runner-image", "gantry", "--http", probes)
	log := &logBuffer{}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill() }()

	get := func(path string) (int, string) {
		res, err := http.Get("http://" + probes + path) //nolint:noctx // it answers at once, or nobody does
		if err != nil {
			return 0, err.Error()
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(b)
	}
	for deadline := time.Now().Add(20 * time.Second); ; <-time.After(50 * time.Millisecond) {
		status, text := get("/healthz")
		if status == http.StatusOK {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("healthz: got %d %s, want 200; log:\n%s", status, text, tail(log.String(), 20))
		}
	}
	if status, text := get("/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(text, "the server has not said yet") {
		t.Errorf("readyz: got %d %q, want 503 and why", status, text)
	}
	if status, _ := get("/metrics"); status != http.StatusOK {
		t.Errorf("metrics: got %d, want 200", status)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("got %v at its end, want exit code 0; log:\n%s", err, tail(log.String(), 20))
		}
	case <-time.After(20 * time.Second):
		t.Errorf("it did not end within 20 s of SIGTERM; log:\n%s", tail(log.String(), 20))
	}
}
