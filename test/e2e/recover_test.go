package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestFrozenRunnerThatComesBack: a host is suspended in an apply, the run is recovered meanwhile, and what wakes up writes
// nothing any more: its terraform is asked to stop and its state kept aside.
func TestFrozenRunnerThatComesBack(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start()
	folder := shared(t)
	journal, gate := filepath.Join(folder, "journal"), filepath.Join(folder, "gate")
	dir := config(t, fmt.Sprintf(`
resource "terraform_data" "first" { input = "saved before" }
resource "terraform_data" "slow" {
  input = terraform_data.first.output
  provisioner "local-exec" {
    command = "echo begun >> %s; while [ ! -e %s ]; do sleep 0.05; done"
  }
}
resource "terraform_data" "late" { input = terraform_data.slow.id }`, journal, gate))
	var lost run
	decode(t, s.must("run", dir, "-w", "default/frozen", "--auto-approve", "--detach", "-o", "json").stdout, &lost)
	waitForLines(t, journal, 1)
	frozen := append(runners(t, s), terraforms(t, s)...)
	signalAll(t, frozen, syscall.SIGSTOP)
	thaw := func() { signalAll(t, frozen, syscall.SIGCONT) }
	defer thaw()

	eventually(t, s, "lost contact", func() bool {
		return strings.Contains(s.gantry("runs", "show", lost.ID, "-o", "json").stdout, `"contact_lost"`)
	})
	if r := s.gantry("runs", "recover", lost.ID); r.code == 0 || !strings.Contains(r.stderr, "use force") {
		t.Errorf("got %s, want a refusal: the runner may come back", r)
	}
	var recovery run
	decode(t, s.must("runs", "recover", lost.ID, "--force", "-o", "json").stdout, &recovery)
	s.waitFor(recovery.ID, "planned")
	s.must("runs", "apply", recovery.ID)
	s.waitFor(recovery.ID, "planned_and_finished", "applied")
	before := s.gantry("state", "pull", "default/frozen")

	thaw()
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, s, "the end of what was frozen", func() bool { return len(terraforms(t, s)) == 0 })
	eventually(t, s, "a state kept aside", func() bool {
		return strings.Contains(s.gantry("state", "list", "default/frozen", "--aside").stdout, "kept aside")
	})
	if after := s.gantry("state", "pull", "default/frozen"); after.stdout != before.stdout {
		t.Errorf("the state changed after the recovery: got\n%s\nwant\n%s", after.stdout, before.stdout)
	}
	if got := s.show(lost.ID).Status; got != "errored" {
		t.Errorf("got the lost run %s, want it errored", got)
	}
}

func signalAll(t *testing.T, pids []int, sig syscall.Signal) {
	t.Helper()
	for _, pid := range pids {
		if err := syscall.Kill(pid, sig); err != nil && err != syscall.ESRCH {
			t.Error(err)
		}
	}
}

func eventually(t *testing.T, s *server, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("no %s after a minute; server log:\n%s", what, tail(s.log.String(), 40))
		}
		<-time.After(100 * time.Millisecond)
	}
}
