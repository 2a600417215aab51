package e2e_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestConfigurations runs the examples and configurations as people write them.
func TestConfigurations(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start()
	for name, tt := range map[string]struct {
		dir        string
		code       int
		status     string
		wantOut    []string
		wantErr    string
		notWantOut string
	}{
		"hello":   {dir: "../../examples/hello", status: "applied", wantOut: []string{"Apply complete!", "Outputs:", "/app/default/hello/runs/run-"}},
		"failing": {dir: "../../examples/failing", code: 1, status: "errored", wantOut: []string{"Error:"}},
		"many":    {dir: "../../examples/many", status: "applied", wantOut: []string{"Apply complete! Resources: 500 added"}},
		"broken":  {dir: config(t, `resource "terraform_data" {`), code: 1, status: "errored", wantOut: []string{"Error:"}},
		"cloud block": {dir: config(t, `
terraform {
  cloud {
    organization = "elsewhere"
    workspaces { name = "x" }
  }
}
output "kept" { value = "here" }`), status: "applied", wantOut: []string{`kept = "here"`}},
		"sensitive": {dir: config(t, `output "secret" {
  value     = "hunter2"
  sensitive = true
}`), status: "applied", wantOut: []string{"<sensitive>"}, notWantOut: "hunter2"},
		"no changes": {dir: config(t, `locals { a = 1 }`), status: "planned_and_finished", wantOut: []string{"No changes."}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &server{t: t, bin: s.bin, dir: s.dir}
			ws := "default/" + strings.ReplaceAll(name, " ", "-")
			r := s.gantry("run", tt.dir, "-w", ws, "--auto-approve")
			if r.code != tt.code {
				t.Errorf("got %s, want exit code %d", r, tt.code)
			}
			for _, want := range tt.wantOut {
				if !strings.Contains(r.stdout+r.stderr, want) {
					t.Errorf("got\n%s\n%s\nwant %q in it", r.stdout, r.stderr, want)
				}
			}
			if tt.notWantOut != "" && strings.Contains(r.stdout+r.stderr, tt.notWantOut) {
				t.Errorf("got\n%s\nwant no %q in it", r.stdout, tt.notWantOut)
			}
			if runs := s.runs(ws); len(runs) != 1 || runs[0].Status != tt.status {
				t.Errorf("got runs %v, want one that is %s", runs, tt.status)
			}
		})
	}
}

