package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// slowPairs is a configuration of n slow resources, each with a dependent that writes the id of the slow one into a journal
// outside Gantry. What is in the journal was finished before, so terraform has written it to the state.
func slowPairs(n int, journal string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `
resource "terraform_data" "slow_%[1]d" {
  provisioner "local-exec" { command = "sleep %[2]d.%[3]d" }
}
resource "terraform_data" "journal_%[1]d" {
  provisioner "local-exec" { command = "echo ${terraform_data.slow_%[1]d.id} >> %[4]s" }
}
`, i, i%3, i%10, journal)
	}
	return b.String()
}

// TestStateSurvivesKills kills what carries out an apply, in its middle, in every combination: what a dependent has seen is
// in the state afterwards.
func TestStateSurvivesKills(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		kill   func(t *testing.T, s *server)
		status string
	}{
		"terraform": {func(t *testing.T, s *server) { killAll(t, terraforms(t, s)) }, "errored"},
		"runner":    {func(t *testing.T, s *server) { killAll(t, runners(t, s)) }, "errored"},
		"worker": {func(_ *testing.T, s *server) {
			s.kill()
			s.start()
		}, "applied"},
		"runner and terraform": {func(t *testing.T, s *server) { killAll(t, append(runners(t, s), terraforms(t, s)...)) }, "errored"},
		"worker and runner": {func(t *testing.T, s *server) {
			pids := runners(t, s)
			s.kill()
			killAll(t, pids)
			s.start()
		}, "errored"},
		"all": {func(t *testing.T, s *server) {
			pids := append([]int{s.cmd.Process.Pid}, append(runners(t, s), terraforms(t, s)...)...)
			killAll(t, pids)
			s.waitExit()
			s.start()
		}, "errored"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.start()
			journal := filepath.Join(shared(t), "journal")
			dir := config(t, slowPairs(20, journal))
			var created run
			decode(t, s.must("run", dir, "-w", "default/kills", "--auto-approve", "--detach", "-o", "json").stdout, &created)
			waitForLines(t, journal, 5)
			tt.kill(t, s)
			s.waitFor(created.ID, tt.status)
			state := s.must("state", "pull", "default/kills").stdout
			lines := journalLines(t, journal)
			for _, id := range lines {
				if !strings.Contains(state, id) {
					t.Errorf("resource %s was finished before the kill and is not in the state (%d in the journal)", id, len(lines))
				}
			}
			if r := s.gantry("runs", "show", created.ID, "-o", "json"); tt.status == "errored" && strings.Contains(name, "runner") && !strings.Contains(r.stdout, "run.outcome_unknown") {
				t.Errorf("got\n%s\nwant run.outcome_unknown", r.stdout)
			}
			if left := slices.DeleteFunc(terraforms(t, s), describes); len(left) > 0 {
				t.Errorf("terraform processes %v are left", left)
			}
			eventually(t, s, "end of every terraform", func() bool { return len(terraforms(t, s)) == 0 })
		})
	}
}

// TestStateIsUploadedDuringTheApply: another user sees the state of a running apply grow.
func TestStateIsUploadedDuringTheApply(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start()
	folder := shared(t)
	gate, journal := filepath.Join(folder, "gate"), filepath.Join(folder, "journal")
	dir := config(t, fmt.Sprintf(`
resource "terraform_data" "first" { input = "early" }
resource "terraform_data" "second" {
  input = terraform_data.first.output
  provisioner "local-exec" { command = "echo waiting >> %s; while [ ! -e %s ]; do sleep 0.05; done" }
}`, journal, gate))
	var created run
	decode(t, s.must("run", dir, "-w", "default/live", "--auto-approve", "--detach", "-o", "json").stdout, &created)
	waitForFile(t, journal)
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !strings.Contains(s.gantry("state", "pull", "default/live").stdout, `"value": "early"`) {
		if time.Now().After(deadline) {
			t.Fatal("the state of the running apply was not uploaded")
		}
		<-tick.C
	}
	if got := s.show(created.ID).Status; got != "applying" {
		t.Errorf("got the run %s, want it applying", got)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.waitFor(created.ID, "applied")
}

// TestStatePlanAndApplyShareOneInit: the apply uses what its plan prepared, and nothing is left of it afterwards.
func TestStatePlanAndApplyShareOneInit(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start()
	r := s.must("run", config(t, `resource "terraform_data" "a" { input = 1 }`), "-w", "default/warm", "--auto-approve")
	if got := strings.Count(r.stdout, "Initializing the backend"); got != 1 {
		t.Errorf("got %d inits, want 1:\n%s", got, r.stdout)
	}
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		left, err := os.ReadDir(filepath.Join(s.dir, "work", "runs"))
		if err != nil || len(left) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the folder of the run is left: %v", left)
		}
		<-tick.C
	}
}

// runners are the processes that carry out attempts, by what their executor noted.
func runners(t *testing.T, s *server) []int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(s.dir, "work", "attempts", "*", "pid"))
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, file := range files {
		if pid, err := strconv.Atoi(strings.TrimSpace(read(t, file))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// terraforms are the terraform processes of the server's runs.
func terraforms(t *testing.T, s *server) []int {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, link := range links {
		exe, err := os.Readlink(link)
		cwd, _ := os.Readlink(filepath.Join(filepath.Dir(link), "cwd"))
		if err != nil || filepath.Base(exe) != "terraform" || !strings.HasPrefix(cwd, s.dir+"/") {
			continue
		}
		if pid, err := strconv.Atoi(strings.Split(link, "/")[2]); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// describes reports whether the process makes the JSON form of a plan, which begins when the run's last phase has ended.
func describes(pid int) bool {
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err != nil || strings.Contains(string(cmdline), "\x00show\x00")
}

func killAll(t *testing.T, pids []int) {
	t.Helper()
	killed := 0
	for _, pid := range pids {
		if syscall.Kill(pid, syscall.SIGKILL) == nil {
			killed++
		}
	}
	if killed == 0 {
		t.Fatalf("there was nothing to kill among %v", pids)
	}
}

func journalLines(t *testing.T, path string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Fields(string(b))
}

func waitForLines(t *testing.T, path string, n int) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for len(journalLines(t, path)) < n {
		if time.Now().After(deadline) {
			t.Fatalf("%s has not %d lines", path, n)
		}
		<-tick.C
	}
}
