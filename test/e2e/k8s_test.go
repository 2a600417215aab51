package e2e_test

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// sleeping is applied by way of a provisioner that takes its time, beside a resource that is there before.
func sleeping(t *testing.T, how string) string {
	t.Helper()
	return config(t, `
resource "terraform_data" "first" { input = "saved" }
resource "terraform_data" "slow" {
  input = terraform_data.first.output
  provisioner "local-exec" { command = "`+how+`" }
}`)
}

// TestPods carries runs out in Pods of a real Kubernetes, with the rights of the Role that is shipped and no others.
func TestPods(t *testing.T) {
	t.Parallel()
	node := startNode(t)
	p := newPods(t, node)
	p.start()
	p.k8sConfig("team-a")
	p.must("k8s", "check", "default/team-a")
	var running sync.WaitGroup
	room := make(chan struct{}, 3) // they wait most of the time, so go test's own limit would be too low
	for name, scenario := range map[string]func(*testing.T, pods){
		"plan and apply": podsApply, "environment": podsEnvironment, "terraform fails": podsFail, "out of memory": podsMemory, "deleted in its apply": podsDeleted,
		"image that is not there": podsImage, "large configuration": podsLarge, "quota": podsQuota, "no room": podsNoRoom,
		"limit of an apply": podsLimit, "canceled": podsCanceled, "server away": podsServerAway, "NATS away": podsNATSAway, "API server away": podsAPIServerAway,
		"remote dispatchers": podsRemote, "killed while it places": podsKilled,
	} {
		running.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			t.Run(name, func(t *testing.T) { scenario(t, p.on(t)) })
		})
	}
	running.Wait()
	p.eventually("namespace without a Pod that runs, and without a Secret", func() bool {
		got := node.Contents("team-a")
		return got["Running"] == 0 && got["Pending"] == 0 && got["Secret"] == 0
	})
}

func podsApply(t *testing.T, p pods) {
	w := p.workspace("hello", "team-a")
	if r := p.must("k8s", "render", "-w", w); !strings.Contains(r.stdout, imageTerraform) {
		t.Errorf("got %s, want the Pod as a manifest", r)
	}
	p.must("run", "../../examples/hello", "-w", w, "--auto-approve")
	id := p.runs(w)[0].ID
	p.printed(id, "Apply complete!")
	p.whole(id)
	if state := p.must("state", "pull", w).stdout; !strings.Contains(state, "Hello, Ada") {
		t.Errorf("got state\n%s\nwant that of the apply", state)
	}
}

// podsEnvironment: what a pod_template says of the environment is there for Terraform, variables of the workspace count for more, and a
// token of the ServiceAccount is where it can be read.
func podsEnvironment(t *testing.T, p pods) {
	w := p.workspace("environment", "team-a", `"pod_template":`+strings.TrimSuffix(podTemplate, "}")+`,
		"service_account_token":{"audience":"cloud"},"env":[{"name":"TF_VAR_pod","value":"of the Pod"},{"name":"TF_VAR_both","value":"of the Pod"}]}`)
	p.must("vars", "set", w, "TF_VAR_both=of the workspace", "--env")
	id := p.detach(config(t, `
variable "pod" {}
variable "both" {}
output "said" { value = "${var.pod}, ${var.both}, ${length(file("/gantry/token/token")) > 0}" }`), w).ID
	p.printed(id, `said = "of the Pod, of the workspace, true"`)
	p.waitFor(id, "applied")
}

func podsFail(t *testing.T, p pods) {
	w := p.workspace("failing", "team-a")
	if r := p.gantry("run", "../../examples/failing", "-w", w, "--auto-approve"); r.code != 1 {
		t.Errorf("got %s, want exit code 1", r)
	}
	p.printed(p.runs(w)[0].ID, "local-exec provisioner error")
}

// podsMemory: an apply whose terraform is killed for its memory may have changed anything, so its outcome is unknown.
func podsMemory(t *testing.T, p pods) {
	w := p.workspace("hungry", "team-a", `"pod_template":{"image":"`+imageTerraform+`","resources":{"requests":{"cpu":"20m","memory":"96Mi","ephemeral-storage":"1Mi"},"limits":{"memory":"192Mi"}}}`)
	r := p.detach(config(t, `
resource "terraform_data" "many" { input = 1000 }
resource "terraform_data" "hungry" { input = length(setproduct(range(terraform_data.many.output), range(1000))) }`), w)
	p.waitFor(r.ID, "errored")
	p.eventually("unknown outcome", func() bool {
		return strings.Contains(p.must("runs", "show", r.ID, "-o", "json").stdout, `"outcome_unknown"`)
	})
	if locked := p.must("workspaces", "show", w).stdout; !strings.Contains(locked, r.ID) {
		t.Errorf("got\n%s\nwant it locked by the run", locked)
	}
}

