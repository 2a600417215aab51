// Package k8s_test tries k8s mode on real Kubernetes, and dispatchers on a real queue with a cluster in memory (make e2e).
package k8s_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"gantry.example/internal/kubetest"
	"gantry.example/messages"
	"gantry.example/workers/executor"
	"gantry.example/workers/executor/executortest"
	"gantry.example/workers/k8s"
	"gantry.example/workers/runner"
)

// TestExecutorOverTheAPIServer runs the conformance suite against a real API server, with a node made by hand: names, gates, patches,
// preconditions and watches are the real ones.
func TestExecutorOverTheAPIServer(t *testing.T) {
	t.Parallel()
	cluster := kubetest.Start(t)
	executortest.Run(t, func(t *testing.T) executortest.Harness {
		n := newNode(t, cluster)
		return executortest.Harness{Open: n.open, Finish: n.finish, Starts: n.starts}
	})
}

// archives gives every attempt the same configuration.
type archives struct{}

func (archives) Configuration(context.Context, executor.Attempt, int64) ([]byte, string, error) {
	return []byte("archive"), "digest", nil
}

// node stands for scheduler and kubelet of a namespace: it runs Pods without gates until it is told how they end.
type node struct {
	t         *testing.T
	client    kubernetes.Interface
	cluster   *k8s.Cluster
	namespace string

	mu      sync.Mutex
	started map[string]int
	ends    map[string]int
}

func newNode(t *testing.T, cluster *kubetest.Cluster) *node {
	t.Helper()
	n := newNamespace(t, cluster)
	watch, err := n.client.CoreV1().Pods(n.namespace).Watch(t.Context(), metav1.ListOptions{})
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

// newNamespace makes a namespace in which no Pod runs by itself.
func newNamespace(t *testing.T, cluster *kubetest.Cluster) *node {
	t.Helper()
	client, err := kubernetes.NewForConfig(cluster.Rest())
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, client: client, namespace: messages.NewID("runs-"), started: map[string]int{}, ends: map[string]int{}}
	if n.cluster, err = k8s.Connect(cluster.Rest(), k8s.CallsPerSecond); err != nil {
		t.Fatal(err)
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: n.namespace, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}}}
	if _, err := client.CoreV1().Namespaces().Create(t.Context(), namespace, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return n
}

// look does what is next for the Pod as it is now: an event may be older than that.
func (n *node) look(name string) (over bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	pod, err := n.client.CoreV1().Pods(n.namespace).Get(context.Background(), name, metav1.GetOptions{})
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
	return n.executor(t, n.cluster, nil)
}

// executor is one over the namespace; leads is that of k8s.ExecutorConfig.
func (n *node) executor(t *testing.T, cluster *k8s.Cluster, leads <-chan struct{}) *k8s.Executor {
	t.Helper()
	e, err := k8s.New(t.Context(), k8s.ExecutorConfig{
		Config: n.config(), Cluster: cluster, Configurations: archives{}, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Leads: leads,
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (n *node) config() k8s.Config {
	return k8s.Config{
		Pool:      messages.LocalPool, // that of executortest's attempts
		Namespace: n.namespace, RunnerImage: "gantry:1", Template: messages.PodTemplate{Image: "terraform:1"}, Limit: 10,
	}
}
