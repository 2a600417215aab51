package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCLI uses the commands as a person does, each part in a workspace of its own on one server.
func TestCLI(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start()
	for name, test := range map[string]func(*testing.T, *server){
		"plan only and exit codes": cliPlanOnly, "what is planned": cliKinds, "variables": cliVariables, "approval": cliApproval,
		"lock": cliLock, "state": cliState, "tokens": cliTokens, "workspaces": cliWorkspaces, "two terminals": cliTwoTerminals,
		"approvals race": cliApprovalsRace, "interrupts": cliInterrupts, "laptop lid": cliLaptopLid,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, &server{t: t, bin: s.bin, dir: s.dir})
		})
	}
}

// expect runs a command and compares its exit code and a part of what it says.
func (s *server) expect(code int, says string, args ...string) result {
	s.t.Helper()
	r := s.gantry(args...)
	if r.code != code || !strings.Contains(r.stdout+r.stderr, says) {
		s.t.Errorf("gantry %s: got %s\nwant exit code %d and %q", strings.Join(args, " "), r, code, says)
	}
	return r
}

// addresses lists the resources in the current state of a workspace.
func (s *server) addresses(workspace string) []string {
	s.t.Helper()
	var state struct {
		Resources []struct {
			Address string `json:"address"`
		} `json:"resources"`
	}
	decode(s.t, s.must("state", "show", workspace, "-o", "json").stdout, &state)
	out := []string{}
	for _, r := range state.Resources {
		out = append(out, r.Address)
	}
	return out
}

const twoResources = `
resource "terraform_data" "a" { input = 1 }
resource "terraform_data" "b" { input = 2 }
`

func cliPlanOnly(t *testing.T, s *server) {
	dir, ws := config(t, twoResources), "default/plan-only"
	s.expect(2, "2 to add", "run", dir, "-w", ws, "--plan-only", "--detailed-exitcode")
	s.expect(1, "has no state yet", "state", "show", ws)
	s.expect(2, "2 added", "run", dir, "-w", ws, "--auto-approve", "--detailed-exitcode")
	s.expect(0, "No changes.", "run", dir, "-w", ws, "--plan-only", "--detailed-exitcode")
	s.expect(0, "No changes.", "run", dir, "-w", ws, "--auto-approve", "--detailed-exitcode")
	s.expect(1, "Error:", "run", config(t, `resource "x" {`), "-w", ws, "--plan-only", "--detailed-exitcode")
	s.expect(0, "plan only", "runs", "show", s.runs(ws)[0].ID)
}

func cliKinds(t *testing.T, s *server) {
	dir, ws := config(t, twoResources), "default/kinds"
	s.expect(0, "1 added", "run", dir, "-w", ws, "--auto-approve", "--target", "terraform_data.a")
	if diff := cmp.Diff([]string{"terraform_data.a"}, s.addresses(ws)); diff != "" {
		t.Errorf("after --target (-want +got):\n%s", diff)
	}
	s.must("run", dir, "-w", ws, "--auto-approve")
	s.expect(0, "1 added, 0 changed, 1 destroyed", "run", dir, "-w", ws, "--auto-approve", "--replace", "terraform_data.b")
	s.expect(0, "No changes.", "run", dir, "-w", ws, "--refresh-only", "--auto-approve")
	s.expect(0, "2 destroyed", "run", dir, "-w", ws, "--auto-approve", "--destroy")
	if diff := cmp.Diff([]string{}, s.addresses(ws)); diff != "" {
		t.Errorf("after --destroy (-want +got):\n%s", diff)
	}
}

