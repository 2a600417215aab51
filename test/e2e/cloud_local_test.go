package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCloudLocalExecution: the user's own machine runs terraform, the server keeps and locks the state.
func TestCloudLocalExecution(t *testing.T) {
	t.Parallel()
	s := newCloudServer(t)
	for _, program := range engines(t) {
		name := filepath.Base(program) + "-at-home"
		c, bare := s.stock(program, cloudBlock(name), everything), s.stock(program, "", everything)
		c.must("init")
		bare.must("init")
		s.setExecutionMode(name, "local")
		if r := s.gantry("run", c.dir, "-w", "default/"+name, "--auto-approve"); r.code != 1 || !strings.Contains(r.stderr, "own machine") {
			t.Errorf("a run of the platform: got %s, want it refused with the reason", r)
		}
		for _, args := range [][]string{
			{"plan"}, {"apply", "-auto-approve"}, {"output", "-json"}, {"apply", "-auto-approve", "-var", "word=two"},
			{"apply", "-auto-approve", "-var", "word=bad"}, {"state", "rm", "terraform_data.b"}, {"destroy", "-auto-approve"},
		} {
			if got, want := c.run(args...), bare.run(args...); got.code != want.code {
				t.Errorf("%v: got %s, want exit code %d", args, got, want.code)
			}
			if diff := cmp.Diff(bare.state(), c.state()); diff != "" {
				t.Errorf("the state after %v (-bare +through the server):\n%s", args, diff)
			}
		}
		if _, w := s.workspaceAttributes(name); w["locked"] != false || w["execution-mode"] != "local" {
			t.Errorf("got locked %v and mode %v, want an unlocked workspace in mode local", w["locked"], w["execution-mode"])
		}
		if runs := s.runs("default/" + name); len(runs) != 0 {
			t.Errorf("got runs %v of a workspace whose runs are elsewhere", runs)
		}
	}
}

// TestCloudKilledAtHome kills a CLI that applies on the user's machine with -9: what it had done is in a snapshot of the
// state, and its lock says who holds it and is taken off by force.
func TestCloudKilledAtHome(t *testing.T) {
	t.Parallel()
	s := newCloudServer(t)
	reached := filepath.Join(t.TempDir(), "reached")
	c := s.stock(engines(t)[0], cloudBlock("killed"), fmt.Sprintf(`
resource "terraform_data" "zeroth" {}
resource "terraform_data" "first" {
  depends_on = [terraform_data.zeroth] # the end of the first resource starts the clock
  provisioner "local-exec" {
    command = "sleep 21" # longer than the snapshots are apart
  }
}
resource "terraform_data" "second" {
  depends_on = [terraform_data.first]
  provisioner "local-exec" {
    command = "echo >> %s; sleep 600"
  }
}`, reached))
	c.must("init")
	s.setExecutionMode("killed", "local")
	x := s.terminal(c.command(t.Context(), "apply", "-auto-approve"))
	waitForFile(t, reached)
	id, _ := s.workspaceAttributes("killed")
	s.waitUntil("a snapshot of the state is stored", func() bool {
		status, _ := s.api("GET", "/workspaces/"+id+"/current-state-version", "")
		return status == 200
	})
	if err := x.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	x.wait()
	if got := c.state().Resources; len(got) == 0 || got["terraform_data.first[0]"] == nil {
		t.Errorf("got state %v, want what was done before the kill", got)
	}
	if _, w := s.workspaceAttributes("killed"); w["locked"] != true || !strings.Contains(fmt.Sprint(w["locked-reason"]), "Locked by admin: Locked by Terraform") {
		t.Errorf("got locked %v for %q, want the lock of the killed CLI and who holds it", w["locked"], w["locked-reason"])
	}
	if r := c.run("apply", "-auto-approve", "-input=false"); r.code != 1 || !strings.Contains(r.stderr, "workspace already locked") {
		t.Errorf("beside the lock: got %s, want it refused", r)
	}
	c.must("force-unlock", "-force", "default/killed")
	c.must("destroy", "-auto-approve", "-target=terraform_data.zeroth")
	if got := c.state().Resources; len(got) != 0 {
		t.Errorf("got state %v after the destroy, want nothing", got)
	}
}

// TestCloudRace: two CLIs apply to one workspace at the same time, one after the other.
func TestCloudRace(t *testing.T) {
	t.Parallel()
	s := newCloudServer(t)
	journal := filepath.Join(shared(t), "journal")
	if err := os.WriteFile(journal, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(journal, 0o666); err != nil { // each run may be another user
		t.Fatal(err)
	}
	configuration := fmt.Sprintf(`variable "who" {}
resource "terraform_data" "x" {
  triggers_replace = var.who
  provisioner "local-exec" {
    command = "echo begin >> %[1]s; sleep 1; echo end >> %[1]s"
  }
}`, journal)
	var g sync.WaitGroup
	for _, who := range []string{"ann", "bob"} {
		c := s.stock(engines(t)[0], cloudBlock("race"), configuration)
		c.must("init")
		g.Go(func() {
			if r := c.run("apply", "-auto-approve", "-var", "who="+who); r.code != 0 {
				t.Errorf("%s: got %s", who, r)
			}
		})
	}
	g.Wait()
	if got, want := string(journalOf(t, journal)), "begin\nend\nbegin\nend\n"; got != want {
		t.Errorf("got journal %q, want %q", got, want)
	}
	for _, r := range s.runs("default/race") {
		if r.Status != "applied" {
			t.Errorf("got run %s %s, want it applied", r.ID, r.Status)
		}
	}
}

func journalOf(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestCloudFifty: fifty CLIs at once, five to a workspace.
func TestCloudFifty(t *testing.T) {
	t.Parallel()
	s := newCloudServer(t)
	program := engines(t)[0]
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	for w := range 10 {
		c := s.stock(program, cloudBlock(fmt.Sprint("many-", w)), `output "here" { value = terraform.workspace }`)
		ready.Go(func() {
			if r := c.run("init"); r.code != 0 {
				t.Errorf("init: got %s", r)
			}
		})
		for range 5 {
			done.Go(func() {
				<-start
				if r := c.run("plan", "-detailed-exitcode"); r.code != 2 || !strings.Contains(r.stdout, "Changes to Outputs:") {
					t.Errorf("workspace many-%d: got %s, want exit code 2 and the plan", w, r)
				}
			})
		}
	}
	ready.Wait()
	close(start)
	done.Wait()
}
