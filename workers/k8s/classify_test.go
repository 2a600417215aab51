package k8s_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"gantry.example/workers/k8s"
)

// scene is a Pod as a cluster showed it, and what that means.
type scene struct {
	Now    time.Time      `json:"now"`
	Pod    *corev1.Pod    `json:"pod"`
	Events []corev1.Event `json:"events"`
	Want   struct {
		Kind    k8s.Kind `json:"kind"`
		Class   string   `json:"class"`
		Again   bool     `json:"again"`
		Message string   `json:"message"`
	} `json:"want"`
}

// TestClassification has a file per row of the rules; each rule is what at least one of them means.
func TestClassification(t *testing.T) {
	t.Parallel()
	c, err := k8s.NewClassifier(k8s.Rules())
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/classify/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("got %d scenes, %v", len(files), err)
	}
	seen := map[string]bool{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var s scene
		if err := yaml.UnmarshalStrict(b, &s); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		got := c.Classify(k8s.Evidence{Pod: s.Pod, Events: s.Events, Now: s.Now})
		want := k8s.Verdict{Kind: s.Want.Kind, Class: s.Want.Class, Again: s.Want.Again, Message: s.Want.Message}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
		seen[string(got.Kind)+" "+got.Class] = true
	}
	for _, r := range k8s.Rules() {
		if name := string(r.Kind) + " " + r.Class; !seen[name] {
			t.Errorf("no scene shows %s", name)
		}
	}
}

func TestRulesAreChecked(t *testing.T) {
	t.Parallel()
	good := k8s.Rule{Kind: k8s.Failed, Class: "a.b", PodReason: []string{"X"}, Message: "It failed."}
	if _, err := k8s.NewClassifier([]k8s.Rule{good}); err != nil {
		t.Fatal(err)
	}
	for says, change := range map[string]func(*k8s.Rule){
		"kind":          func(r *k8s.Rule) { r.Kind = "odd" },
		"class":         func(r *k8s.Rule) { r.Class = "odd" },
		"every Pod":     func(r *k8s.Rule) { r.PodReason = nil },
		"needs a clock": func(r *k8s.Rule) { r.After = time.Second },
		"tried again":   func(r *k8s.Rule) { r.Kind, r.Again = k8s.Waiting, true },
		"no sentence":   func(r *k8s.Rule) { r.Message = "It failed: {why}." },
		"missing":       func(r *k8s.Rule) { r.Text = "(" },
	} {
		bad := good
		change(&bad)
		if _, err := k8s.NewClassifier([]k8s.Rule{bad}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want an error that says %q", err, says)
		}
	}
}
