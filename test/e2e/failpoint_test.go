package e2e_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// journaled is a configuration whose apply leaves one line in a file outside Gantry each time it really happens.
func journaled(journal string) string {
	return fmt.Sprintf(`
resource "terraform_data" "journal" {
  input = "once"
  provisioner "local-exec" {
    command = "echo applied >> %s"
  }
}
output "word" { value = terraform_data.journal.output }
`, journal)
}

// TestServerKilledAtEveryStep kills the whole server with -9 at each step of the life of a task, starts it again, and expects
// the run to end applied, exactly once, with its state saved. The runner of the plan goes on with the apply.
func TestServerKilledAtEveryStep(t *testing.T) {
	t.Parallel()
	for _, spec := range []string{
		"api.run_created", "relay.before_send.task", "relay.sent.task",
		"worker.pulled", "worker.claimed", "worker.acked", "worker.placed", "api.claimed", "api.started",
		"api.plan_stored", "api.state_stored", "api.result_stored", "api.result_stored:2",
		"projector.before_commit", "projector.committed", "projector.before_commit:2", "projector.committed:2",
	} {
		t.Run(spec, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			journal := filepath.Join(shared(t), "journal")
			dir := config(t, journaled(journal))
			if spec == "api.plan_stored" { // of its own request, which takes a plan too large to come with its result
				large := make([]byte, 400_000)
				_, _ = rand.Read(large) // never fails
				if err := os.WriteFile(filepath.Join(dir, "large.tf"), fmt.Appendf(nil, "# %x\n", large), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			s.start("GANTRY_FAILPOINT=" + spec)
			s.crash(spec, "run", dir, "-w", "default/crash", "--auto-approve")
			runs := s.runs("default/crash")
			if len(runs) != 1 {
				t.Fatalf("got %d runs (%v), want the one that was asked for", len(runs), runs)
			}
			s.waitFor(runs[0].ID, "applied")
			expectAppliedOnce(t, s, journal)
		})
	}
}

// TestServerKilledAtEveryStepOfAnApprovedApply does the same with an apply that goes through the queue, because a person had
// to approve it.
func TestServerKilledAtEveryStepOfAnApprovedApply(t *testing.T) {
	t.Parallel()
	for _, spec := range []string{
		"relay.before_send.task:2", "relay.sent.task:2", "worker.pulled:2", "worker.claimed:2", "worker.acked:2", "worker.placed:2",
		"api.claimed:2", "api.started:2", "api.state_stored", "api.result_stored:2", "projector.before_commit:2", "projector.committed:2",
	} {
		t.Run(spec, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			journal := filepath.Join(shared(t), "journal")
			s.start("GANTRY_FAILPOINT=" + spec)
			s.expect(5, "", "run", config(t, journaled(journal)), "-w", "default/crash")
			id := s.runs("default/crash")[0].ID
			s.crash(spec, "runs", "apply", id)
			s.waitFor(id, "applied")
			expectAppliedOnce(t, s, journal)
		})
	}
}

// crash starts the command, waits until the server is killed at the point, and starts it again. The command goes through the
// crash as a user's would: it may give up, the run may not.
func (s *server) crash(spec string, args ...string) {
	s.t.Helper()
	var out bytes.Buffer
	user := s.command(s.t.Context(), args...)
	user.Stdout, user.Stderr = &out, &out
	if err := user.Start(); err != nil {
		s.t.Fatal(err)
	}
	if code := s.waitExit(); code != -1 {
		s.t.Fatalf("got exit code %d of the server, want it killed at %s", code, spec)
	}
	s.start()
	if err := user.Wait(); err != nil {
		s.t.Logf("gantry %s ended with %v:\n%s", strings.Join(args, " "), err, tail(out.String(), 15))
	}
}

func expectAppliedOnce(t *testing.T, s *server, journal string) {
	t.Helper()
	b, err := os.ReadFile(journal)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(string(b), "applied"); got != 1 {
		t.Errorf("got %d applies in the journal, want 1", got)
	}
	if state := s.must("state", "pull", "default/crash").stdout; !strings.Contains(state, `"value": "once"`) {
		t.Errorf("got state\n%s\nwant the output \"once\" in it", state)
	}
}
