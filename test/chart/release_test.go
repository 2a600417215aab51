package chart_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"
	"k8s.io/client-go/rest"

	"gantry.example/internal/kubetest"
	"gantry.example/workers/k8s"
)

// installation is a release of the chart in a cluster whose controllers make the Pods, which nobody runs.
type installation struct {
	server
	chart      chart
	kubeconfig string
}

// change is an upgrade: values over those of before, and whose Pods are replaced because of it.
type change struct {
	name, values string
	rolls        []string
}

// changes are made one after the other, to full.yaml.
func changes() []change {
	all := []string{"agent-aws", "agent-far", "api", "dispatcher", "house", "relay", "streams", "worker"}
	return []change{
		{"nothing", `{}`, nil},
		{"more of them", `{api: {replicas: 4}}`, nil},
		{"who reaches the API", `{networkPolicy: {apiFrom: []}}`, nil},
		{"a new version", `{image: {tag: v1.5.0}}`, all},
		{"another NATS", `{images: {nats: "registry.example.com/nats:2.15.2"}}`, []string{"nats"}},
		{"a flag of the API", `{api: {extraArgs: [--lease-ttl, 20s, --grace, 2m]}}`, []string{"api"}},
		{"resources of one service", `{services: {streams: {resources: {limits: {memory: 3Gi}}}}}`, []string{"streams"}},
		{"another address", `{publicURL: "https://runs.example.com"}`, []string{"agent-aws", "api", "dispatcher", "house", "relay", "streams", "worker"}},
		{"another database", `{database: {secret: gantry-database-2}}`, []string{"api", "dispatcher", "house", "relay", "streams"}},
		{"an agent less, a namespace more", `{agents: [{name: aws, replicas: 2, labels: [aws, production], concurrency: 4, token: {secret: gantry-agent-aws},
			envFrom: [{secretRef: {name: aws}}]}], runs: {namespaces: [{name: runs-d}]}}`, nil},
	}
}

// released: Helm installs the chart where the documentation says, all Pods are admitted, an upgrade replaces those it concerns and no
// others, and what must outlive the release does.
func (c chart) released(t *testing.T) {
	cluster := kubetest.StartControlled(t)
	client, err := rest.HTTPClientFor(cluster.Rest())
	if err != nil {
		t.Fatal(err)
	}
	in := installation{server{cluster.Rest().Host, client}, c, cluster.Kubeconfig}
	for _, name := range []string{namespace, "runs-b"} {
		in.take(t, restricted(name), "")
	}
	for name, files := range secretsOf(t) {
		in.takeSecret(t, name, files)
	}
	values := in.values(t, `{}`, filepath.Join("testdata", "full.yaml"))
	in.helm(t, "install", folder, values)
	in.awaitPods(t)
	if got := in.get(t, "/api/v1/namespaces/runs-a").text("metadata", "labels", "pod-security.kubernetes.io/enforce"); got != "restricted" {
		t.Errorf("namespace runs-a: got pod security %q, want restricted", got)
	}
	in.evictions(t)
	for _, one := range changes() {
		before := in.revisions(t)
		values = in.values(t, one.values, values)
		in.helm(t, "upgrade", folder, values)
		var rolled []string
		for name, revision := range in.revisions(t) {
			if before[name] != revision {
				rolled = append(rolled, name)
			}
		}
		slices.Sort(rolled)
		if diff := cmp.Diff(one.rolls, rolled); diff != "" {
			t.Errorf("%s: Pods that are replaced (-want +got):\n%s", one.name, diff)
		}
		in.awaitPods(t)
	}
	if _, there := in.revisions(t)["agent-far"]; there {
		t.Error("the agent that was taken out of the values is still there")
	}
	in.get(t, "/apis/rbac.authorization.k8s.io/v1/namespaces/runs-d/roles/gantry-dispatcher")
	if out, err := in.tryHelm(t, "upgrade", folder, in.values(t, `{nats: {storage: {size: 20Gi}}}`, values)); err == nil || !strings.Contains(out, "volumeClaimTemplates") {
		t.Errorf("larger volumes of NATS: got %v and %s, want it refused, as the documentation says", err, out)
	}
	in.helm(t, "upgrade", folder, values) // goes on from there
	in.uninstalled(t)
	in.helm(t, "install", folder, values) // finds what was kept
}

