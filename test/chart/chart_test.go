// Package chart_test holds the Helm chart to what Gantry and Kubernetes are: what it renders is looked at (golden files), taken by a
// real API server in namespaces that enforce the Pod Security Standard "restricted", installed, upgraded and uninstalled there by Helm's
// own code, and what its Pods are told is understood by the programs. Golden files are written anew with GANTRY_GOLDEN=write.
package chart_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"
)

const (
	root      = "../.."
	release   = "gantry"
	namespace = "gantry-system"
)

// object is a manifest.
type object map[string]any

// at follows a path of keys; what is not there is nil.
func (o object) at(keys ...string) any {
	var v any = map[string]any(o)
	for _, k := range keys {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[k]
	}
	return v
}

func (o object) text(keys ...string) string {
	s, _ := o.at(keys...).(string)
	return s
}

func (o object) String() string { return o.text("kind") + " " + o.text("metadata", "name") }

// chart is the folder of the programs that do with it what helm does: render, and release.
type chart struct{ programs string }

// folder is that of the chart.
const folder = root + "/deploy/helm/gantry"

// TestChart builds these programs for all that is asked of the chart.
func TestChart(t *testing.T) {
	t.Parallel()
	c := chart{t.TempDir()}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", c.programs, "./...")
	cmd.Dir, cmd.Env = "render", append(os.Environ(), "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build what Helm does: %v\n%s", err, out)
	}
	for name, test := range map[string]func(*testing.T){
		"Golden": c.golden, "RefusedValues": c.refusedValues, "RunsNamespaceIsTheManifest": c.runsNamespace,
		"APIServerTakesEveryManifest": c.taken, "SettingsAreGantrys": c.settings, "CertificatesAreForTheNames": c.certificates,
		"InstalledUpgradedUninstalled": c.released,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

// render returns what the chart makes of a file of values, and what it says to who installs it, or why it refuses.
func (c chart) render(t *testing.T, values string) (manifests, notes string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(c.programs, "render"), folder, release, namespace, values)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err = cmd.Run()
	return out.String(), said.String(), err
}

// rendered is the objects of one of the files of values in testdata.
func (c chart) rendered(t *testing.T, name string) []object {
	t.Helper()
	manifests, notes, err := c.render(t, filepath.Join("testdata", name+".yaml"))
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, notes)
	}
	return objects(t, manifests)
}

func objects(t *testing.T, text string) []object {
	t.Helper()
	var out []object
	for d := yaml.NewDecoder(strings.NewReader(text)); ; {
		var o map[string]any // not an object: what is in it would be objects, too
		err := d.Decode(&o)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		if o != nil {
			out = append(out, o)
		}
	}
}

// variants are the files of values.
func variants() []string { return []string{"minimal", "full", "remote", "elsewhere", "manifest"} }

func (c chart) golden(t *testing.T) {
	for _, name := range variants() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			manifests, notes, err := c.render(t, filepath.Join("testdata", name+".yaml")) // lints, too
			if err != nil {
				t.Fatalf("%v\n%s", err, notes)
			}
			got, file := manifests+"--- NOTES\n"+notes, filepath.Join("testdata", name+".golden")
			if os.Getenv("GANTRY_GOLDEN") == "write" {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", file, diff)
			}
		})
	}
}

// refusedValues: what cannot work is refused where it is typed, in words that name it.
func (c chart) refusedValues(t *testing.T) {
	for name, bad := range map[string]struct{ values, want string }{
		"no address":           {`{}`, "publicURL: https://host[:port]"},
		"plain http":           {`publicURL: http://gantry.example.com`, "publicURL"},
		"unknown value":        {`{publicURL: https://g.example.com, replicas: 3}`, "replicas"},
		"unknown role":         {`{publicURL: https://g.example.com, services: {extra: {roles: [cook]}}}`, "roles"},
		"a role is missing":    {`{publicURL: https://g.example.com, services: {control: {roles: [relay, projector]}}}`, "none has the role logs"},
		"runs beside Gantry":   {`{publicURL: https://g.example.com, dispatcher: {replicas: 1}, runs: {namespaces: [{name: gantry-system}]}}`, "take another one"},
		"nobody makes Pods":    {`{publicURL: https://g.example.com, runs: {namespaces: [{name: runs}]}}`, "nobody would make Pods in runs"},
		"agent without token":  {`{publicURL: https://g.example.com, agents: [{name: a}]}`, "token"},
		"agent of nobody":      {`{server: {enabled: false}, agents: [{name: a, token: {secret: s}}]}`, "agents: a needs an address"},
		"NATS that is nowhere": {`{publicURL: https://g.example.com, nats: {enabled: false}}`, "nats.urls: where NATS is"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "values.yaml")
			if err := os.WriteFile(file, []byte(bad.values), 0o600); err != nil {
				t.Fatal(err)
			}
			_, said, err := c.render(t, file)
			if err == nil || !strings.Contains(said, bad.want) {
				t.Errorf("got %v and %q, want an error with %q", err, said, bad.want)
			}
		})
	}
}

// runsNamespace: who uses no Helm gets the same from deploy/kubernetes.
func (c chart) runsNamespace(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "deploy", "kubernetes", "namespace.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	named := func(all []object) map[string]object {
		out := map[string]object{}
		for _, o := range all {
			if o.text("metadata", "namespace") != namespace { // the release's own
				if m, ok := o.at("metadata").(map[string]any); ok {
					delete(m, "annotations") // for Helm
				}
				out[o.String()] = o
			}
		}
		return out
	}
	if diff := cmp.Diff(named(objects(t, string(text))), named(c.rendered(t, "manifest"))); diff != "" {
		t.Errorf("deploy/kubernetes/namespace.yaml is not what the chart makes (-manifest +chart):\n%s", diff)
	}
}
