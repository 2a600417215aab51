package e2e_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// napping is a configuration whose apply saves one resource and then waits in a provider plugin.
const napping = `
terraform {
  required_providers {
    time = { source = "hashicorp/time", version = "` + timeProvider + `" }
  }
}
resource "time_offset" "saved" {
  base_rfc3339 = "2026-01-01T00:00:00Z"
  offset_days  = 7
}
resource "time_sleep" "nap" {
  create_duration = "10m"
  depends_on      = [time_offset.saved]
}
`

// plugins are the provider plugins of the server's runs, by their program and what their environment knows.
func plugins(t *testing.T, s *server) []int {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, link := range links {
		proc := filepath.Dir(link)
		exe, _ := os.Readlink(link)                           // empty for one that has just ended
		env, _ := os.ReadFile(filepath.Join(proc, "environ")) // the same
		if !strings.Contains(exe, "terraform-provider-") || !bytes.Contains(env, []byte("="+s.dir+"/")) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(proc)); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// TestPluginsAreGoneAfterTheGracePeriod: whoever is killed or hangs in an apply, no provider plugin stays behind, and what was
// saved before is in the state.
func TestPluginsAreGoneAfterTheGracePeriod(t *testing.T) {
	t.Parallel()
	mirror := providerMirror(t)
	for name, c := range map[string]struct {
		harm   func(t *testing.T, s *server, id string)
		status string
	}{
		"a plugin hangs and the run is canceled": {func(t *testing.T, s *server, id string) {
			signalAll(t, plugins(t, s), syscall.SIGSTOP)
			s.must("runs", "cancel", id)
		}, "canceled"},
		"terraform hangs and the run is canceled": {func(t *testing.T, s *server, id string) {
			signalAll(t, terraforms(t, s), syscall.SIGSTOP)
			s.must("runs", "cancel", id)
		}, "canceled"},
		"terraform is killed":  {func(t *testing.T, s *server, _ string) { killAll(t, terraforms(t, s)) }, "errored"},
		"the runner is killed": {func(t *testing.T, s *server, _ string) { killAll(t, runners(t, s)) }, "errored"},
		"the runner is killed and a plugin hangs": {func(t *testing.T, s *server, _ string) {
			signalAll(t, plugins(t, s), syscall.SIGSTOP)
			killAll(t, runners(t, s))
		}, "errored"},
		"runner and server are killed": {func(t *testing.T, s *server, _ string) {
			s.kill()
			killAll(t, runners(t, s))
			s.start()
		}, "errored"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.args = append(s.args, "--provider-filesystem-mirror", mirror, "--grace", "2s")
			s.start()
			id := detach(t, s, config(t, napping), "default/nap")
			eventually(t, s, "a plugin at work", func() bool {
				return len(plugins(t, s)) > 0 && strings.Contains(s.gantry("runs", "logs", id).stdout, "time_sleep.nap: Creating...")
			})
			c.harm(t, s, id)
			s.waitFor(id, c.status)
			if shown := s.must("runs", "show", id).stdout; c.status == "errored" && !strings.Contains(shown, "outcome unknown") {
				t.Errorf("got\n%s\nwant an unknown outcome: nobody knows how far it came", shown)
			}
			eventually(t, s, "end of terraform and its plugins", func() bool { return len(plugins(t, s)) == 0 && len(terraforms(t, s)) == 0 })
			if state := s.must("state", "pull", "default/nap").stdout; !strings.Contains(state, "2026-01-08T00:00:00Z") {
				t.Errorf("got state\n%s\nwant what was saved before", tail(state, 20))
			}
		})
	}
}

// TestUpgradeAdoptsTheRunner: the program is replaced while an apply is under way, as an upgrade does: the server ends in an
// orderly way, another one starts from another file, and the apply goes on as if nothing had happened.
func TestUpgradeAdoptsTheRunner(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start()
	text, journal, gate := slowApply(shared(t))
	id := detach(t, s, config(t, text), "default/crash")
	waitForFile(t, journal)
	before := runners(t, s)
	s.stop()
	s.bin = upgraded(t, s.bin)
	s.start()
	eventually(t, s, "adoption", func() bool { return strings.Contains(s.log.String(), "adopted a runner") })
	openGate(t, gate)
	s.waitFor(id, "applied")
	expectAppliedOnce(t, s, journal)
	if shown := s.must("runs", "show", id).stdout; strings.Contains(shown, "contact lost") {
		t.Errorf("got\n%s\nwant no word of lost contact: runners %v went on", shown, before)
	}
}

// upgraded is the program, and the one that belongs to it, in another place.
func upgraded(t *testing.T, bin string) string {
	t.Helper()
	dir := shared(t)
	for _, name := range []string{"gantry", "gantry-runner", "gantry-exec"} {
		b, err := os.ReadFile(filepath.Join(filepath.Dir(bin), name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), b, 0o755)
		}
		if err != nil {
			t.Fatal(fmt.Errorf("copy the program: %w", err))
		}
	}
	return filepath.Join(dir, filepath.Base(bin))
}
