package k8s_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"gantry.example/messages"
	"gantry.example/workers/executor/executortest"
	"gantry.example/workers/k8s"
)

func config() k8s.Config {
	return k8s.Config{Pool: "kcfg-1", Namespace: "runs", RunnerImage: "gantry:1", Template: messages.PodTemplate{Image: "terraform:1"}, Limit: 10}
}

// TestBuildIsRepeatable: whoever finds the Pod of an attempt can tell that it is what it would have made.
func TestBuildIsRepeatable(t *testing.T) {
	t.Parallel()
	a := executortest.NewAttempt(messages.PhaseApply)
	first, err := k8s.Build(config(), a)
	if err != nil {
		t.Fatal(err)
	}
	again := a
	again.Token = "another" // a repeated claim has a token of its own
	second, err := k8s.Build(config(), again)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("the same attempt, built twice (-first +second):\n%s", diff)
	}
	if got, want := first.Spec.SchedulingGates, []corev1.PodSchedulingGate{{Name: k8s.Gate}}; !cmp.Equal(got, want) {
		t.Errorf("got gates %v, want %v", got, want)
	}
}

func TestBuildNeedsAnImage(t *testing.T) {
	t.Parallel()
	cfg := config()
	cfg.Template.Image = ""
	if _, err := k8s.Build(cfg, executortest.NewAttempt(messages.PhasePlan)); err == nil {
		t.Error("got a Pod without an image, want an error")
	}
}
