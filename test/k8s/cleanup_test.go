package k8s_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gantry.example/internal/kubetest"
	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/workers/executor"
	"gantry.example/workers/executor/executortest"
	"gantry.example/workers/k8s"
	"gantry.example/workers/runner"
)

// TestPodsOverTheAPIServer is what becomes of Pods whatever happens to dispatchers, on one API server.
func TestPodsOverTheAPIServer(t *testing.T) {
	t.Parallel()
	cluster := kubetest.Start(t)
	for name, scenario := range map[string]func(*testing.T, *kubetest.Cluster){
		"kept for people": keptForPeople, "over and not reported": overAndNotReported, "gated without a claim": gatedWithoutClaim,
		"running without an attempt": runningWithoutAttempt, "the same attempt by two": sameAttemptByTwo, "a leader dies": leaderDies,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scenario(t, cluster)
		})
	}
}

// keptForPeople: Pods that are over and reported stay for a while, those that failed for longer.
func keptForPeople(t *testing.T, cluster *kubetest.Cluster) {
	n := newNamespace(t, cluster)
	reported := func(phase corev1.PodPhase, ago time.Duration) *corev1.Pod {
		return n.pod(t, phase, func(pod *corev1.Pod) {
			pod.Annotations[k8s.AnnotationReported] = time.Now().Add(-ago).UTC().Format(time.RFC3339)
		})
	}
	kept := []*corev1.Pod{
		reported(corev1.PodSucceeded, 3*time.Minute), reported(corev1.PodFailed, 6*time.Minute), reported(corev1.PodFailed, 50*time.Minute),
		n.pod(t, corev1.PodRunning, nil),
	}
	over := []*corev1.Pod{reported(corev1.PodSucceeded, 6*time.Minute), reported(corev1.PodFailed, 61*time.Minute)}
	e := n.executor(t, n.cluster, nil)
	t.Cleanup(func() { _ = e.Close() })
	for _, pod := range over {
		executortest.Wait(t, "the end of "+pod.Name, func() bool { return n.get(t, pod) == nil })
	}
	for _, pod := range kept {
		if got := n.get(t, pod); got == nil || got.DeletionTimestamp != nil {
			t.Errorf("Pod %s, %s: got it deleted, want it kept", pod.Name, pod.Status.Phase)
		}
	}
}

// overAndNotReported: a Pod that ended while nobody led is reported first, until the server knows; only then its Secret goes, and no
// executor after this one reports it again.
func overAndNotReported(t *testing.T, cluster *kubetest.Cluster) {
	n := newNamespace(t, cluster)
	pod := n.pod(t, corev1.PodSucceeded, nil)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: n.namespace}}
	if _, err := n.client.CoreV1().Secrets(n.namespace).Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	hasSecret := func() bool {
		_, err := n.client.CoreV1().Secrets(n.namespace).Get(t.Context(), pod.Name, metav1.GetOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			t.Error(err)
		}
		return err == nil
	}
	e := n.executor(t, n.cluster, nil)
	told := n.watch(t, e, func(told []executor.Exit) error {
		if got := n.get(t, pod); !hasSecret() || got == nil || got.Annotations[k8s.AnnotationReported] != "" {
			t.Errorf("got Pod %+v, want it and its Secret as they were until the server knows", got)
		}
		if len(told) == 1 {
			return errors.New("NATS is away")
		}
		return nil
	})
	executortest.Wait(t, "the note that it was reported", func() bool { return n.get(t, pod).Annotations[k8s.AnnotationReported] != "" })
	executortest.Wait(t, "the end of its Secret", func() bool { return !hasSecret() })
	if got := told(); len(got) != 2 || got[0] != got[1] || got[1].Code != executor.CodeDelivered {
		t.Errorf("got exits %+v, want a delivered one, and once more after the failure", got)
	}
	_ = e.Close()
	next := n.executor(t, n.cluster, nil)
	told = n.watch(t, next, nil)
	late := n.pod(t, corev1.PodFailed, nil) // what is told after it would have been told before
	executortest.Wait(t, "a report", func() bool { return len(told()) > 0 })
	if got := told(); got[0].AttemptID != late.Labels[k8s.LabelAttempt] {
		t.Errorf("the next executor reported %+v, want only what nobody has reported", got)
	}
	_ = next.Close()
}

// gatedWithoutClaim: a gated Pod that nobody is making is asked about and not kept alive, and goes when its claim is over.
func gatedWithoutClaim(t *testing.T, cluster *kubetest.Cluster) {
	n := newNamespace(t, cluster)
	gated := func(pod *corev1.Pod) { pod.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: k8s.Gate}} }
	orphan, claimed := n.pod(t, "", gated), n.pod(t, "", gated)
	claims := &ledger{closed: []string{orphan.Labels[k8s.LabelAttempt]}}
	e := n.executor(t, n.cluster, nil)
	told := n.watch(t, e, nil)
	n.keep(t, e, claims)
	executortest.Wait(t, "the end of the orphan", func() bool { return n.get(t, orphan) == nil })
	executortest.Wait(t, "its report", func() bool { return len(told()) > 0 })
	if got := told()[0]; got.AttemptID != orphan.Labels[k8s.LabelAttempt] || !got.NotBegun || got.Final {
		t.Errorf("got %+v, want the orphan reported as not begun, so that it may be tried again", got)
	}
	if n.get(t, claimed) == nil {
		t.Error("the Pod whose claim is open was deleted, want it left to whoever may come back")
	}
	asked := claims.heard()
	for _, pod := range []*corev1.Pod{orphan, claimed} {
		if !slices.Contains(asked, wire.Placement{AttemptID: pod.Labels[k8s.LabelAttempt]}) {
			t.Errorf("got %+v, want %s asked about without keeping its claim alive", asked, pod.Name)
		}
	}
	_ = e.Close()
}

