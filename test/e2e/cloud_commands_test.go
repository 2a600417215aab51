package e2e_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// everything is a configuration in which each option of a plan makes a difference.
const everything = `
variable "word" { default = "one" }
resource "terraform_data" "a" {
  input = var.word
  lifecycle {
    precondition {
      condition     = var.word != "bad"
      error_message = "The word is bad."
    }
  }
}
resource "terraform_data" "b" {
  input = "b of ${terraform_data.a.output}"
}
output "word" { value = terraform_data.a.output }
output "list" { value = ["x", { y = 1 }] }
output "secret" {
  value     = "hunter2"
  sensitive = true
}
`

// TestCloudCommands drives the server by the stock CLI and a folder by the same commands, and compares exit codes, what is
// printed for programs, and states.
func TestCloudCommands(t *testing.T) {
	t.Parallel()
	s := newCloudServer(t)
	for _, program := range engines(t) {
		for kind, block := range map[string]func(string) string{"cloud": cloudBlock, "remote": remoteBackend} {
			name := filepath.Base(program) + "-" + kind
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := &server{t: t, bin: s.bin, dir: s.dir, args: s.args}
				c, bare := s.stock(program, block(name), everything), s.stock(program, "", everything)
				for _, step := range commandSteps(kind) {
					got, want := c.runWith(step.stdin, step.args...), bare.runWith(step.stdin, step.args...)
					if got.code != want.code {
						t.Errorf("%v: got %s, want exit code %d as of the bare CLI", step.args, got, want.code)
					}
					if diff := cmp.Diff(want.stdout, got.stdout); step.printed && diff != "" {
						t.Errorf("%v prints (-bare +through the server):\n%s", step.args, diff)
					}
					if !strings.Contains(got.stdout+got.stderr, step.says) {
						t.Errorf("%v: got %s, want it to say %q", step.args, got, step.says)
					}
					if step.args[0] == "init" {
						continue
					}
					if diff := cmp.Diff(bare.state(), c.state()); diff != "" {
						t.Errorf("the state after %v (-bare +through the server):\n%s", step.args, diff)
					}
				}
			})
		}
	}
}

type commandStep struct {
	args    []string
	stdin   string
	printed bool   // stdout must be the same
	says    string // something only a run on the server says, or any run
}

func commandSteps(kind string) []commandStep {
	step := func(command string) commandStep { return commandStep{args: strings.Fields(command)} }
	says := func(command, words string) commandStep {
		return commandStep{args: strings.Fields(command), says: words}
	}
	prints := func(command string) commandStep { return commandStep{args: strings.Fields(command), printed: true} }
	steps := []commandStep{
		step("init -input=false"),
		says("plan", "\x1b[32m+\x1b[0m"),
		says("plan -target=terraform_data.a", "terraform_data.a"),
		says("plan -detailed-exitcode", "/runs/run-"),
		says("apply -auto-approve", "Creation complete"),
		step("plan -detailed-exitcode"),
		prints("output -json"), prints("output -raw word"), prints("output -raw secret"), prints("state list"),
		{args: []string{"console"}, stdin: "terraform_data.a.input\n", printed: true},
		step("plan -var word=two -detailed-exitcode"),
		step("apply -auto-approve -var word=two"),
		says("apply -auto-approve -var word=bad", "The word is bad."),
		step("apply -auto-approve -replace=terraform_data.b -var word=two"),
		says("plan -refresh-only -var word=two", "No changes"),
		step("apply -refresh-only -auto-approve -var word=two"),
		step("plan -refresh=false"),
		says("plan -destroy", "2 to destroy"),
		step("state mv terraform_data.b terraform_data.c"),
		step("state rm terraform_data.c"),
		step("import terraform_data.b some-id"),
		step("apply -auto-approve -target=terraform_data.a"),
		step("destroy -auto-approve -target=terraform_data.b"),
		step("destroy -auto-approve"),
		prints("state list"),
	}
	if kind == "remote" { // the CLI itself refuses -var there
		return slices.DeleteFunc(steps, func(s commandStep) bool { return slices.Contains(s.args, "-var") })
	}
	return append(steps, // a saved plan is a bookmark of a run
		says("plan -out=saved", "terraform"), says("apply saved", "Resources: 2 added"), step("apply saved"), prints("output -json"))
}