// TestLogStreams: what a provisioner prints is on the user's terminal while terraform still runs.
func TestLogStreams(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start()
	gate := filepath.Join(shared(t), "gate")
	dir := config(t, fmt.Sprintf(`
resource "terraform_data" "slow" {
  provisioner "local-exec" {
    command = "echo before the gate; while [ ! -e %s ]; do sleep 0.05; done; echo behind the gate"
  }
}`, gate))
	cmd := s.command(t.Context(), "run", dir, "-w", "default/live", "--auto-approve")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var seen bytes.Buffer
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		seen.WriteString(lines.Text() + "\n")
		// terraform goes on only because this line arrived.
		if strings.Contains(lines.Text(), "(local-exec): before the gate") {
			if err := os.WriteFile(gate, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err != nil || !strings.Contains(seen.String(), "behind the gate") {
		t.Errorf("got %v and\n%s\nwant success and the whole log", err, seen.String())
	}
}

// TestQueueOfOneWorkspace: runs of a workspace go one after the other, in the order they were asked for; each continues
// from the state of the one before.
func TestQueueOfOneWorkspace(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start()
	journal := filepath.Join(shared(t), "journal")
	if err := errors.Join(os.WriteFile(journal, nil, 0o600), os.Chmod(journal, 0o666)); err != nil { // each run has a user of its own
		t.Fatal(err)
	}
	ids := make([]string, 4)
	for i := range ids {
		dir := config(t, fmt.Sprintf(`
resource "terraform_data" "x" {
  triggers_replace = %d
  provisioner "local-exec" {
    command = "echo begin %d >> %s; sleep 0.3; echo end %d >> %s"
  }
}`, i, i, journal, i, journal))
		r := s.gantry("run", dir, "-w", "default/queue", "--auto-approve", "--detach", "-o", "json")
		if r.code != 0 {
			t.Fatalf("got %s, want the run to be accepted", r)
		}
		var created run
		decode(t, r.stdout, &created)
		ids[i] = created.ID
	}
	for _, id := range ids {
		s.waitFor(id, "applied")
	}
	b, err := os.ReadFile(journal)
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for i := range ids {
		fmt.Fprintf(&want, "begin %d\nend %d\n", i, i)
	}
	if got := string(b); got != want.String() {
		t.Errorf("got journal\n%s\nwant\n%s", got, want.String())
	}
}

// TestRunnerOutlivesTheServer: an apply that is under way when the server dies goes on, and is finished by the next one.
func TestRunnerOutlivesTheServer(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start()
	folder := shared(t)
	gate, journal := filepath.Join(folder, "gate"), filepath.Join(folder, "journal")
	dir := config(t, fmt.Sprintf(`
resource "terraform_data" "slow" {
  input = "once"
  provisioner "local-exec" {
    command = "echo applied >> %s; while [ ! -e %s ]; do sleep 0.05; done"
  }
}
output "word" { value = terraform_data.slow.output }`, journal, gate))
	var created run
	decode(t, s.must("run", dir, "-w", "default/crash", "--auto-approve", "--detach", "-o", "json").stdout, &created)
	waitForFile(t, journal)
	s.kill()
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.start()
	s.waitFor(created.ID, "applied")
	expectAppliedOnce(t, s, journal)
}

// TestRunnerKilledMidApply: nobody knows what was changed, so the run says so, the workspace stays locked and nothing is
// applied again.
func TestRunnerKilledMidApply(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start()
	journal := filepath.Join(shared(t), "journal")
	dir := config(t, fmt.Sprintf(`
resource "terraform_data" "slow" {
  provisioner "local-exec" {
    command = "echo $PPID >> %s; sleep 600"
  }
}`, journal))
	var created run
	decode(t, s.must("run", dir, "-w", "default/lost", "--auto-approve", "--detach", "-o", "json").stdout, &created)
	waitForFile(t, journal)
	killAll(t, append(runners(t, s), terraforms(t, s)...))
	s.waitFor(created.ID, "errored")
	if r := s.gantry("runs", "show", created.ID, "-o", "json"); !strings.Contains(r.stdout, "run.outcome_unknown") {
		t.Errorf("got\n%s\nwant run.outcome_unknown", r.stdout)
	}
	var next run
	decode(t, s.must("run", config(t, `output "word" { value = "found" }`), "-w", "default/lost", "--auto-approve", "--detach", "-o", "json").stdout, &next)
	if got := s.show(next.ID).Status; got != "pending" {
		t.Errorf("got the next run %s, want it pending behind the unresolved one", got)
	}
	shown := s.must("runs", "show", created.ID).stdout
	for _, want := range []string{"outcome unknown", "Lost runner:", "Last contact:", "gantry runs recover " + created.ID} {
		if !strings.Contains(shown, want) {
			t.Errorf("got\n%s\nwant %q in it", shown, want)
		}
	}
	var recovery run
	decode(t, s.must("runs", "recover", created.ID, "-o", "json").stdout, &recovery)
	s.waitFor(recovery.ID, "planned")
	if got := s.show(next.ID).Status; got != "pending" {
		t.Errorf("got the next run %s, want it pending until the recovery is confirmed", got)
	}
	s.must("runs", "apply", recovery.ID)
	s.waitFor(recovery.ID, "planned_and_finished", "applied")
	s.waitFor(next.ID, "applied")
}

func waitForFile(t *testing.T, path string) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(path); err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s was not written", path)
		}
		<-tick.C
	}
}

// TestPlanOnlyRunsBesideAnApply: a plan-only run of a workspace neither waits for its apply nor disturbs it.
func TestPlanOnlyRunsBesideAnApply(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start()
	dir, gate := gated(t)
	created := func(r result) run {
		t.Helper()
		if r.code != 0 {
			t.Fatalf("got %s, want the run to be accepted", r)
		}
		var out run
		decode(t, r.stdout, &out)
		return out
	}
	apply := created(s.gantry("run", dir, "-w", "default/beside", "--auto-approve", "--detach", "-o", "json"))
	s.waitFor(apply.ID, "applying")
	beside := created(s.gantry("run", dir, "-w", "default/beside", "--plan-only", "--detach", "-o", "json"))
	s.waitFor(beside.ID, "planned_and_finished")
	behind := created(s.gantry("run", dir, "-w", "default/beside", "--auto-approve", "--detach", "-o", "json"))
	if got := s.show(apply.ID).Status; got != "applying" {
		t.Errorf("got the apply %s after the plan beside it, want it applying still", got)
	}
	if got := s.must("runs", "show", behind.ID).stdout; !strings.Contains(got, "Behind run "+apply.ID+", which is applying") {
		t.Errorf("got\n%s\nwant it to say what the run waits behind", got)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.waitFor(apply.ID, "applied")
	s.waitFor(behind.ID, "planned_and_finished")
}