// runningWithoutAttempt: nobody deletes a Pod that runs although the server has closed its attempt; somebody is told.
func runningWithoutAttempt(t *testing.T, cluster *kubetest.Cluster) {
	n := newNamespace(t, cluster)
	stranger := n.pod(t, corev1.PodRunning, func(pod *corev1.Pod) {
		pod.Spec.NodeName = "node-1"
		pod.Status.ContainerStatuses[0].State.Running.StartedAt = metav1.NewTime(time.Now().Add(-11 * time.Minute))
	})
	ending := n.pod(t, corev1.PodRunning, func(pod *corev1.Pod) { pod.Spec.NodeName = "node-1" }) // over for the server a moment earlier
	claims := &ledger{closed: []string{stranger.Labels[k8s.LabelAttempt], ending.Labels[k8s.LabelAttempt]}}
	e := n.executor(t, n.cluster, nil)
	n.keep(t, e, claims)
	executortest.Wait(t, "the alert", func() bool { return counter(t, e, "gantry_dispatcher_strangers_total") > 0 })
	asked := len(claims.heard())
	executortest.Wait(t, "the next look", func() bool { return len(claims.heard()) > asked })
	if got := counter(t, e, "gantry_dispatcher_strangers_total"); got != 1 {
		t.Errorf("got %v alerts, want one", got)
	}
	for _, pod := range []*corev1.Pod{stranger, ending} {
		if got := n.get(t, pod); got == nil || got.DeletionTimestamp != nil {
			t.Errorf("Pod %s: got it deleted, want it left alone", pod.Name)
		}
	}
	_ = e.Close()
}

// pod makes a Pod of an attempt as an executor would, without our gate, in a phase, changed by how.
func (n *node) pod(t *testing.T, phase corev1.PodPhase, how func(*corev1.Pod)) *corev1.Pod {
	t.Helper()
	pod, err := k8s.Build(n.config(), executortest.NewAttempt(messages.PhasePlan))
	if err != nil {
		t.Fatal(err)
	}
	message, err := json.Marshal(runner.Termination{Delivered: phase == corev1.PodSucceeded})
	if err != nil {
		t.Fatal(err)
	}
	state := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Message: string(message)}}
	if phase == corev1.PodRunning {
		state = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}
	}
	pod.Spec.SchedulingGates, pod.Status.Phase = nil, phase
	if phase != "" {
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: k8s.ContainerRunner, State: state}}
	}
	if how != nil {
		how(pod)
	}
	status := pod.Status
	pods := n.client.CoreV1().Pods(n.namespace)
	if pod, err = pods.Create(t.Context(), pod, metav1.CreateOptions{}); err == nil && phase != "" {
		pod.Status = status
		pod, err = pods.UpdateStatus(t.Context(), pod, metav1.UpdateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
	return pod
}

// get is the very Pod as it is now, or nil.
func (n *node) get(t *testing.T, pod *corev1.Pod) *corev1.Pod {
	t.Helper()
	got, err := n.client.CoreV1().Pods(n.namespace).Get(t.Context(), pod.Name, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		t.Error(err)
	}
	if err != nil || got.UID != pod.UID {
		return nil
	}
	return got
}

// watch collects what an executor reports; answer, if there is one, says what becomes of the newest report.
func (n *node) watch(t *testing.T, e *k8s.Executor, answer func([]executor.Exit) error) func() []executor.Exit {
	var mu sync.Mutex
	var told []executor.Exit
	n.beside(t, func(ctx context.Context) {
		_ = e.Watch(ctx, func(_ context.Context, x executor.Exit) error {
			mu.Lock()
			told = append(told, x)
			all := slices.Clone(told)
			mu.Unlock()
			if answer == nil {
				return nil
			}
			return answer(all)
		})
	})
	return func() []executor.Exit {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(told)
	}
}

func (n *node) keep(t *testing.T, e *k8s.Executor, claims k8s.Claims) {
	n.beside(t, func(ctx context.Context) { e.KeepClaims(ctx, claims) })
}

// beside runs until the test ends.
func (n *node) beside(t *testing.T, run func(context.Context)) {
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
}

// ledger answers as a server that has closed some attempts.
type ledger struct {
	closed []string

	mu    sync.Mutex
	asked []wire.Placement
}

// Placing implements k8s.Claims.
func (l *ledger) Placing(_ context.Context, attempts []wire.Placement) (wire.PlacingAnswer, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = append(l.asked, attempts...)
	return wire.PlacingAnswer{Closed: l.closed}, nil
}

func (l *ledger) heard() []wire.Placement {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.asked)
}

// counter is the value of a metric that is there once.
func counter(t *testing.T, c prometheus.Collector, name string) float64 {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	all, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range all {
		if family.GetName() == name {
			return family.GetMetric()[0].GetCounter().GetValue()
		}
	}
	return 0
}