// podsDeleted: whoever deletes a Pod in its apply gets a terraform that stops in order and saves its state, and a workspace that goes on.
func podsDeleted(t *testing.T, p pods) {
	w := p.workspace("deleted", "team-a")
	r := p.detach(sleeping(t, "sleep 10m"), w)
	p.printed(r.ID, "sleeping for 10m")
	p.node.DeletePods("team-a", "gantry.example/phase=apply,gantry.example/run="+r.ID)
	p.waitFor(r.ID, "errored", "canceled")
	if state := p.must("state", "pull", w).stdout; !strings.Contains(state, `"saved"`) {
		t.Errorf("got state\n%s\nwant what was applied before the end", state)
	}
	p.waitFor(p.detach(config(t, `output "after" { value = "well" }`), w).ID, "applied")
}

func podsImage(t *testing.T, p pods) {
	image := p.node.Registry + "/nothing/there:1"
	w := p.workspace("no-image", "team-a", `"pod_template":{"image":"`+image+`"}`)
	r := p.detach("../../examples/hello", w)
	p.shown(r.ID, "can't be pulled")
	p.ended(r.ID, "errored", image)
}

// podsLarge: what does not fit into a ConfigMap is downloaded, and checked.
func podsLarge(t *testing.T, p pods) {
	w := p.workspace("large", "team-a")
	dir := config(t, `output "large" { value = length(filebase64("${path.module}/large.bin")) }`)
	large := make([]byte, 3<<20)
	_, _ = rand.Read(large)
	if err := os.WriteFile(filepath.Join(dir, "large.bin"), large, 0o600); err != nil {
		t.Fatal(err)
	}
	p.printed(p.detach(dir, w).ID, "large = 4194304")
}

// podsQuota: a run that the quota has no room for waits, people read why, and it goes on as soon as there is some.
func podsQuota(t *testing.T, p pods) {
	p.k8sConfig("team-b")
	p.node.Quota("team-b", "gantry-runs", "pods", "0")
	w := p.workspace("quota", "team-b")
	r := p.detach("../../examples/hello", w)
	p.shown(r.ID, "quota")
	p.node.Quota("team-b", "gantry-runs", "pods", "5")
	p.waitFor(r.ID, "applied")
}

// podsNoRoom: a Pod that fits nowhere waits, people read why, and its run is canceled before it began.
func podsNoRoom(t *testing.T, p pods) {
	w := p.workspace("no-room", "team-a", `"pod_template":{"image":"`+imageTerraform+`","node_selector":{"disk":"none"}}`)
	r := p.detach("../../examples/hello", w)
	p.shown(r.ID, "No node has room for the Pod")
	p.must("runs", "cancel", r.ID)
	p.waitFor(r.ID, "canceled")
	p.eventually("Pod that is gone", func() bool { return p.node.Pods("team-a", "gantry.example/run="+r.ID) == 0 })
}

func podsLimit(t *testing.T, p pods) {
	w := p.workspace("limit", "team-a", `"timeouts":{"apply":"5s"}`)
	r := p.detach(sleeping(t, "sleep 10m"), w)
	p.ended(r.ID, "errored", "5s")
	if state := p.must("state", "pull", w).stdout; !strings.Contains(state, `"saved"`) {
		t.Errorf("got state\n%s\nwant what was applied before the limit", state)
	}
}

func podsCanceled(t *testing.T, p pods) {
	w := p.workspace("canceled", "team-a")
	r := p.detach(sleeping(t, "sleep 10m"), w)
	p.printed(r.ID, "sleeping for 10m")
	begun := time.Now()
	p.must("runs", "cancel", r.ID)
	p.waitFor(r.ID, "canceled")
	t.Logf("canceled in %s", time.Since(begun))
	if state := p.must("state", "pull", w).stdout; !strings.Contains(state, `"saved"`) {
		t.Errorf("got state\n%s\nwant what was applied before the end", state)
	}
}
