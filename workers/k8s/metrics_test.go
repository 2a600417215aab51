package k8s_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"

	"gantry.example/messages"
	"gantry.example/workers/executor/executortest"
	"gantry.example/workers/k8s"
)

// values are the metrics of a name: those of its label, or the one under ""; of a histogram the sum.
func values(t *testing.T, c prometheus.Collector, name, label string) map[string]float64 {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	if err := r.Register(c); err != nil {
		t.Fatal(err)
	}
	all, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, family := range all {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			key := ""
			for _, l := range m.GetLabel() {
				if l.GetName() == label {
					key = l.GetValue()
				}
			}
			out[key] += m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetHistogram().GetSampleSum()
		}
	}
	return out
}

// TestPodStates: a Pod is counted by how far it is, and the one that is over and not told says since when.
func TestPodStates(t *testing.T) {
	t.Parallel()
	ended := metav1.NewTime(time.Now().Add(-time.Hour))
	over := func(pod *corev1.Pod) {
		pod.Status.Phase = corev1.PodSucceeded
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: k8s.ContainerRunner, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{FinishedAt: ended}}}}
	}
	client := fake.NewClientset()
	for name, change := range map[string]func(*corev1.Pod){
		"gated":   func(pod *corev1.Pod) { pod.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: k8s.Gate}} },
		"pending": func(*corev1.Pod) {},
		"unschedulable": func(pod *corev1.Pod) {
			pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable}}
		},
		"starting": func(pod *corev1.Pod) { pod.Spec.NodeName = "n" },
		"running": func(pod *corev1.Pod) {
			pod.Spec.NodeName = "n"
			pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: k8s.ContainerRunner, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}
		},
		"ending":     func(pod *corev1.Pod) { pod.DeletionTimestamp, pod.Finalizers = &ended, []string{"example.com/test"} },
		"unreported": over,
		"kept": func(pod *corev1.Pod) {
			over(pod)
			pod.Annotations = map[string]string{k8s.AnnotationReported: time.Now().Format(time.RFC3339)}
		},
	} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "runs", Labels: map[string]string{k8s.LabelPool: config().Pool, k8s.LabelAttempt: "att-" + name}}}
		change(pod)
		if err := client.Tracker().Add(pod); err != nil {
			t.Fatal(err)
		}
	}
	e, err := k8s.New(t.Context(), k8s.ExecutorConfig{
		Config: config(), Cluster: k8s.Over(client), Configurations: archives{}, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Leads: make(chan struct{}), // never: nothing is tidied up
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	want := map[string]float64{"gated": 1, "pending": 1, "unschedulable": 1, "starting": 1, "running": 1, "ending": 1, "unreported": 1, "kept": 1}
	if diff := cmp.Diff(want, values(t, e, "gantry_dispatcher_pod_states", "state")); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
	if got := values(t, e, "gantry_dispatcher_unreported_seconds", "")[""]; got < 3590 || got > 3700 {
		t.Errorf("unreported: got %v seconds, want an hour", got)
	}
}

// TestPodsTakeTheirTimeToStart: how long is seen once, by who leads, whether the runner still runs when it is seen or not.
func TestPodsTakeTheirTimeToStart(t *testing.T) {
	t.Parallel()
	created := time.Now().Add(-time.Minute).Truncate(time.Second)
	client := fake.NewClientset()
	e, err := k8s.New(t.Context(), k8s.ExecutorConfig{
		Config: config(), Cluster: k8s.Over(client), Configurations: archives{}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	began := metav1.NewTime(created.Add(7 * time.Second))
	pods := client.CoreV1().Pods("runs")
	for name, states := range map[string][]corev1.ContainerState{
		"seen":   {{Running: &corev1.ContainerStateRunning{StartedAt: began}}, {Terminated: &corev1.ContainerStateTerminated{StartedAt: began}}},
		"missed": {{Terminated: &corev1.ContainerStateTerminated{StartedAt: began}}},
		"never":  {{Terminated: &corev1.ContainerStateTerminated{Reason: "ContainerStatusUnknown"}}},
	} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: "runs", CreationTimestamp: metav1.NewTime(created), Labels: map[string]string{k8s.LabelPool: config().Pool, k8s.LabelAttempt: "att-" + name},
		}}
		if pod, err = pods.Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		for _, state := range states {
			pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: k8s.ContainerRunner, State: state}}
			if pod, err = pods.UpdateStatus(t.Context(), pod, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	executortest.Wait(t, "both starts", func() bool { return values(t, e, "gantry_dispatcher_starting_seconds", "")[""] == 14 })
}

// TestWatchLag: a Pod that was made and that the watch does not show says how far behind it is.
func TestWatchLag(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	silent := watch.NewFake()
	n.client.(*fake.Clientset).PrependWatchReactor("pods", func(clienttesting.Action) (bool, watch.Interface, error) { return true, silent, nil })
	e, err := k8s.New(t.Context(), n.config(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	lag := func() float64 { return values(t, e, "gantry_dispatcher_watch_lag_seconds", "")[""] }
	if got := lag(); got != 0 {
		t.Errorf("got a lag of %v s where nothing was made, want 0", got)
	}
	a := executortest.NewAttempt(messages.PhasePlan)
	if err := e.StartPlan(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	first := lag()
	executortest.Wait(t, "a lag that grows", func() bool { return first > 0 && lag() > first })
	pod, err := n.client.CoreV1().Pods("runs").Get(t.Context(), k8s.PodName(a.AttemptID), metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	silent.Add(pod)
	executortest.Wait(t, "the end of the lag", func() bool { return lag() == 0 })
}

// TestAPICallsAreCounted: by method and by what the API server answered.
func TestAPICallsAreCounted(t *testing.T) {
	t.Parallel()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("watch") != "" { // it is asked for a list instead
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(corev1.PodList{TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}, ListMeta: metav1.ListMeta{ResourceVersion: "1"}})
	}))
	t.Cleanup(api.Close)
	cluster, err := k8s.Connect(&rest.Config{Host: api.URL}, k8s.CallsPerSecond)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	e, err := k8s.New(ctx, k8s.ExecutorConfig{
		Config: config(), Cluster: cluster, Configurations: archives{}, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Leads: make(chan struct{}),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	if got := values(t, e, "gantry_dispatcher_api_calls_total", "code"); got["200"] < 1 {
		t.Errorf("got %v, want a call that was answered with 200", got)
	}
	if got := values(t, e, "gantry_dispatcher_api_calls_total", "pool"); got[config().Pool] < 1 {
		t.Errorf("got %v, want the calls to be those of pool %s", got, config().Pool)
	}
}
