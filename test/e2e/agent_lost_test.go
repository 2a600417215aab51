package e2e_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// die cuts the island off and takes its power: nobody there says or releases anything any more.
func (i island) die() {
	i.t.Helper()
	if out, err := exec.Command("ip", "-n", i.name, "link", "set", i.inside, "down").CombinedOutput(); err != nil {
		i.t.Fatalf("cut %s off: %v: %s", i.name, err, out)
	}
	for range 2 { // what was just being started is there at the second look
		out, err := exec.Command("ip", "netns", "pids", i.name).Output()
		if err != nil {
			i.t.Fatal(err)
		}
		for _, field := range strings.Fields(string(out)) {
			if pid, err := strconv.Atoi(field); err == nil {
				_ = syscall.Kill(pid, syscall.SIGKILL) // it may just have ended
			}
		}
	}
}

// TestTheHostOfAnAgentDies: its plan is tried again by another agent, after the pool's own lease; its apply never is.
func TestTheHostOfAnAgentDies(t *testing.T) {
	t.Parallel()
	address, nets := islands(t, 1, 2)
	s := newServer(t)
	_, port, err := net.SplitHostPort(freeAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	s.args = append(s.args, "--https", net.JoinHostPort(address, port), "--lease-ttl", "2m", "--settle", "3s", "--grace", "3s", "--offline-limit", "3s", "--lost-after", "8s")
	s.start()
	s.must("pools", "new", "default/far")
	s.must("pools", "edit", "default/far", "--lease-ttl", "5s")
	if got := s.must("pools", "show", "default/far").stdout; !strings.Contains(got, "5s") {
		t.Errorf("the pool is shown without its lease:\n%s", got)
	}
	if got := s.gantry("pools", "edit", "default/far", "--lease-ttl", "1s"); got.code != 1 || !strings.Contains(got.stderr, "want 5 to 300") {
		t.Errorf("a lease of a second: got %s, want it refused with the bounds", got)
	}
	token, doc := filepath.Join(t.TempDir(), "token"), filepath.Join(t.TempDir(), "execution.json")
	for path, text := range map[string]string{
		token: s.must("pools", "tokens", "new", "default/far").stdout, doc: `{"execution_mode":"agent","agent_pool_id":"far"}`,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.must("workspaces", "new", "default/far")
	s.must("workspaces", "edit", "default/far", "--execution", doc)
	url := "https://" + net.JoinHostPort(address, port)
	first, second := nets[0].agent(s, url, token, "first", "x"), nets[1].agent(s, url, token, "second", "x")

	t.Log("in a plan, which never ends there")
	bin := shared(t)
	begun := filepath.Join(bin, "begun")
	real, err := exec.LookPath("terraform")
	if err != nil {
		t.Fatal(err)
	}
	slow := fmt.Sprintf("#!/bin/sh\nif [ \"$1\" = plan ]; then : > %s; sleep 600; fi\nexec %s \"$@\"\n", begun, real)
	if err := os.WriteFile(filepath.Join(bin, "terraform"), []byte(slow), 0o755); err != nil {
		t.Fatal(err)
	}
	first.env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	first.start()
	text, journal, gate := slowApply(shared(t))
	s.must("run", config(t, text), "-w", "default/far", "--auto-approve", "--detach")
	id := s.runs("default/far")[0].ID
	eventually(t, s, "a plan at the first agent", func() bool { _, err := os.Stat(begun); return err == nil })
	nets[0].die()
	second.start()
	s.waitFor(id, "applying")
	second.carriedOut(id)

	t.Log("in the apply")
	eventually(t, s, "an apply at work", func() bool { b, err := os.ReadFile(journal); return err == nil && len(b) > 0 })
	nets[1].die()
	eventually(t, s, "the word that contact is lost", func() bool {
		return strings.Contains(s.must("runs", "show", id).stdout, "contact lost")
	})
	s.waitFor(id, "errored")
	if shown := s.must("runs", "show", id).stdout; !strings.Contains(shown, "outcome unknown") || !strings.Contains(shown, "gantry runs recover "+id) {
		t.Errorf("got\n%s\nwant an unknown outcome and what to do", shown)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(journal); err != nil || strings.Count(string(b), "\n") != 1 {
		t.Errorf("the journal of the apply: got %q, %v, want one line: it began once", b, err)
	}
}
