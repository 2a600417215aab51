package k8s_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"gantry.example/internal/bus"
	"gantry.example/internal/bus/broker"
	"gantry.example/internal/natstest"
	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/workers/dispatcher"
	"gantry.example/workers/executor/executortest"
	"gantry.example/workers/k8s"
	"gantry.example/workers/runner"
)

const pool = "kcfg-1"

// bench is dispatchers over a real queue and real HTTP, and a cluster in memory. The test is the server: it grants each task's claim to
// whoever asks first.
type bench struct {
	nats          *natstest.Server
	bus           *bus.Bus
	events        *bus.EventReader
	cluster       *fake.Clientset
	api           *httptest.Server
	configuration func(http.ResponseWriter)

	mu       sync.Mutex // guards the rest
	tasks    map[string]messages.Task
	nonces   map[string]string // of granted claims, by task
	claims   []wire.ClaimRequest
	refusals []string       // why workers say that they take nothing
	pods     map[string]int // how many were made, by attempt
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{nats: natstest.Start(t), cluster: fake.NewClientset(), tasks: map[string]messages.Task{}, nonces: map[string]string{}, pods: map[string]int{}}
	b.configuration = func(w http.ResponseWriter) { _, _ = w.Write([]byte("archive")) }
	b.bus = b.nats.Bus(t)
	must(t, b.bus.EnsureTasks(t.Context(), messages.ModeK8s, pool, 1))
	must(t, b.bus.EnsureTaskConsumer(t.Context(), messages.ModeK8s, pool, nil))
	must(t, b.bus.EnsureStatus(t.Context(), 1))
	must(t, b.bus.EnsureDeadLetters(t.Context(), 1))
	b.events = b.bus.EventReader()
	b.cluster.PrependReactor("create", "pods", func(action clienttesting.Action) (bool, runtime.Object, error) {
		pod := action.(clienttesting.CreateAction).GetObject().(*corev1.Pod)
		pod.UID, pod.CreationTimestamp = types.UID(messages.NewID("uid-")), metav1.Now()
		if _, err := b.cluster.Tracker().Get(corev1.SchemeGroupVersion.WithResource("pods"), pod.Namespace, pod.Name); err != nil {
			b.mu.Lock()
			b.pods[pod.Labels[k8s.LabelAttempt]]++
			b.mu.Unlock()
		}
		return false, nil, nil // and on to the tracker
	})
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/gantry/v1/claim", b.claim)
	mux.HandleFunc("POST /api/gantry/v1/workers", b.saw)
	mux.HandleFunc("POST /api/gantry/v1/placing", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(wire.PlacingAnswer{}) })
	mux.HandleFunc("GET /api/gantry/v1/attempts/{id}/configuration", func(w http.ResponseWriter, r *http.Request) {
		if got, want := r.Header.Get("Authorization"), "Bearer token-"+r.PathValue("id"); got != want {
			refuse(w, http.StatusUnauthorized, messages.CodeUnauthorized)
			return
		}
		b.configuration(w)
	})
	b.api = httptest.NewServer(mux)
	t.Cleanup(b.api.Close)
	return b
}

// dispatch runs a dispatcher until the test ends.
func (b *bench) dispatch(t *testing.T, name string, limit int, passed func(string)) *dispatcher.Dispatcher {
	t.Helper()
	d, err := dispatcher.New(dispatcher.Config{
		Name: name, Address: b.api.URL, NATSURL: b.nats.ClientURL(), Cluster: k8s.Over(b.cluster), Log: slog.New(slog.DiscardHandler), Passed: passed,
		Token: b.nats.Authenticator.Grant(broker.Identity{Kind: broker.KindWorker, Pool: pool, Name: name}),
		Pods:  k8s.Config{Pool: pool, Namespace: "runs", RunnerImage: "gantry:1", Template: messages.PodTemplate{Image: "terraform:1"}, Limit: limit},
	})
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("dispatcher %s: %v", name, err)
		}
		d.Close()
	})
	return d
}

// claim grants a task to one nonce.
func (b *bench) claim(w http.ResponseWriter, r *http.Request) {
	var req wire.ClaimRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		refuse(w, http.StatusBadRequest, messages.CodeInvalid)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.claims = append(b.claims, req)
	if granted, ok := b.nonces[req.TaskID]; ok && granted != req.Nonce {
		refuse(w, http.StatusConflict, messages.CodeTaskTaken)
		return
	}
	b.nonces[req.TaskID] = req.Nonce
	task := b.tasks[req.TaskID]
	id := attemptOf(task)
	_ = json.NewEncoder(w).Encode(wire.Claim{AttemptID: id, Number: 1, Epoch: 1, Token: "token-" + id, Inputs: wire.Inputs{
		AttemptID: id, TaskID: task.ID, RunID: task.RunID, WorkspaceID: task.WorkspaceID, OrganizationID: task.OrganizationID,
		Phase: task.Phase, Pool: task.Pool, Exclusive: true, Epoch: 1,
	}})
}