// evictions: who drains a node may evict a plan, and waits for an apply.
func (i installation) evictions(t *testing.T) {
	t.Helper()
	const pods = "/api/v1/namespaces/runs-a/pods"
	for phase, want := range map[string]int{"plan": http.StatusCreated, "apply": http.StatusTooManyRequests} {
		confined := map[string]any{"allowPrivilegeEscalation": false, "capabilities": map[string]any{"drop": []any{"ALL"}}}
		i.take(t, object{
			"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": phase, "namespace": "runs-a", "labels": map[string]any{k8s.LabelPhase: phase}},
			"spec": map[string]any{
				"securityContext": map[string]any{"runAsNonRoot": true, "seccompProfile": map[string]any{"type": "RuntimeDefault"}},
				"containers":      []any{map[string]any{"name": "runner", "image": "runner", "securityContext": confined, "resources": map[string]any{"limits": map[string]any{"memory": "1Gi"}}}},
			},
		}, "")
		running := object{"status": map[string]any{"phase": "Running", "conditions": []any{map[string]any{"type": "Ready", "status": "True"}}}}
		if code := i.send(t, http.MethodPatch, pods+"/"+phase+"/status", "application/merge-patch+json", running); code != http.StatusOK {
			t.Fatalf("%s: got %d, want it to be running", phase, code)
		}
		i.await(t, "the budget", func() bool {
			budget := i.get(t, "/apis/policy/v1/namespaces/runs-a/poddisruptionbudgets/gantry-applies")
			return budget.at("status", "observedGeneration") == budget.at("metadata", "generation")
		})
		eviction := object{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": map[string]any{"name": phase, "namespace": "runs-a"}}
		if code := i.send(t, http.MethodPost, pods+"/"+phase+"/eviction", "application/json", eviction); code != want {
			t.Errorf("eviction of the Pod of a %s: got %d, want %d", phase, code, want)
		}
	}
}

// uninstalled takes the release away: what it made is gone, but for what cannot be made again.
func (i installation) uninstalled(t *testing.T) {
	t.Helper()
	i.helm(t, "uninstall")
	i.await(t, "the end of all Pods", func() bool { return len(i.list(t, "/api/v1/namespaces/"+namespace+"/pods")) == 0 })
	for _, name := range []string{"runs-a", "runs-d"} {
		if phase := i.get(t, "/api/v1/namespaces/"+name).text("status", "phase"); phase != "Active" {
			t.Errorf("namespace %s: got it %s, want it kept", name, phase)
		}
		i.get(t, "/apis/policy/v1/namespaces/"+name+"/poddisruptionbudgets/gantry-applies")
		i.get(t, "/apis/networking.k8s.io/v1/namespaces/"+name+"/networkpolicies/"+name) // what still runs stays confined
	}
	claims := map[string]int{}
	for _, claim := range i.list(t, "/api/v1/namespaces/"+namespace+"/persistentvolumeclaims") {
		claims[claim.text("metadata", "labels", "app.kubernetes.io/component")]++
	}
	if diff := cmp.Diff(map[string]int{"nats": 3, "worker": 2}, claims); diff != "" {
		t.Errorf("volumes that are left (-want +got):\n%s", diff)
	}
	for _, name := range []string{"gantry-api", "gantry-nats", "gantry-services", "gantry-workers"} {
		i.get(t, "/api/v1/namespaces/"+namespace+"/secrets/"+name)
	}
}

