package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestProducer: the example asks for runs by messages, also while the server is killed between the run and its answer.
func TestProducer(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start()
	const workspace = "default/produced"
	s.must("run", config(t, `resource "terraform_data" "a" {}`), "-w", workspace, "--auto-approve")
	var orgs []struct {
		ID string `json:"external_id"`
	}
	decode(t, s.must("organizations", "list", "-o", "json").stdout, &orgs)
	var ws struct{ ID string }
	decode(t, s.must("workspaces", "show", workspace, "-o", "json").stdout, &ws)
	var token struct{ Token string }
	decode(t, s.must("tokens", "new", "bot", "--org", "default", "-o", "json").stdout, &token)

	producer := filepath.Join(t.TempDir(), "producer")
	if out, err := exec.Command("go", "build", "-C", "../../examples/producer", "-o", producer, ".").CombinedOutput(); err != nil {
		t.Fatalf("build the example: %v\n%s", err, out)
	}
	nats := "nats://" + s.args[slices.Index(s.args, "--nats")+1]
	ask := func(key, workspaceID string) (string, error) {
		cmd := exec.CommandContext(t.Context(), producer, "-nats", nats, "-organization", orgs[0].ID, "-workspace", workspaceID, "-key", key, "-plan-only")
		cmd.Env = append(os.Environ(), "GANTRY_PRODUCER_TOKEN="+token.Token)
		out, err := cmd.CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	first, err := ask("one", ws.ID)
	if err != nil {
		t.Fatalf("got %v\n%s", err, first)
	}
	s.waitFor(first, "planned_and_finished")
	if again, err := ask("one", ws.ID); err != nil || again != first {
		t.Errorf("asked again: got %s, %v, want %s", again, err, first)
	}
	if out, err := ask("two", "ws-123456789abcdefg"); err == nil || !strings.Contains(out, "field workspace_id") {
		t.Errorf("unknown workspace: got %s, %v, want a failure that names the field", out, err)
	}
	s.expect(0, "field workspace_id", "admin", "deadletters", "list")
	s.expect(0, "Dropped", "admin", "deadletters", "drop", "--all")

	s.stop()
	s.start("GANTRY_FAILPOINT=intake.committed")
	type said struct {
		id  string
		err error
	}
	answered := make(chan said, 1)
	go func() {
		out, err := ask("three", ws.ID)
		answered <- said{out, err}
	}()
	<-s.exited
	s.start()
	got := <-answered
	if lines := strings.Split(got.id, "\n"); got.err != nil || !strings.HasPrefix(lines[len(lines)-1], "run-") {
		t.Fatalf("over the restart: got %s, %v, want a run", got.id, got.err)
	}
	if n := len(s.runs(workspace)); n != 3 {
		t.Errorf("got %d runs, want three: the first, and one for each key", n)
	}
}