// saw hears how a dispatcher is doing.
func (b *bench) saw(w http.ResponseWriter, r *http.Request) {
	var s wire.WorkerStatus
	if err := json.NewDecoder(r.Body).Decode(&s); err != nil {
		refuse(w, http.StatusBadRequest, messages.CodeInvalid)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refusals = append(b.refusals, s.Refusing)
	_ = json.NewEncoder(w).Encode(wire.WorkerOrders{})
}

func (b *bench) refusing(text string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.ContainsFunc(b.refusals, func(s string) bool { return strings.Contains(s, text) })
}

func (b *bench) claimed() []wire.ClaimRequest {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.claims)
}

// made is how many Pods of an attempt were made.
func (b *bench) made(attemptID string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pods[attemptID]
}

func attemptOf(task messages.Task) string { return "att-" + strings.TrimPrefix(task.ID, "task-") }

func refuse(w http.ResponseWriter, status int, code messages.Code) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": []any{map[string]any{"code": code, "detail": "refused by the test"}}})
}

// publish queues a new task.
func (b *bench) publish(t *testing.T, phase messages.Phase) messages.Task {
	t.Helper()
	task := messages.Task{
		V: messages.Version, ID: messages.NewID("task-"), RunID: messages.NewID("run-"), WorkspaceID: messages.NewID("ws-"),
		OrganizationID: messages.NewID("org-"), Phase: phase, Mode: messages.ModeK8s, Pool: pool, Exclusive: true, QueuedAt: time.Now().UTC(),
	}
	b.mu.Lock()
	b.tasks[task.ID] = task
	b.mu.Unlock()
	b.again(t, task)
	return task
}

// again queues a task once more.
func (b *bench) again(t *testing.T, task messages.Task) {
	t.Helper()
	must(t, b.bus.PublishTask(t.Context(), task, messages.NewID("m-"), nil))
}

func (b *bench) queued(t *testing.T, task messages.Task) bool {
	t.Helper()
	has, err := b.bus.HasTask(t.Context(), task.Pool, task.Subject())
	must(t, err)
	return has
}

// waitGone waits until the queue has no message of the task.
func (b *bench) waitGone(t *testing.T, task messages.Task) {
	t.Helper()
	executortest.Wait(t, "the end of the message", func() bool { return !b.queued(t, task) })
}

// pod waits for the task's Pod and returns it as it is now.
func (b *bench) pod(t *testing.T, task messages.Task) (pod *corev1.Pod) {
	t.Helper()
	executortest.Wait(t, "the Pod of "+task.ID, func() (there bool) {
		var err error
		pod, err = b.cluster.CoreV1().Pods("runs").Get(t.Context(), k8s.PodName(attemptOf(task)), metav1.GetOptions{})
		return err == nil
	})
	return pod
}

// finish is the end of the task's runner, which delivered nothing.
func (b *bench) finish(t *testing.T, task messages.Task, code int) {
	t.Helper()
	executortest.Wait(t, "the gate's removal", func() bool { return len(b.pod(t, task).Spec.SchedulingGates) == 0 })
	message, err := json.Marshal(runner.Termination{Code: code})
	must(t, err)
	pod := b.pod(t, task)
	pod.Status.Phase = corev1.PodFailed
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: k8s.ContainerRunner, State: corev1.ContainerState{
		Terminated: &corev1.ContainerStateTerminated{ExitCode: int32(code), Message: string(message)}, //nolint:gosec // a small one
	}}}
	_, err = b.cluster.CoreV1().Pods("runs").UpdateStatus(t.Context(), pod, metav1.UpdateOptions{})
	must(t, err)
}

// nextEvent is the next stored event.
func (b *bench) nextEvent(t *testing.T) messages.Event {
	t.Helper()
	got, err := b.events.FetchBatch(t.Context(), 1, 30*time.Second)
	must(t, err)
	if len(got) == 0 {
		t.Fatal("waited 30 s for an event")
	}
	must(t, got[0].Err)
	must(t, got[0].Ack(t.Context()))
	return got[0].Event
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