// TestCloudWorkspacesByTags makes, lists, selects and deletes workspaces that a cloud block names by tags.
func TestCloudWorkspacesByTags(t *testing.T) {
	t.Parallel()
	s := newCloudServer(t)
	const block = `terraform {
  cloud {
    hostname     = "%s"
    organization = "default"
    workspaces { tags = TAGS }
  }
}`
	for name, tags := range map[string]string{"names": `["net", "eu"]`, "pairs": `{ team = "net", zone = "eu" }`} {
		c := s.stock(engines(t)[0], strings.Replace(block, "TAGS", tags, 1), `output "here" { value = terraform.workspace }`)
		one, two := name+"-one", name+"-two"
		if r := c.runWith(one+"\n", "init"); r.code != 0 {
			t.Fatalf("init: got %s", r)
		}
		c.must("workspace", "new", two)
		if got, want := c.must("workspace", "list").stdout, "  "+one+"\n* "+two+"\n\n"; got != want {
			t.Errorf("workspace list: got %q, want %q", got, want)
		}
		c.must("apply", "-auto-approve")
		if got := c.must("output", "-raw", "here").stdout; got != two {
			t.Errorf("output: got %q, want %q", got, two)
		}
		c.must("workspace", "select", one)
		if got := strings.TrimSpace(c.must("workspace", "show").stdout); got != one {
			t.Errorf("workspace show: got %q, want %q", got, one)
		}
		c.must("workspace", "delete", two)
		if got := c.must("workspace", "list").stdout; strings.Contains(got, two) {
			t.Errorf("workspace list: got %q, want no %s", got, two)
		}
	}
	_, w := s.workspaceAttributes("names-one")
	if diff := cmp.Diff([]any{"eu", "net"}, w["tag-names"]); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
}

// TestCloudApproval answers the CLI's questions on a terminal.
func TestCloudApproval(t *testing.T) {
	t.Parallel()
	s := newCloudServer(t)
	c := s.stock(engines(t)[0], cloudBlock("asked"), everything)
	c.must("init")
	for _, want := range []struct {
		answer string
		code   int
		says   string
		status string
	}{{"no", 1, "Apply discarded.", "discarded"}, {"yes", 0, "Apply complete! Resources: 2 added", "applied"}} { // in this order: after "yes" there is nothing to ask
		x := s.terminal(c.command(t.Context(), "apply"))
		x.await("Only 'yes' will be accepted to approve.")
		x.write(want.answer + "\n")
		if got := x.wait(); got != want.code || !strings.Contains(x.text(), want.says) {
			t.Errorf("%s: got exit code %d and\n%s\nwant %d and %q", want.answer, got, x.text(), want.code, want.says)
		}
		if got := s.runs("default/asked")[0].Status; got != want.status {
			t.Errorf("%s: got the run %s, want %s", want.answer, got, want.status)
		}
	}
}

// TestCloudInterrupt cancels a pending run, and an apply that runs, from the CLI; and one that does not stop by force.
func TestCloudInterrupt(t *testing.T) {
	t.Parallel()
	s := newCloudServer(t)
	begun := filepath.Join(shared(t), "begun")
	slow := fmt.Sprintf(`resource "terraform_data" "slow" {
  provisioner "local-exec" {
    command = "echo >> %s; trap '' INT; sleep 600"
  }
}`, begun)
	c := s.stock(engines(t)[0], cloudBlock("interrupted"), slow)
	c.must("init")
	first := s.terminal(c.command(t.Context(), "apply", "-auto-approve"))
	waitForFile(t, begun)

	// Behind it another one waits, which Ctrl-C takes back.
	second := s.terminal(c.command(t.Context(), "apply", "-auto-approve"))
	second.await("Waiting for 1 run(s) to finish before being queued...")
	second.write("\x03")
	second.await("The remote operation was successfully")
	second.wait()
	runs := s.runs("default/interrupted")
	if got := []string{runs[0].Status, runs[1].Status}; !cmp.Equal(got, []string{"canceled", "applying"}) {
		t.Fatalf("got runs %v, want the second canceled and the first applying", got)
	}

	first.write("\x03")
	first.await("The remote operation was successfully")
	first.wait()
	s.waitFor(runs[1].ID, "canceled", "errored") // errored: it had to be killed after the grace period
	if got, want := s.show(runs[1].ID), "run.canceled"; !strings.Contains(s.must("runs", "show", runs[1].ID, "-o", "json").stdout, want) {
		t.Errorf("got %+v, want code %s", got, want)
	}
}

// TestCloudSaysWhatItWaitsFor: a locked workspace, and what the server decided about a run.
func TestCloudSaysWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	s := newCloudServer(t)
	c := s.stock(engines(t)[0], cloudBlock("waits"), everything)
	c.must("init")
	c.must("plan", "-out=stale")
	c.must("apply", "-auto-approve")
	if r := c.run("apply", "stale"); r.code != 1 || !strings.Contains(r.stdout, "its plan is stale and was not applied") {
		t.Errorf("a stale plan: got %s, want exit code 1 and the reason", r)
	}
	s.must("workspaces", "lock", "default/waits", "--reason", "holidays")
	x := s.terminal(c.command(t.Context(), "apply", "-auto-approve", "-var", "word=two"))
	x.await("Waiting for the manually locked workspace to be unlocked...")
	s.must("workspaces", "unlock", "default/waits")
	if got := x.wait(); got != 0 || !strings.Contains(x.text(), "Apply complete!") {
		t.Errorf("after the unlock: got exit code %d and\n%s", got, x.text())
	}
}
