package e2e_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// island is a network of its own from which one address of this machine can be reached, and nothing else.
type island struct {
	t      *testing.T
	name   string
	inside string // its end of the line
}

// islands makes some, and returns the address that they reach. Tests that run at the same time each have another sea.
func islands(t *testing.T, sea, n int) (address string, out []island) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED, AGENTS IN NETWORKS OF THEIR OWN ARE NOT TESTED: only root can make network namespaces; run make e2e as root on Linux")
	}
	id := (os.Getpid() + 100*sea) % 250
	address = fmt.Sprintf("10.213.%d.1", id)
	ip := func(args ...string) error {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
		}
		return nil
	}
	if err := ip("address", "add", address+"/32", "dev", "lo"); err != nil {
		t.Skipf("SKIPPED, AGENTS IN NETWORKS OF THEIR OWN ARE NOT TESTED: %v", err)
	}
	t.Cleanup(func() { _ = ip("address", "delete", address+"/32", "dev", "lo") })
	for i := range n {
		name := fmt.Sprintf("gantry%d-%d", id, i)
		here, there := fmt.Sprintf("10.213.%d.%d", id, 5+4*i), fmt.Sprintf("10.213.%d.%d", id, 6+4*i)
		outside, inside := fmt.Sprintf("gy%do%d", id, i), fmt.Sprintf("gy%di%d", id, i)
		t.Cleanup(func() { _ = ip("netns", "delete", name) }) // with the pair
		for _, args := range [][]string{
			{"netns", "add", name}, {"link", "add", outside, "type", "veth", "peer", "name", inside, "netns", name},
			{"address", "add", here + "/30", "dev", outside}, {"link", "set", outside, "up"},
			{"-n", name, "address", "add", there + "/30", "dev", inside}, {"-n", name, "link", "set", inside, "up"}, {"-n", name, "link", "set", "lo", "up"},
			{"-n", name, "route", "add", address + "/32", "via", here},
		} {
			if err := ip(args...); err != nil {
				t.Skipf("SKIPPED, AGENTS IN NETWORKS OF THEIR OWN ARE NOT TESTED: %v", err)
			}
		}
		out = append(out, island{t, name, inside})
	}
	return address, out
}

// remote is an agent on an island.
type remote struct {
	t      *testing.T
	server *server
	args   []string
	env    []string // nil: ours
	log    *logBuffer
	cmd    *exec.Cmd
}

// agent prepares one; its folder is kept over restarts.
func (i island) agent(s *server, address, token, name, labels string) *remote {
	i.t.Helper()
	dir, err := os.MkdirTemp("", "gantry-e2e-agent-")
	if err != nil {
		i.t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		i.t.Fatal(err)
	}
	a := &remote{t: i.t, server: s, log: &logBuffer{}, args: []string{"netns", "exec", i.name, filepath.Join(filepath.Dir(s.bin), "gantry-agent"), "--address", address,
		"--ca-file", filepath.Join(s.dir, "ca.pem"), "--token-file", token, "--name", name, "--label", labels, "--data-dir", filepath.Join(dir, "agent"), "--min-free-disk", "0"}}
	i.t.Cleanup(func() {
		if a.cmd != nil && a.cmd.ProcessState == nil {
			_ = a.cmd.Process.Kill()
			_ = a.cmd.Wait()
		}
		if i.t.Failed() {
			i.t.Logf("agent %s:\n%s", name, tail(a.log.String(), 40))
		}
		_ = os.RemoveAll(dir)
	})
	return a
}

// start starts the agent and waits until it works.
func (a *remote) start() {
	a.t.Helper()
	told := strings.Count(a.log.String(), "ready ")
	a.cmd = exec.Command("ip", a.args...) // which becomes the agent
	a.cmd.Stdout, a.cmd.Stderr, a.cmd.Env = a.log, a.log, a.env
	if err := a.cmd.Start(); err != nil {
		a.t.Fatal(err)
	}
	eventually(a.t, a.server, "work of the agent", func() bool { return strings.Count(a.log.String(), "ready ") > told })
}

// exit waits for the end of the agent's process and returns its exit code.
func (a *remote) exit() int {
	a.t.Helper()
	done := make(chan struct{})
	go func() { _ = a.cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(90 * time.Second):
		a.t.Fatalf("the agent did not end:\n%s", tail(a.log.String(), 20))
	}
	return a.cmd.ProcessState.ExitCode()
}

// carriedOut checks that the run was this agent's.
func (a *remote) carriedOut(run string) {
	a.t.Helper()
	if !strings.Contains(a.log.String(), `msg="runner started"`) || !strings.Contains(a.log.String(), run) {
		a.t.Errorf("run %s was not carried out by %v", run, a.args)
	}
}

// agents are those of the pool: status by name, and ids.
func (s *server) agents(pool string) (status, ids map[string]string) {
	s.t.Helper()
	var all []struct{ ID, Name, Status string }
	decode(s.t, s.must("agents", "list", pool, "-o", "json").stdout, &all)
	status, ids = map[string]string{}, map[string]string{}
	for _, a := range all {
		status[a.Name], ids[a.Name] = a.Status, a.ID
	}
	return status, ids
}

