package e2e_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// slowApply is a configuration whose apply writes to a journal outside Gantry and waits for a file.
func slowApply(folder string) (text, journal, gate string) {
	journal, gate = filepath.Join(folder, "journal"), filepath.Join(folder, "gate")
	return fmt.Sprintf(`
resource "terraform_data" "slow" {
  input = "once"
  provisioner "local-exec" {
    command = "echo applied >> %s; while [ ! -e %s ]; do sleep 0.05; done; echo behind the gate"
  }
}
output "word" { value = terraform_data.slow.output }`, journal, gate), journal, gate
}

// TestSplitDeployment: two of each role as processes of their own over three NATS servers and a Postgres. They are started
// before what they need, and runs end applied exactly once, whichever of them is killed meanwhile.
func TestSplitDeployment(t *testing.T) {
	t.Parallel()
	s := newSplit(t)
	s.startInTheWrongOrder()
	first, second := s.runs["api-1"], s.runs["api-2"]

	t.Run("each API shows what the other was told", func(t *testing.T) {
		text, journal, gate := slowApply(shared(t))
		id := detach(t, first, config(t, text), "default/seen")
		var seen bytes.Buffer
		watch := second.command(t.Context(), "runs", "logs", id, "--follow")
		watch.Stdout, watch.Stderr = &seen, &seen
		if err := watch.Start(); err != nil {
			t.Fatal(err)
		}
		waitForFile(t, journal)
		openGate(t, gate)
		if err := watch.Wait(); err != nil || !strings.Contains(seen.String(), "behind the gate") {
			t.Errorf("got %v and\n%s\nwant what the run printed, through the other API", err, seen.String())
		}
		expectApplied(t, second, id, "default/seen", journal)
	})
	t.Run("one of each role is killed", func(t *testing.T) {
		text, journal, gate := slowApply(shared(t))
		id := detach(t, first, config(t, text), "default/killed")
		beside := filepath.Join(shared(t), "journal")
		behind := detach(t, second, config(t, journaled(beside)), "default/killed-next")
		waitForFile(t, journal)
		for name := range splitRoles() {
			s.runs[name+"-1"].kill()
		}
		openGate(t, gate)
		expectApplied(t, second, behind, "default/killed-next", beside)
		expectApplied(t, second, id, "default/killed", journal)
		ready := map[string]<-chan bool{}
		for name := range splitRoles() {
			ready[name+"-1"] = s.runs[name+"-1"].launch()
		}
		s.await(ready)
	})
	t.Run("NATS loses a leader, and Postgres is restarted", func(t *testing.T) {
		text, journal, gate := slowApply(shared(t))
		id := detach(t, first, config(t, text), "default/storm")
		waitForFile(t, journal)
		down := s.leader("STATUS")
		s.killNATS(down)
		s.stopPostgres()
		openGate(t, gate)
		s.startPostgres()
		expectApplied(t, second, id, "default/storm", journal)
		s.startNATS(down)
	})
	t.Run("all of NATS is away", func(t *testing.T) {
		text, journal, gate := slowApply(shared(t))
		id := detach(t, first, config(t, text), "default/away")
		waitForFile(t, journal)
		for _, ip := range s.ips {
			s.killNATS(ip)
		}
		beside := filepath.Join(shared(t), "journal")
		next := detach(t, second, config(t, journaled(beside)), "default/meanwhile")
		openGate(t, gate)
		for _, ip := range s.ips {
			s.startNATS(ip)
		}
		expectApplied(t, first, id, "default/away", journal)
		expectApplied(t, first, next, "default/meanwhile", beside)
	})
	t.Run("a cancel arrives although all of NATS is away", func(t *testing.T) { s.cancelsWithoutNATS() })
	t.Run("everything is away", func(t *testing.T) { s.everythingAway(t) })
}

// startInTheWrongOrder starts who depends before what is depended on.
func (s *split) startInTheWrongOrder() {
	s.t.Helper()
	ready := map[string]<-chan bool{}
	for _, role := range []string{"worker", "projector", "logs", "relay", "reconciler", "house", "api"} {
		for n := range 2 {
			name := fmt.Sprintf("%s-%d", role, n+1)
			ready[name] = s.runs[name].launch()
		}
	}
	for _, ip := range s.ips {
		s.startNATS(ip)
	}
	s.startPostgres()
	s.await(ready)
	if log := s.runs["api-1"].log.String() + s.runs["relay-1"].log.String(); !strings.Contains(log, "msg=waiting for=") {
		s.t.Errorf("got\n%s\nwant it to say what it waited for", log)
	}
}

func detach(t *testing.T, s *server, dir, workspace string) string {
	t.Helper()
	var created run
	decode(t, s.must("run", dir, "-w", workspace, "--auto-approve", "--detach", "-o", "json").stdout, &created)
	return created.ID
}

func openGate(t *testing.T, gate string) {
	t.Helper()
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func expectApplied(t *testing.T, s *server, id, workspace, journal string) {
	t.Helper()
	s.waitFor(id, "applied")
	b, err := os.ReadFile(journal)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(string(b), "applied"); got != 1 {
		t.Errorf("got %d applies in the journal, want 1", got)
	}
	if state := s.must("state", "pull", workspace).stdout; !strings.Contains(state, `"value": "once"`) {
		t.Errorf("got state\n%s\nwant the output \"once\" in it", state)
	}
}