func cliVariables(t *testing.T, s *server) {
	dir := config(t, `
variable "text" { type = string }
variable "release" { type = string }
variable "json" { type = string }
variable "number" { type = number }
variable "flag" { type = bool }
variable "list" { type = list(string) }
variable "map" { type = map(number) }
variable "untyped" {}
variable "file" {}
variable "both" {}
variable "later" {}
output "all" {
  value = [var.text, var.release, var.json, var.number, var.flag, var.list, var.map, var.untyped, var.file, var.both, var.later]
}`)
	files := t.TempDir()
	one, two := filepath.Join(files, "one.tfvars"), filepath.Join(files, "two.tfvars.json")
	for path, text := range map[string]string{
		one: "file = \"one\"\nboth = \"one\"\nlater = \"one\"\n", two: `{"later":"two ${x}"}`,
		filepath.Join(dir, "z.auto.tfvars"): `file = "auto"`,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := s.must("run", dir, "-w", "default/variables", "--auto-approve", "-o", "json", "--var-file", one, "--var-file", two,
		"--var", "text=a \"quoted\" ${x} \\ text\nin two lines", "--var", "release=1.10", "--var", `json={"a":[1]}`, "--var", "number=1e3", "--var", "flag=true",
		"--var", `list=["x","y"]`, "--var", "map={a = 1}", "--var", "untyped=007", "--var", "both=overwritten", "--var", "both=flag")
	var got struct {
		Outputs map[string]struct{ Value json.RawMessage }
	}
	decode(t, r.stdout, &got)
	var values []any
	decode(t, string(got.Outputs["all"].Value), &values)
	want := []any{"a \"quoted\" ${x} \\ text\nin two lines", "1.10", `{"a":[1]}`, 1000.0, true, []any{"x", "y"}, map[string]any{"a": 1.0}, "007", "one", "flag", "two ${x}"}
	if diff := cmp.Diff(want, values); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
	s.expect(1, "--var number 1 has no value", "run", dir, "-w", "default/variables", "--var", "text")
}

func cliApproval(t *testing.T, s *server) {
	dir, ws := config(t, twoResources), "default/approval"
	r := s.expect(5, "/app/default/approval/runs/run-", "run", dir, "-w", ws)
	id := s.runs(ws)[0].ID
	if !strings.Contains(r.stdout, "gantry runs apply "+id) {
		t.Errorf("got\n%s\nwant the next step", r.stdout)
	}
	s.expect(0, "is approved", "runs", "apply", id, "--comment", "looks good")
	s.waitFor(id, "applied")
	s.expect(0, "was approved already", "runs", "apply", id)
	s.expect(1, "can't be discarded", "runs", "discard", id)
	s.expect(5, "", "run", dir, "-w", ws, "--destroy", "-o", "json")
	id = s.runs(ws)[0].ID
	s.expect(1, "gantry runs discard "+id, "runs", "cancel", id)
	s.expect(0, "is discarded", "runs", "discard", id)
	s.waitFor(id, "discarded")
}

func cliLock(t *testing.T, s *server) {
	dir, ws := config(t, twoResources), "default/lock"
	s.must("workspaces", "new", ws)
	s.expect(0, "Locked", "workspaces", "lock", ws, "--reason", "maintenance until noon")
	s.expect(0, "maintenance until noon", "workspaces", "show", ws)
	s.expect(1, "See who holds it", "workspaces", "lock", ws)
	var waiting run
	decode(t, s.must("run", dir, "-w", ws, "--auto-approve", "--detach", "-o", "json").stdout, &waiting)
	if got := s.show(waiting.ID).Status; got != "pending" {
		t.Errorf("got a run that is %s in a locked workspace, want it pending", got)
	}
	s.must("workspaces", "unlock", ws)
	s.waitFor(waiting.ID, "applied")
	s.expect(1, "workspace "+ws, "workspaces", "unlock", ws)
}

func cliState(t *testing.T, s *server) {
	ws := "default/state"
	s.must("run", config(t, `
resource "terraform_data" "a" { input = "first" }
output "secret" {
  value     = "hunter2"
  sensitive = true
}`), "-w", ws, "--auto-approve")
	first := s.states(ws)[0]
	if shown := s.must("state", "show", ws).stdout; !strings.Contains(shown, "terraform_data.a") || strings.Contains(shown, "hunter2") {
		t.Errorf("got\n%s\nwant the resource and no secret", shown)
	}
	s.must("run", config(t, twoResources), "-w", ws, "--auto-approve")
	s.expect(0, "is back at the state of serial", "state", "rollback", ws, first.ID)
	if diff := cmp.Diff([]string{"terraform_data.a"}, s.addresses(ws)); diff != "" {
		t.Errorf("after rollback (-want +got):\n%s", diff)
	}
	if all := s.states(ws); !all[0].Current || all[0].Serial <= all[1].Serial {
		t.Errorf("got %+v, want the newest current and with the highest serial", all)
	}

	file := filepath.Join(t.TempDir(), "pulled.tfstate")
	pulled := map[string]any{}
	decode(t, s.must("state", "pull", ws).stdout, &pulled)
	push := func(serial float64, lineage any) {
		pulled["serial"], pulled["lineage"] = serial, lineage
		text, err := json.Marshal(pulled)
		if err == nil {
			err = os.WriteFile(file, text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	serial, lineage := pulled["serial"].(float64), pulled["lineage"]
	push(serial-1, lineage)
	s.expect(1, "use --force if you are sure", "state", "push", ws, file)
	push(serial+1, lineage)
	s.expect(0, "is the state of workspace", "state", "push", ws, file)
	push(serial+9, "another-lineage")
	s.expect(1, "was not changed", "state", "push", ws, file)
	s.expect(0, "is the state of workspace", "state", "push", ws, file, "--force")

	s.expect(5, "waits for approval", "run", config(t, twoResources), "-w", ws)
	push(serial+20, "another-lineage")
	s.expect(1, "See what holds it", "state", "push", ws, file, "--force")
	s.expect(1, "See what holds it", "state", "rollback", ws, first.ID)
}

type stateVersion struct {
	ID      string `json:"id"`
	Serial  int64  `json:"serial"`
	Current bool   `json:"current"`
}

func (s *server) states(workspace string) []stateVersion {
	s.t.Helper()
	var out []stateVersion
	decode(s.t, s.must("state", "list", workspace, "-o", "json").stdout, &out)
	if len(out) == 0 {
		s.t.Fatalf("workspace %s has no state", workspace)
	}
	return out
}

func cliTokens(t *testing.T, s *server) {
	var created struct{ ID, Token string }
	decode(t, s.must("tokens", "new", "a script", "--expires-in", "1h", "-o", "json").stdout, &created)
	home := t.TempDir()
	text, err := os.ReadFile(filepath.Join(s.dir, "address"))
	if err != nil {
		t.Fatal(err)
	}
	address := strings.TrimSpace(string(text))
	elsewhere := func(args ...string) *exec.Cmd {
		cmd := s.command(t.Context(), args...)
		cmd.Env = append(cmd.Env, "GANTRY_DATA_DIR="+filepath.Join(home, "none"), "HOME="+home, "XDG_CONFIG_HOME=")
		return cmd
	}
	expect := func(code int, says, stdin string, args ...string) {
		t.Helper()
		cmd := elsewhere(args...)
		cmd.Stdin = strings.NewReader(stdin)
		out, _ := cmd.CombinedOutput() // a failure is in the exit code
		if got := cmd.ProcessState.ExitCode(); got != code || !strings.Contains(string(out), says) {
			t.Errorf("gantry %v: got exit code %d and\n%s\nwant %d and %q", args, got, out, code, says)
		}
	}
	expect(1, "does not accept the token", "nonsense\n", "login", address)
	expect(0, "Logged in", created.Token+"\n", "login", address)
	expect(0, "default", "", "organizations", "list")
	expect(0, "Forgot", "", "logout")
	tty := s.terminal(elsewhere("login", address))
	tty.await("it is not shown")
	tty.write(created.Token + "\n")
	if code := tty.wait(); code != 0 || strings.Contains(tty.text(), created.Token) {
		t.Errorf("login on a terminal: got exit code %d and\n%s\nwant no token on the screen", code, tty.text())
	}
	if listed := s.must("tokens", "list").stdout; !strings.Contains(listed, "a script") || strings.Contains(listed, created.Token) {
		t.Errorf("got\n%s\nwant the description and no secret", listed)
	}
	s.expect(0, "Revoked", "tokens", "revoke", created.ID)
	expect(1, "does not accept the token", "", "organizations", "list")
}

func cliWorkspaces(t *testing.T, s *server) {
	dir, ws := config(t, twoResources), "default/objects"
	file := filepath.Join(t.TempDir(), "execution.json")
	if err := os.WriteFile(file, []byte(`{"execution_mode":"local","workdir":"sub"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s.must("workspaces", "new", ws, "--description", "for a test", "--auto-apply", "--execution", file)
	s.expect(1, "has no sub", "run", dir, "-w", ws)
	if err := os.WriteFile(file, []byte(`{"execution_mode":"local"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s.must("workspaces", "edit", ws, "--execution", file)
	s.expect(0, "2 added", "run", dir, "-w", ws) // its auto-apply counts
	s.must("workspaces", "edit", ws, "--auto-apply=false")
	s.expect(5, "", "run", dir, "-w", ws, "--destroy")
	s.must("runs", "apply", s.runs(ws)[0].ID)
	s.waitFor(s.runs(ws)[0].ID, "applied")
	s.must("run", dir, "-w", ws, "--auto-approve")
	s.expect(1, "managed by nobody, with --force", "workspaces", "delete", ws, "--yes")
	s.must("workspaces", "delete", ws, "--yes", "--force")
	s.expect(1, "does not exist", "workspaces", "show", ws)
}

// cliTwoTerminals: what one terminal asks, another one answers.
func cliTwoTerminals(t *testing.T, s *server) {
	tty := s.terminal(s.command(t.Context(), "run", config(t, twoResources), "-w", "default/two", "--message", "asked here"))
	tty.await("Enter a value:")
	s.must("runs", "apply", s.runs("default/two")[0].ID)
	if code := tty.wait(); code != 0 || !strings.Contains(tty.text(), "was approved already") || !strings.Contains(tty.text(), "Apply complete!") {
		t.Errorf("got exit code %d and\n%s\nwant the apply followed", code, tty.text())
	}
}

func cliApprovalsRace(t *testing.T, s *server) {
	ws := "default/race"
	s.expect(5, "", "run", config(t, twoResources), "-w", ws)
	id := s.runs(ws)[0].ID
	var both sync.WaitGroup
	results := make([]result, 2)
	for i := range results {
		both.Go(func() { results[i] = s.gantry("runs", "apply", id) })
	}
	both.Wait()
	said := results[0].stdout + results[1].stdout
	if results[0].code != 0 || results[1].code != 0 || strings.Count(said, "is approved") != 1 || strings.Count(said, "was approved already") != 1 {
		t.Errorf("got %s\nand %s\nwant one that approved and one that saw it", results[0], results[1])
	}
	s.waitFor(id, "applied")
}

// gated is a configuration whose apply prints "line 1" to "line 100" and stops in the middle until the gate is there.
func gated(t *testing.T) (dir, gate string) {
	t.Helper()
	gate = filepath.Join(shared(t), "gate")
	return config(t, fmt.Sprintf(`
resource "terraform_data" "slow" {
  provisioner "local-exec" {
    command = "i=1; while [ $i -le 100 ]; do echo line $i.; [ $i = 50 ] && while [ ! -e %s ]; do sleep 0.05; done; sleep 0.01; i=$((i+1)); done"
  }
}`, gate)), gate
}

func cliInterrupts(t *testing.T, s *server) {
	for answer, want := range map[string]struct {
		code   int
		says   string
		status string
	}{
		"c": {3, "was canceled", "canceled"}, "d": {1, "before its end", "applied"},
	} {
		dir, gate := gated(t)
		ws := "default/interrupt-" + answer
		tty := s.terminal(s.command(t.Context(), "run", dir, "-w", ws, "--auto-approve"))
		tty.await("line 50.")
		tty.write("\x03") // Ctrl-C
		tty.await("Cancel or detach?")
		tty.write(answer + "\n")
		if answer == "c" {
			s.waitUntil("cancel is asked for", func() bool {
				return strings.Contains(s.must("runs", "logs", s.runs(ws)[0].ID).stdout, "Interrupt received")
			})
		}
		if answer == "d" {
			tty.wait()
		}
		if err := os.WriteFile(gate, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if code := tty.wait(); code != want.code || !strings.Contains(tty.text(), want.says) {
			t.Errorf("%s: got exit code %d and\n%s\nwant %d and %q", answer, code, tail(tty.text(), 30), want.code, want.says)
		}
		s.waitFor(s.runs(ws)[0].ID, want.status)
	}
}

// cliLaptopLid: a computer that slept in the middle of an apply shows every line of the log, once and in order.
func cliLaptopLid(t *testing.T, s *server) {
	dir, gate := gated(t)
	ws := "default/lid"
	cmd := s.command(t.Context(), "run", dir, "-w", ws, "--auto-approve")
	log := &logBuffer{}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.waitUntil("the log begins", func() bool { return strings.Contains(log.String(), "line 5.") })
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	id := s.runs(ws)[0].ID
	s.waitUntil("the log goes on elsewhere", func() bool { return strings.Contains(s.must("runs", "logs", id).stdout, "line 50.") })
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	s.waitUntil("the log goes on here", func() bool { return strings.Contains(log.String(), "line 50.") })
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("got %v\n%s", err, tail(log.String(), 20))
	}
	next := 1
	for _, line := range strings.Split(log.String(), "\n") {
		if _, n, ok := strings.Cut(line, "(local-exec): line "); ok {
			if n != fmt.Sprintf("%d.", next) {
				t.Fatalf("got line %s after line %d", n, next-1)
			}
			next++
		}
	}
	if next != 101 {
		t.Errorf("got %d lines, want 100", next-1)
	}
}
