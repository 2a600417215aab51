package k8s_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/workers/executor"
	"gantry.example/workers/executor/executortest"
	"gantry.example/workers/k8s"
	"gantry.example/workers/runner"
)

// TestExecutor runs the conformance suite against a fake API server with a node made by hand. The real ones are in test/pods.
func TestExecutor(t *testing.T) {
	t.Parallel()
	executortest.Run(t, func(t *testing.T) executortest.Harness {
		n := newNode(t)
		return executortest.Harness{Open: n.open, Finish: n.finish, Starts: n.starts}
	})
}

// TestAServerThatStartsLacksRights: until it has read its roles an API server refuses in the words of one whose roles say no. That ends no run.
func TestAServerThatStartsLacksRights(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	refused := 0
	n.client.(*fake.Clientset).PrependReactor("create", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
		if refused++; refused > 1 {
			return false, nil, nil
		}
		return true, nil, apierrors.NewForbidden(corev1.Resource("pods"), "", errors.New(
			`User "system:serviceaccount:runs:gantry-dispatcher" cannot create resource "pods" in API group "" in the namespace "runs"`))
	})
	e := n.open(t)
	defer e.Close()
	a := executor.Attempt{Claim: wire.Claim{AttemptID: "att-1", Number: 1, Epoch: 1, Inputs: wire.Inputs{
		AttemptID: "att-1", TaskID: "task-1", RunID: "run-1", WorkspaceID: "ws-1", Phase: messages.PhasePlan, Pool: "local"}}}
	if err := e.StartPlan(t.Context(), a); err != nil {
		t.Fatalf("got %v, want the Pod made once the roles are read", err)
	}
	if refused != 2 {
		t.Errorf("the Pod was asked for %d times, want 2", refused)
	}
}

// archives gives every attempt the same configuration.
type archives struct{}

func (archives) Configuration(context.Context, executor.Attempt, int64) ([]byte, string, error) {
	return []byte("archive"), "digest", nil
}

// node stands for scheduler and kubelet: it runs Pods without gates until it is told how they end.
type node struct {
	t      *testing.T
	client kubernetes.Interface

	mu      sync.Mutex
	started map[string]int
	ends    map[string]int
}

func newNode(t *testing.T) *node {
	client := fake.NewClientset()
	client.PrependReactor("create", "pods", func(action clienttesting.Action) (bool, runtime.Object, error) {
		pod := action.(clienttesting.CreateAction).GetObject().(*corev1.Pod)
		pod.UID, pod.CreationTimestamp = types.UID(messages.NewID("uid-")), metav1.Now()
		return false, nil, nil // and on to the tracker
	})
	n := &node{t: t, client: client, started: map[string]int{}, ends: map[string]int{}}
	watch, err := n.client.CoreV1().Pods("runs").Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		watch.Stop()
		<-done
	})
	go func() {
		defer close(done)
		for event := range watch.ResultChan() {
			if pod, ok := event.Object.(*corev1.Pod); ok && event.Type != "DELETED" {
				n.look(pod.Name)
			}
		}
	}()
	return n
}

// look does what is next for the Pod as it is now: an event may be older than that.
func (n *node) look(name string) (over bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	pod, err := n.client.CoreV1().Pods("runs").Get(context.Background(), name, metav1.GetOptions{})
	if err != nil {
		return false
	}
	id := pod.Labels[k8s.LabelAttempt]
	code, told := n.ends[id]
	switch {
	case len(pod.Spec.SchedulingGates) > 0:
	case pod.Status.Phase == "" || pod.Status.Phase == corev1.PodPending:
		if n.set(pod, corev1.PodRunning, corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}) == nil {
			n.started[id]++
		}
	case pod.Status.Phase == corev1.PodRunning && told:
		phase := corev1.PodFailed
		if code == 0 {
			phase = corev1.PodSucceeded
		}
		message, err := json.Marshal(runner.Termination{Code: code, Delivered: code == 0})
		if err != nil {
			n.t.Error(err)
		}
		_ = n.set(pod, phase, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: int32(code), Message: string(message)}})
	}
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

func (n *node) set(pod *corev1.Pod, phase corev1.PodPhase, state corev1.ContainerState) error {
	pod.Status.Phase = phase
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: k8s.ContainerRunner, State: state}}
	_, err := n.client.CoreV1().Pods(pod.Namespace).UpdateStatus(context.Background(), pod, metav1.UpdateOptions{})
	return err // it may have changed meanwhile: then the event of that change brings it here again
}

func (n *node) finish(t *testing.T, id string, code int) {
	n.mu.Lock()
	n.ends[id] = code
	n.mu.Unlock()
	executortest.Wait(t, "the end of "+id, func() bool { return n.look(k8s.PodName(id)) })
}

func (n *node) starts(_ *testing.T, id string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.started[id]
}

func (n *node) open(t *testing.T) executortest.Instance {
	t.Helper()
	e, err := k8s.New(t.Context(), n.config(t))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (n *node) config(t *testing.T) k8s.ExecutorConfig {
	cfg := config()
	cfg.Pool = "local" // that of executortest's attempts
	return k8s.ExecutorConfig{Config: cfg, Cluster: k8s.Over(n.client), Configurations: archives{}, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
}
