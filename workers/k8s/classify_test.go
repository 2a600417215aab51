package k8s_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/fake"
	"sigs.k8s.io/yaml"

	"gantry.example/workers/executor/executortest"
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

func (s scene) verdict() k8s.Verdict {
	return k8s.Verdict{Kind: s.Want.Kind, Class: s.Want.Class, Again: s.Want.Again, Message: s.Want.Message}
}

// scenes are all, by their files.
func scenes(t *testing.T) map[string]scene {
	t.Helper()
	files, err := filepath.Glob("testdata/classify/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("got %d scenes, %v", len(files), err)
	}
	out := map[string]scene{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var s scene
		if err := yaml.UnmarshalStrict(b, &s); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		out[file] = s
	}
	return out
}

// TestClassification has a file per row of the rules; without any rule at least one of them would mean something else.
func TestClassification(t *testing.T) {
	t.Parallel()
	c, err := k8s.NewClassifier(k8s.Rules())
	if err != nil {
		t.Fatal(err)
	}
	all := scenes(t)
	for file, s := range all {
		got := c.Classify(k8s.Evidence{Pod: s.Pod, Events: s.Events, Now: s.Now})
		if diff := cmp.Diff(s.verdict(), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
	}
	for i, r := range k8s.Rules() {
		without, err := k8s.NewClassifier(slices.Delete(k8s.Rules(), i, i+1))
		if err != nil {
			t.Fatal(err)
		}
		needed := false
		for _, s := range all {
			evidence := k8s.Evidence{Pod: s.Pod, Events: s.Events, Now: s.Now}
			needed = needed || without.Classify(evidence) != c.Classify(evidence)
		}
		if !needed {
			t.Errorf("rule %d, %s %s: no scene needs it: %s", i, r.Kind, r.Class, r.Message)
		}
	}
}

// TestTheCacheKeepsTheEvidence: of what a Pod shows, the executor keeps what the rules look at.
func TestTheCacheKeepsTheEvidence(t *testing.T) {
	t.Parallel()
	c, err := k8s.NewClassifier(k8s.Rules())
	if err != nil {
		t.Fatal(err)
	}
	all := scenes(t)
	client := fake.NewClientset()
	for file, s := range all {
		if s.Pod == nil {
			continue
		}
		pod := s.Pod.DeepCopy()
		pod.Name, pod.Namespace, pod.Labels = filepath.Base(file), "runs", map[string]string{k8s.LabelPool: "kcfg-1", k8s.LabelAttempt: file}
		if err := client.Tracker().Add(pod); err != nil {
			t.Fatal(err)
		}
	}
	var mu sync.Mutex
	judged := map[string]k8s.Verdict{}
	e, err := k8s.New(t.Context(), k8s.ExecutorConfig{
		Config: k8s.Config{Pool: "kcfg-1", Namespace: "runs"}, Cluster: k8s.Over(client), Log: slog.New(slog.DiscardHandler),
		Judge: func(e k8s.Evidence) k8s.Verdict {
			s := all[e.Pod.Labels[k8s.LabelAttempt]]
			pod := e.Pod.DeepCopy()
			pod.Namespace = s.Pod.Namespace
			mu.Lock()
			defer mu.Unlock()
			judged[e.Pod.Labels[k8s.LabelAttempt]] = c.Classify(k8s.Evidence{Pod: pod, Events: s.Events, Now: s.Now})
			return k8s.Verdict{Kind: k8s.Waiting} // nothing follows from it
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	const most = 30 // the others run, or are being deleted
	executortest.Wait(t, "a verdict about most Pods", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(judged) >= most
	})
	mu.Lock()
	defer mu.Unlock()
	for file, got := range judged {
		if diff := cmp.Diff(all[file].verdict(), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
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
