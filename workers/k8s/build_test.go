package k8s_test

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/workers/executor"
	"gantry.example/workers/k8s"
)

// sample is an attempt with everything that a template can have.
func sample(t *testing.T, phase messages.Phase) executor.Attempt {
	t.Helper()
	b, err := os.ReadFile("../../messages/testdata/v1/execution_k8s_pod.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := messages.ParseExecution(b)
	if err != nil {
		t.Fatal(err)
	}
	doc.Timeouts.Apply = "1h"
	return executor.Attempt{Claim: wire.Claim{AttemptID: "att-1", Number: 1, Inputs: wire.Inputs{
		AttemptID: "att-1", TaskID: "task-1", RunID: "run-1", WorkspaceID: "ws-1", OrganizationID: "org-1", Pool: "kcfg-1", Phase: phase, Execution: doc,
	}}}
}

// TestGoldenPods compares whole Pods. UPDATE_GOLDEN=1 writes them anew: read what changed.
func TestGoldenPods(t *testing.T) {
	t.Parallel()
	for _, phase := range []messages.Phase{messages.PhasePlan, messages.PhaseApply} {
		pod, err := k8s.Build(config(), sample(t, phase))
		if err != nil {
			t.Fatal(err)
		}
		got, err := yaml.Marshal(pod)
		if err != nil {
			t.Fatal(err)
		}
		file := "testdata/pod_" + string(phase) + ".golden.yaml"
		if os.Getenv("UPDATE_GOLDEN") != "" {
			if err := os.WriteFile(file, got, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s (-want +got):\n%s", file, cmp.Diff(string(want), string(got)))
		}
	}
}

// TestManifestGrantsWhatIsNeeded: no less than a check asks for, and no more.
func TestManifestGrantsWhatIsNeeded(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../deploy/kubernetes/namespace.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var got []k8s.Right
	for _, doc := range strings.Split(string(b), "\n---\n") {
		var role rbacv1.Role
		if err := yaml.Unmarshal([]byte(doc), &role); err != nil {
			t.Fatal(err)
		}
		if role.Kind == "ClusterRole" || role.Kind == "ClusterRoleBinding" {
			t.Errorf("%s %s: a dispatcher needs no rights beyond its namespace", role.Kind, role.Name)
		}
		if role.Kind != "Role" {
			continue
		}
		for _, rule := range role.Rules {
			for _, verb := range rule.Verbs {
				got = append(got, k8s.Right{Group: rule.APIGroups[0], Resource: rule.Resources[0], Verb: verb})
			}
		}
	}
	less := func(a, b k8s.Right) int { return strings.Compare(a.Resource+a.Verb, b.Resource+b.Verb) }
	want := k8s.Rights()
	slices.SortFunc(got, less)
	slices.SortFunc(want, less)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("deploy/kubernetes/namespace.yaml (-needed +granted):\n%s", diff)
	}
}