// TestAgentsElsewhere: two agents in networks of their own, with nothing but HTTPS to the server; labels, kill -9 in an apply, a
// restart of the server, drain, and a revoked token.
func TestAgentsElsewhere(t *testing.T) {
	t.Parallel()
	address, nets := islands(t, 0, 2)
	s := newServer(t)
	_, port, err := net.SplitHostPort(freeAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	s.args = append(s.args, "--https", net.JoinHostPort(address, port))
	s.start()
	s.must("pools", "new", "default/aws")
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(s.must("pools", "tokens", "new", "default/aws").stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	url := "https://" + net.JoinHostPort(address, port)
	plain, gpu := nets[0].agent(s, url, token, "plain", "production"), nets[1].agent(s, url, token, "gpu", "production,gpu")
	gpu.args = append(gpu.args, "--run-env", "TF_VAR_agent_*")
	gpu.env = append(os.Environ(), "TF_VAR_agent_says=what the agent has", "TF_VAR_secret=not for runs")
	plain.args = append(plain.args, "--run-env", "T*") // what the engine would do by this is not for runs either
	plain.env = append(os.Environ(), "TF_CLI_ARGS=-no-such-argument")
	plain.start()
	gpu.start()

	on := func(workspace, labels string) {
		doc := filepath.Join(t.TempDir(), "execution.json")
		text := fmt.Sprintf(`{"execution_mode":"agent","agent_pool_id":"aws","selection_strategy":"least_busy","required_labels":[%s]}`, labels)
		if err := os.WriteFile(doc, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s.must("workspaces", "new", workspace)
		s.must("workspaces", "edit", workspace, "--execution", doc)
	}
	on("default/gpu", `"gpu"`)
	on("default/any", `"production"`)
	quick := config(t, `resource "terraform_data" "a" { input = "x" }`)
	s.must("run", quick, "-w", "default/gpu", "--auto-approve")
	gpu.carriedOut(s.runs("default/gpu")[0].ID)

	t.Log("a run sees of the agent's environment what it may")
	said := s.must("run", config(t, `
variable "agent_says" {}
variable "secret" { default = "unseen" }
output "said" { value = "${var.agent_says}, ${var.secret}" }`), "-w", "default/gpu", "--auto-approve")
	if !strings.Contains(said.stdout, "what the agent has, unseen") {
		t.Errorf("got %s, want what the agent lets runs see", said)
	}

	t.Log("kill -9 of the agent in an apply: it goes on, and the next start takes it up")
	gate := filepath.Join(shared(t), "gate")
	slow := config(t, fmt.Sprintf(`resource "terraform_data" "slow" {
  provisioner "local-exec" { command = "touch %[1]s.begun; until [ -e %[1]s ]; do sleep 0.1; done" }
}`, gate))
	s.must("run", slow, "-w", "default/gpu", "--auto-approve", "--detach")
	id := s.runs("default/gpu")[0].ID
	eventually(t, s, "the apply", func() bool { _, err := os.Stat(gate + ".begun"); return err == nil })
	if err := gpu.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	gpu.exit()
	s.kill()
	s.start()
	gpu.start()
	eventually(t, s, "the agent to be busy again", func() bool { status, _ := s.agents("default/aws"); return status["gpu"] == "busy" })

	t.Log("drain: what runs is finished, nothing new is taken")
	_, ids := s.agents("default/aws")
	s.must("agents", "drain", ids["gpu"])
	eventually(t, s, "the agent to drain", func() bool { status, _ := s.agents("default/aws"); return status["gpu"] == "draining" })
	if err := os.WriteFile(gate, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	s.waitFor(id, "applied")
	if code := gpu.exit(); code != 0 {
		t.Errorf("exit code of a drained agent: got %d, want 0", code)
	}
	eventually(t, s, "the word that it ended", func() bool { status, _ := s.agents("default/aws"); return status["gpu"] == "exited" })
	s.must("run", quick, "-w", "default/any", "--auto-approve")
	plain.carriedOut(s.runs("default/any")[0].ID)

	t.Log("a revoked token: the agent is disconnected, says so, and ends when it is asked to")
	var tokens []struct{ ID string }
	decode(t, s.must("pools", "tokens", "list", "default/aws", "-o", "json").stdout, &tokens)
	s.must("pools", "tokens", "revoke", "default/aws", tokens[0].ID)
	eventually(t, s, "the agent to be disconnected", func() bool { return strings.Contains(plain.log.String(), "nats connection lost") })
	eventually(t, s, "the agent to say why", func() bool { return strings.Contains(plain.log.String(), "does not take the token") })
	if err := plain.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := plain.exit(); code != 0 {
		t.Errorf("exit code of an idle agent after SIGTERM: got %d, want 0", code)
	}
}