// values writes those that are said over those of a file, and returns the new file.
func (installation) values(t *testing.T, said, over string) string {
	t.Helper()
	b, err := os.ReadFile(over)
	if err != nil {
		t.Fatal(err)
	}
	var values, more map[string]any
	if err := yaml.Unmarshal(b, &values); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(said), &more); err != nil {
		t.Fatal(err)
	}
	merge(values, more)
	if b, err = yaml.Marshal(values); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// merge lays values over others, as helm does with several files of them.
func merge(into, more map[string]any) {
	for key, value := range more {
		if below, ok := value.(map[string]any); ok {
			if there, ok := into[key].(map[string]any); ok {
				merge(there, below)
				continue
			}
		}
		into[key] = value
	}
}

// helm does a command of helm.
func (i installation) helm(t *testing.T, verb string, args ...string) {
	t.Helper()
	if out, err := i.tryHelm(t, verb, args...); err != nil {
		t.Fatalf("helm %s: %v\n%s", verb, err, out)
	}
}

func (i installation) tryHelm(t *testing.T, verb string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(i.chart.programs, "release"), append([]string{verb, i.kubeconfig, release, namespace}, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// workloads are what makes Pods, by the component's name.
func (i installation) workloads(t *testing.T) map[string]object {
	t.Helper()
	out := map[string]object{}
	for _, kind := range []string{"deployments", "statefulsets"} {
		for _, o := range i.list(t, "/apis/apps/v1/namespaces/"+namespace+"/"+kind) {
			out[strings.TrimPrefix(o.text("metadata", "name"), release+"-")] = o
		}
	}
	return out
}

// revisions are how often the Pods of each were replaced, in the words of their controllers, when these have seen what there is.
func (i installation) revisions(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	i.await(t, "the controllers", func() bool {
		clear(out)
		for name, o := range i.workloads(t) {
			revision := o.text("metadata", "annotations", "deployment.kubernetes.io/revision") + o.text("status", "updateRevision")
			if o.at("metadata", "generation") != o.at("status", "observedGeneration") || revision == "" {
				return false
			}
			out[name] = revision
		}
		return true
	})
	return out
}

// awaitPods waits until each Pod that is wanted is there, as the values of now say: each was admitted, under the Pod Security Standard
// "restricted". None ever gets ready, so a Deployment keeps those of before, too.
func (i installation) awaitPods(t *testing.T) {
	t.Helper()
	var missing []string
	i.await(t, "all Pods", func() bool {
		missing = nil
		for name, o := range i.workloads(t) {
			wanted, _ := o.at("spec", "replicas").(float64)
			made, _ := o.at("status", "replicas").(float64)
			if made < wanted {
				missing = append(missing, fmt.Sprintf("%s: %v of %v", name, made, wanted))
			}
		}
		return len(missing) == 0
	})
	for _, e := range i.list(t, "/api/v1/namespaces/"+namespace+"/events?fieldSelector=reason%3DFailedCreate") {
		t.Errorf("%s %s: %s", e.text("involvedObject", "kind"), e.text("involvedObject", "name"), e.text("message"))
	}
}

func (i installation) await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited a minute for %s; there are %v", what, slices.Sorted(maps.Keys(i.workloads(t))))
		}
	}
}

// takeSecret creates one, as kubectl apply does with what gantry admin kubernetes-secrets prints.
func (s server) takeSecret(t *testing.T, name string, files map[string][]byte) {
	t.Helper()
	data := map[string]any{}
	for key, b := range files {
		data[key] = base64.StdEncoding.EncodeToString(b)
	}
	s.take(t, object{"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": name, "namespace": namespace}, "data": data}, "")
}

// send sends an object and returns the status of the answer.
func (s server) send(t *testing.T, method, path, kind string, o object) int {
	t.Helper()
	body, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, s.url+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	resp, err := s.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// get reads what is there.
func (s server) get(t *testing.T, path string) object {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var o object
	if err := json.NewDecoder(resp.Body).Decode(&o); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("%s: got %s, %v, want it there", path, resp.Status, err)
	}
	return o
}

func (s server) list(t *testing.T, path string) []object {
	t.Helper()
	return s.get(t, path).list("items")
}
