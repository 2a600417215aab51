package e2e_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestRetention: what is older than the server keeps is gone after its next start, and what the workspace needs is not.
func TestRetention(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start()
	const ws = "default/old"
	const one = `resource "terraform_data" "one" { input = "stays" }`
	output := func(n int) string { return fmt.Sprintf("\noutput \"x\" { value = %d }", n) }
	s.must("run", config(t, one), "-w", ws, "--auto-approve")
	s.must("run", config(t, one+output(1)), "-w", ws, "--auto-approve")
	s.must("run", config(t, one+output(2)), "-w", ws, "--plan-only")
	all := s.runs(ws)
	planned, wrote, first := all[0].ID, all[1].ID, all[2].ID
	state := s.must("state", "pull", ws).stdout

	s.stop()
	flags := s.args
	s.args = append(append([]string{}, flags...), "--keep-logs", "1ms", "--keep-configurations", "1ms")
	s.start()
	s.waitUntil("the logs are gone", func() bool { return !strings.Contains(s.must("runs", "logs", first).stdout, "Apply complete!") })
	if log := s.must("runs", "logs", first).stdout; !strings.Contains(log, "removed") {
		t.Errorf("got log\n%s\nwant a note in its place", log)
	}
	if got := len(s.runs(ws)); got != 3 {
		t.Errorf("got %d runs, want all three", got)
	}
	s.must("run", config(t, one), "-w", ws, "--plan-only") // nothing is missing for what comes

	s.stop()
	s.args = append(append([]string{}, flags...), "--keep-runs", "1ms")
	s.start()
	s.waitUntil("the first run is gone", func() bool { return s.gantry("runs", "show", first).code != 0 })
	s.expect(1, "does not exist", "runs", "show", first)
	s.must("runs", "show", wrote) // the state is its
	if got := s.must("state", "pull", ws).stdout; got != state {
		t.Errorf("got state\n%s\nwant it untouched:\n%s", got, state)
	}
	s.waitUntil("the plan is gone", func() bool { return s.gantry("runs", "show", planned).code != 0 })
	s.must("run", config(t, one+output(3)), "-w", ws, "--auto-approve")
}
