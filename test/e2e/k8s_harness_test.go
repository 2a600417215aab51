package e2e_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gantry.example/internal/kubetest"
)

// images of the Pods: one brings the runner, the other is a plain terraform and knows nothing of Gantry.
const (
	imageRunner    = "registry.test/gantry:1"
	imageTerraform = "registry.test/terraform:1"
)

// shellSource is the shell of the terraform image: what provisioners need here, and nothing else.
const shellSource = `package main

import ("fmt"; "os"; "strconv"; "strings"; "time")

func main() {
	words := strings.Fields(os.Args[len(os.Args)-1])
	switch words[0] {
	case "sleep": // DURATION
		d, err := time.ParseDuration(words[1])
		if err != nil { panic(err) }
		fmt.Println("sleeping for", d)
		time.Sleep(d)
	case "count": // SECONDS
		n, err := strconv.Atoi(words[1])
		if err != nil { panic(err) }
		for i := range n {
			fmt.Printf("word %d said\n", i)
			time.Sleep(time.Second)
		}
	default:
		os.Exit(127)
	}
}
`

// startNode starts a real Kubernetes with the images; where that is not possible it says so, loudly.
func startNode(t *testing.T) *kubetest.Node {
	t.Helper()
	if why := kubetest.CannotRunPods(t); why != "" {
		fmt.Fprintf(os.Stderr, "\n!!! %s: PODS ARE NOT TESTED: %s\n\n", t.Name(), why)
		t.Skip("SKIPPED, PODS ARE NOT TESTED: " + why)
	}
	terraform, err := exec.LookPath("terraform")
	if err != nil {
		t.Fatal("an image with terraform is made from the one in PATH, and there is none")
	}
	beside := func(name string) string { return filepath.Join(filepath.Dir(binary(t)), name) }
	return kubetest.StartNode(t,
		kubetest.Image{Name: imageRunner, Files: map[string]string{
			"usr/local/bin/gantry-runner": beside("gantry-runner"), "usr/local/bin/gantry-exec": beside("gantry-exec"),
		}},
		kubetest.Image{Name: imageTerraform, Files: map[string]string{"bin/terraform": terraform, "bin/sh": kubetest.Compile(t, shellSource)}})
}

// pods is an installation and a cluster that carries its runs out.
type pods struct {
	*server
	node *kubetest.Node
}

// newPods returns an installation that the node's Pods reach, and that is not started.
func newPods(t *testing.T, node *kubetest.Node) pods {
	t.Helper()
	s := newServer(t)
	ln, err := net.Listen("tcp", node.Host+":0")
	if err != nil {
		t.Fatal(err)
	}
	public := ln.Addr().String()
	_ = ln.Close()
	s.args = append(s.args, "--https", public, "--public-url", "https://"+public, "--runner-image", imageRunner, "--start-within", "30s", "--lease-ttl", "10s", "--settle", "12s")
	return pods{s, node}
}

// on is the installation as one of the scenarios uses it.
func (p pods) on(t *testing.T) pods {
	s := *p.server
	s.t = t
	return pods{&s, p.node}
}

// podTemplate asks for little: many Pods share two CPUs.
const podTemplate = `{"image":"` + imageTerraform + `","resources":{"requests":{"cpu":"20m","memory":"96Mi","ephemeral-storage":"1Mi"},"limits":{"memory":"768Mi"}}}`

// k8sConfig makes a namespace by the manifest that is shipped, and a k8s config of that name, which has the manifest's rights only.
func (p pods) k8sConfig(name string, more ...string) {
	p.t.Helper()
	kubeconfig := p.node.Tenant("../../deploy/kubernetes/namespace.yaml", name)
	template := filepath.Join(p.t.TempDir(), "pod.json")
	write(p.t, template, podTemplate)
	p.must(append([]string{"k8s", "new", "default/" + name, "--kubeconfig", kubeconfig, "--namespace", name, "--pod-template", template}, more...)...)
}

// workspace makes one that executes in Pods of the config, with what else its document says.
func (p pods) workspace(name, config string, more ...string) string {
	p.t.Helper()
	document := filepath.Join(p.t.TempDir(), "execution.json")
	write(p.t, document, `{`+strings.Join(append([]string{`"execution_mode":"k8s"`, `"k8s_config_id":"` + config + `"`}, more...), ",")+`}`)
	p.must("workspaces", "new", "default/"+name, "--execution", document)
	return "default/" + name
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// detach starts a run that applies, and does not wait for it.
func (p pods) detach(dir, workspace string) run {
	p.t.Helper()
	var r run
	decode(p.t, p.must("run", dir, "-w", workspace, "--auto-approve", "--detach", "-o", "json").stdout, &r)
	return r
}

// podLimit is generous: a dozen Pods share the machine with their cluster.
const podLimit = 4 * time.Minute

// eventually waits until it is so.
func (p pods) eventually(what string, ok func() bool) {
	p.t.Helper()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(podLimit); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			p.t.Fatalf("no %s after %s; server log:\n%s", what, podLimit, tail(p.log.String(), 40))
		}
	}
}

// waitFor waits until the run has one of the statuses.
func (p pods) waitFor(id string, statuses ...string) {
	p.t.Helper()
	p.eventually(fmt.Sprintf("run %s that is one of %v", id, statuses), func() bool { return slices.Contains(statuses, p.show(id).Status) })
}

// shown waits until what is shown of a run has the text.
func (p pods) shown(id, text string) {
	p.t.Helper()
	p.eventually(text+" in what is shown of the run", func() bool { return strings.Contains(p.gantry("runs", "show", id).stdout, text) })
}

// printed waits until the log of a run has the text.
func (p pods) printed(id, text string) {
	p.t.Helper()
	p.eventually(text+" in the log of the run", func() bool { return strings.Contains(p.gantry("runs", "logs", id).stdout, text) })
}

// ended waits for a status and for what is shown then.
func (p pods) ended(id, status, text string) {
	p.t.Helper()
	p.waitFor(id, status)
	if got := p.must("runs", "show", id).stdout; !strings.Contains(got, text) {
		p.t.Errorf("got\n%s\nwant %q in it", got, text)
	}
}

// show is a run now. A machine as busy as this one may leave a question without an answer.
func (p pods) show(id string) (r run) {
	if answer := p.gantry("runs", "show", id, "-o", "json"); answer.code == 0 {
		decode(p.t, answer.stdout, &r)
	}
	return r
}
