package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// podsServerAway: a minute without server, NATS and dispatcher, in an apply, costs nothing: the Pod goes on and delivers afterwards.
func podsServerAway(t *testing.T, p pods) {
	p = newPods(t, p.node)
	p.start()
	p.k8sConfig("team-away")
	w := p.workspace("away", "team-away")
	r := p.detach(sleeping(t, "sleep 40s"), w)
	p.printed(r.ID, "sleeping for 40s")
	p.kill()
	away := time.NewTimer(time.Minute)
	<-away.C
	p.start()
	p.waitFor(r.ID, "applied")
	if state := p.must("state", "pull", w).stdout; !strings.Contains(state, `"saved"`) {
		t.Errorf("got state\n%s\nwant that of the apply", state)
	}
	p.printed(r.ID, "Apply complete!")
	if log := p.must("runs", "logs", r.ID).stdout; strings.Count(log, "sleeping for 40s") != 1 {
		t.Errorf("got log\n%s\nwant one apply", log)
	}
}

// podsKilled: a dispatcher that is killed -9 at each step of making a Pod leaves nothing behind, and nothing is applied twice.
func podsKilled(t *testing.T, p pods) {
	p = newPods(t, p.node)
	p.args = append(p.args, "--start-within", "8s")
	p.start()
	p.k8sConfig("team-killed")
	for _, point := range []string{"dispatcher.pod_created", "dispatcher.inputs_created", "dispatcher.ungated"} {
		w := p.workspace(strings.ReplaceAll(point, ".", "-"), "team-killed")
		p.stop()
		p.start("GANTRY_FAILPOINT=" + point)
		p.gantry("run", sleeping(t, "sleep 1ms"), "-w", w, "--auto-approve", "--detach") // the server may end while it answers
		if code := p.waitExit(); code != -1 {
			t.Fatalf("%s: got exit code %d, want it killed there", point, code)
		}
		p.start()
		r := p.runs(w)[0]
		p.waitFor(r.ID, "applied")
		p.printed(r.ID, "Apply complete!")
		if log := p.must("runs", "logs", r.ID).stdout; strings.Count(log, "sleeping for 1ms") != 1 {
			t.Errorf("%s: got log\n%s\nwant one apply", point, log)
		}
		p.eventually("end of all Pods but those that are kept for people, after "+point, func() bool {
			got := p.node.Contents("team-killed")
			return got["Pending"] == 0 && got["Running"] == 0 && got["Secret"] == 0 && got["ConfigMap"] == got["Succeeded"]+got["Failed"]
		})
	}
}

// podsAPIServerAway: a cluster whose API server is killed goes on with what runs.
func podsAPIServerAway(t *testing.T, p pods) {
	w := p.workspace("no-api-server", "team-a")
	r := p.detach(sleeping(t, "sleep 15s"), w)
	p.printed(r.ID, "sleeping for 15s")
	p.node.RestartAPIServer()
	p.waitFor(r.ID, "applied")
	p.must("run", "../../examples/hello", "-w", w, "--auto-approve")
}

// podsRemote: two dispatchers near the cluster share a config that the server itself does not reach, and one of them is killed.
func podsRemote(t *testing.T, p pods) {
	kubeconfig := p.node.Tenant("../../deploy/kubernetes/namespace.yaml", "team-far")
	template := filepath.Join(t.TempDir(), "pod.json")
	write(t, template, podTemplate)
	p.must("k8s", "new", "default/far", "--remote", "--namespace", "team-far", "--pod-template", template)
	token := filepath.Join(t.TempDir(), "token")
	write(t, token, p.must("k8s", "tokens", "new", "default/far").stdout)
	first := p.dispatcher(kubeconfig, token, "first")
	p.dispatcher(kubeconfig, token, "second")
	w := p.workspace("far", "far")
	r := p.detach(sleeping(t, "sleep 5s"), w)
	p.eventually("Pod of the plan", func() bool { return p.node.Pods("team-far", "gantry.example/run="+r.ID) > 0 })
	if err := first.Process.Kill(); err != nil {
		t.Error(err)
	}
	p.waitFor(r.ID, "applied")
	p.printed(r.ID, "Apply complete!")
	if log := p.must("runs", "logs", r.ID).stdout; strings.Count(log, "sleeping for 5s") != 1 {
		t.Errorf("got log\n%s\nwant one apply", log)
	}
	image := p.node.Registry + "/nothing/far:1" // what Pods show is judged there as it is here
	r = p.detach("../../examples/hello", p.workspace("far-image", "far", `"pod_template":{"image":"`+image+`"}`))
	p.shown(r.ID, "can't be pulled")
	p.ended(r.ID, "errored", image)
	p.must("k8s", "edit", "default/far", "--max-pods", "1") // heard there without a restart
	one := p.detach(sleeping(t, "sleep 10m"), p.workspace("far-long", "far"))
	p.printed(one.ID, "sleeping for 10m")
	more := p.detach("../../examples/hello", p.workspace("far-more", "far"))
	p.shown(more.ID, "max_pods")
	p.must("k8s", "edit", "default/far", "--max-pods", "5")
	p.waitFor(more.ID, "applied")
	p.must("runs", "cancel", one.ID)
	p.waitFor(one.ID, "canceled")
}

// dispatcher starts gantry-dispatcher, which ends with the test.
func (p pods) dispatcher(kubeconfig, token, name string) *exec.Cmd {
	p.t.Helper()
	public := p.public()
	cmd := exec.Command(filepath.Join(filepath.Dir(p.bin), "gantry-dispatcher"), "--address", "https://"+public, "--nats-url", "wss://"+public+"/nats",
		"--ca-file", filepath.Join(p.dir, "ca.pem"), "--token-file", token, "--kubeconfig", kubeconfig, "--runner-image", imageRunner, "--name", name)
	log := &logBuffer{}
	cmd.Stdout, cmd.Stderr, cmd.Env = log, log, os.Environ()
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if p.t.Failed() {
			p.t.Logf("dispatcher %s:\n%s", name, tail(log.String(), 20))
		}
	})
	return cmd
}

// public is host and port where Pods reach the server.
func (p pods) public() string {
	for i, arg := range p.args {
		if arg == "--public-url" {
			return strings.TrimPrefix(p.args[i+1], "https://")
		}
	}
	p.t.Fatal("the server has no public address")
	return ""
}
