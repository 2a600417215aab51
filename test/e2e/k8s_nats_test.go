package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"gantry.example/client"
)

// natsAlone is a NATS server that is a process of its own, and nobody else's.
type natsAlone struct {
	t       *testing.T
	program string
	conf    string
	cmd     *exec.Cmd
}

// newNATS configures one by what is shipped for that, and returns the flags by which a gantry server uses it.
func newNATS(t *testing.T) (*natsAlone, []string) {
	t.Helper()
	dir := t.TempDir()
	n := &natsAlone{t: t, program: filepath.Join(dir, "nats-server")}
	buildNATS(t, n.program)
	ip := fmt.Sprintf("127.%d.%d.1", 2+rand.N(250), rand.N(250)) // its ports are the usual ones
	keys := filepath.Join(dir, "cluster")
	args := []string{"admin", "nats-config", "--dir", keys, "--store-dir", filepath.Join(dir, "store"), "--server", ip}
	if out, err := exec.Command(binary(t), args...).CombinedOutput(); err != nil {
		t.Fatalf("gantry admin nats-config: %v\n%s", err, out)
	}
	n.conf = filepath.Join(keys, "servers", ip, "nats.conf")
	t.Cleanup(n.kill)
	return n, []string{
		"--nats-url", "tls://" + ip + ":4222", "--nats-websocket-url", "wss://" + ip + ":9222", "--replicas", "1",
		"--nats-credentials-file", filepath.Join(keys, "control", "api.json"), "--ca-file", filepath.Join(keys, "control", "ca.pem"),
	}
}

func (n *natsAlone) start() {
	n.t.Helper()
	n.cmd = exec.Command(n.program, "-c", n.conf)
	if err := n.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
}

// freeze leaves its connections open, and nobody to answer on them.
func (n *natsAlone) freeze() { _ = n.cmd.Process.Signal(syscall.SIGSTOP) }

func (n *natsAlone) kill() {
	if n.cmd == nil {
		return
	}
	_ = n.cmd.Process.Kill()
	_ = n.cmd.Wait()
	n.cmd = nil
}

// How long NATS does not answer, and then is not there: together for longer than a lease lives.
const (
	natsFrozen = 12 * time.Second
	natsGone   = 18 * time.Second
)

// podsNATSAway: NATS alone is away in two applies, of which one ends meanwhile. Both are applied once, and their logs are whole.
func podsNATSAway(t *testing.T, p pods) {
	nats, flags := newNATS(t)
	nats.start()
	p = newPods(t, p.node)
	p.args = append(p.args, flags...)
	p.start()
	p.k8sConfig("team-nats")
	const short, long = 20, 50
	counts := map[string]int{
		p.detach(sleeping(t, fmt.Sprintf("count %d", short)), p.workspace("ends", "team-nats")).ID:   short,
		p.detach(sleeping(t, fmt.Sprintf("count %d", long)), p.workspace("goes-on", "team-nats")).ID: long,
	}
	for id := range counts {
		p.printed(id, "word 0 said")
	}
	nats.freeze()
	away := time.NewTimer(natsFrozen)
	<-away.C
	nats.kill()
	away.Reset(natsGone)
	<-away.C
	nats.start()
	for id, count := range counts {
		p.waitFor(id, "applied")
		p.whole(id)
		log := p.must("runs", "logs", id).stdout
		for i := range count {
			if word := fmt.Sprintf("word %d said\n", i); strings.Count(log, word) != 1 {
				t.Errorf("run %s: got %q %d times in its log, want once", id, word, strings.Count(log, word))
			}
		}
	}
}

// whole waits until both logs of a run are complete, and are what was printed.
func (p pods) whole(id string) {
	p.t.Helper()
	p.eventually("two logs that are what was printed", func() bool {
		var shown client.RunDetails
		decode(p.t, p.must("runs", "show", id, "-o", "json").stdout, &shown)
		return len(shown.Logs) == 2 && !slices.ContainsFunc(shown.Logs, func(l client.LogCheck) bool { return l.Intact == nil || !*l.Intact })
	})
}
