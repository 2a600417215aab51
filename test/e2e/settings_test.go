package e2e_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// TestWorkdirOfTheServer: runs are carried out below an absolute folder where the server allows it; any other is refused, by the
// name of the field.
func TestWorkdirOfTheServer(t *testing.T) {
	t.Parallel()
	allowed := shared(t)
	s := newServer(t)
	s.args = append(s.args, "--allowed-workdirs", allowed)
	s.start()
	const ws = "default/elsewhere"
	s.must("workspaces", "new", ws)
	for _, dir := range []string{"/etc", allowed + "-beside", filepath.Dir(allowed)} {
		r := s.expect(1, "field workdir: "+fmt.Sprintf("%q", dir), "workspaces", "edit", ws, "--execution", document(t, fmt.Sprintf(`{"workdir":%q}`, dir)))
		if !strings.Contains(r.stderr, "only what is below "+allowed) {
			t.Errorf("%s: got %s\nwant what is allowed", dir, r)
		}
	}
	s.expect(1, "field workdir", "workspaces", "edit", ws, "--execution", document(t, fmt.Sprintf(`{"workdir":%q}`, allowed+"/../etc")))
	disk := filepath.Join(allowed, "disk")
	s.must("workspaces", "edit", ws, "--execution", document(t, fmt.Sprintf(`{"workdir":%q}`, disk)))
	r := s.must("run", config(t, `output "at" { value = abspath(path.root) }`), "-w", ws, "--auto-approve")
	if !strings.Contains(r.stdout, `at = "`+disk+"/") {
		t.Errorf("got\n%s\nwant it carried out below %s", r.stdout, disk)
	}
}

// TestApplyTimeout: an apply that takes too long is interrupted, says so, and what it had made is in the state.
func TestApplyTimeout(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start()
	const ws = "default/slow"
	s.must("workspaces", "new", ws)
	s.must("workspaces", "edit", ws, "--execution", document(t, `{"timeouts":{"apply":"5s","approval":"1h"}}`))
	r := s.gantry("run", config(t, `
resource "terraform_data" "made" { input = "exists" }
resource "terraform_data" "slow" {
  input = terraform_data.made.id
  provisioner "local-exec" { command = "sleep 600" }
}`), "-w", ws, "--auto-approve")
	if r.code != 1 || !strings.Contains(r.stderr, "run.timed_out") || !strings.Contains(r.stderr, "5s") {
		t.Errorf("got %s\nwant exit code 1, the code and the limit", r)
	}
	if state := s.must("state", "show", ws).stdout; !strings.Contains(state, "terraform_data.made") {
		t.Errorf("got state\n%s\nwant what was made", state)
	}
	s.must("workspaces", "edit", ws, "--execution", document(t, `{}`))
	s.must("run", config(t, `resource "terraform_data" "made" { input = "exists" }`), "-w", ws, "--auto-approve")
}

// TestNoRoom: a worker whose disk is nearly full takes nothing new, which is said where a run waits; with room it goes on by itself.
func TestNoRoom(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.args = append(s.args, "--min-free-disk", "1000TiB")
	s.start()
	id := detach(t, s, config(t, `output "x" { value = 1 }`), "default/waits")
	s.waitUntil("the run says that there is no room", func() bool {
		return strings.Contains(s.must("runs", "show", id).stdout, "1000")
	})
	shown := s.must("runs", "show", id).stdout
	if !strings.Contains(shown, "free") || s.show(id).Status != "plan_queued" {
		t.Errorf("got\n%s\nwant it queued for want of room", shown)
	}
	if log := s.log.String(); !strings.Contains(log, "1000") || !strings.Contains(log, "--min-free-disk") {
		t.Errorf("got log\n%s\nwant the worker to say what it waits for", tail(log, 20))
	}
	s.stop()
	s.args = append(s.args, "--min-free-disk", "1MiB")
	s.start()
	s.waitFor(id, "applied", "planned_and_finished")
}
