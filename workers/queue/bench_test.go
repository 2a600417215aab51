package queue_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"gantry.example/client"
	"gantry.example/internal/bus"
	"gantry.example/internal/bus/broker"
	"gantry.example/internal/natstest"
	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/workers/executor"
	"gantry.example/workers/executor/executortest"
	"gantry.example/workers/queue"
)

// clientBudget is how long the HTTP client tries by itself before the message goes back.
const clientBudget = 2 * time.Second

// claimCall is one claim as the API saw it.
type claimCall struct {
	wire.ClaimRequest
	at time.Time
}

// bench is a worker over a real queue, a real HTTP client and a fake executor. The test answers its claims.
type bench struct {
	nats   *natstest.Server
	bus    *bus.Bus
	events *bus.EventReader
	fake   *executortest.Fake
	worker *queue.Worker
	answer func(w http.ResponseWriter, r wire.ClaimRequest)
	ready  func() error // of the worker, as are freed and once
	freed  chan struct{}
	once   bool

	handsOver bool // what is placed holds no slot

	stop func()     // drains the worker
	done chan error // what Run returned

	mu     sync.Mutex // guards the rest
	tasks  map[string]messages.Task
	claims []claimCall
}

// newBench starts everything but the worker. Claims are granted unless answer is set before run.
func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{nats: natstest.Start(t), fake: executortest.NewFake(), tasks: map[string]messages.Task{}}
	b.answer = b.grant
	b.bus = b.nats.Bus(t)
	must(t, b.bus.EnsureTasks(t.Context(), messages.ModeLocal, messages.LocalPool, 1))
	must(t, b.bus.EnsureTaskConsumer(t.Context(), messages.ModeLocal, messages.LocalPool, nil))
	must(t, b.bus.EnsureStatus(t.Context(), 1))
	must(t, b.bus.EnsureDeadLetters(t.Context(), 1))
	b.events = b.bus.EventReader()
	return b
}

// run starts the worker. It is drained when the test ends.
func (b *bench) run(t *testing.T, slots int) {
	t.Helper()
	api := httptest.NewServer(http.HandlerFunc(b.serveClaim))
	t.Cleanup(api.Close)
	transport, err := client.NewTransport(client.Config{Address: api.URL, Token: "pool-token", Budget: clientBudget})
	must(t, err)
	conn, _ := b.nats.As(t, broker.Identity{Kind: broker.KindWorker, Pool: messages.LocalPool, Name: "worker-1"})
	log := slog.New(slog.DiscardHandler)
	b.worker, err = queue.New(queue.Config{
		Name: "worker-1", Pool: messages.LocalPool, Slots: slots, Claims: client.NewPool(transport), Executor: b.fake, Events: conn, Log: log, Ready: b.ready, Freed: b.freed, Once: b.once,
		Tasks:     &slotChecker{t: t, tasks: conn.TaskQueue(messages.LocalPool, nil, log), fake: b.fake, slots: slots, free: b.handsOver},
		HandsOver: b.handsOver,
	})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	b.done = make(chan error, 1)
	stopped := make(chan struct{})
	go func() { b.done <- b.worker.Run(ctx); close(stopped) }()
	b.stop = cancel
	t.Cleanup(func() { cancel(); <-stopped })
}

// slotChecker sees to it that nothing is pulled while no slot is free.
type slotChecker struct {
	t     *testing.T
	tasks queue.Tasks
	fake  *executortest.Fake
	slots int
	free  bool // from all of this
}

func (c *slotChecker) Next(ctx context.Context) (*bus.Delivery, error) {
	if running, _ := c.fake.Running(ctx); !c.free && len(running) >= c.slots {
		c.t.Errorf("pulled a task while %d runners live, want less than %d", len(running), c.slots)
	}
	return c.tasks.Next(ctx)
}

func (b *bench) serveClaim(w http.ResponseWriter, r *http.Request) {
	if got, want := r.Method+" "+r.URL.Path, "POST /api/gantry/v1/claim"; got != want || r.Header.Get("Authorization") != "Bearer pool-token" {
		refuse(w, http.StatusForbidden, messages.CodeForbidden)
		return
	}
	var req wire.ClaimRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		refuse(w, http.StatusBadRequest, messages.CodeInvalid)
		return
	}
	b.mu.Lock()
	b.claims = append(b.claims, claimCall{req, time.Now()})
	b.mu.Unlock()
	b.answer(w, req)
}

// grant gives the claimed task's attempt, whose id is the task's with another prefix.
func (b *bench) grant(w http.ResponseWriter, r wire.ClaimRequest) {
	b.mu.Lock()
	task := b.tasks[r.TaskID]
	b.mu.Unlock()
	id := attemptOf(task)
	_ = json.NewEncoder(w).Encode(wire.Claim{AttemptID: id, Number: 1, Epoch: 1, Token: "attempt-token", Inputs: wire.Inputs{
		AttemptID: id, TaskID: task.ID, RunID: task.RunID, WorkspaceID: task.WorkspaceID, Phase: task.Phase, Pool: task.Pool,
	}})
}

func attemptOf(task messages.Task) string { return "att-" + task.ID[len("task-"):] }

func refuse(w http.ResponseWriter, status int, code messages.Code) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": []any{map[string]any{"code": code, "detail": "refused by the test"}}})
}

// publish queues a new task.
func (b *bench) publish(t *testing.T, phase messages.Phase) messages.Task {
	t.Helper()
	task := messages.Task{
		V: messages.Version, ID: messages.NewID("task-"), RunID: messages.NewID("run-"), WorkspaceID: messages.NewID("ws-"),
		OrganizationID: messages.NewID("org-"), Phase: phase, Mode: messages.ModeLocal, Pool: messages.LocalPool, Exclusive: true,
		QueuedAt: time.Now().UTC(),
	}
	b.mu.Lock()
	b.tasks[task.ID] = task
	b.mu.Unlock()
	must(t, b.bus.PublishTask(t.Context(), task, messages.NewID("m-"), nil))
	return task
}

func (b *bench) claimed() []claimCall {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]claimCall(nil), b.claims...)
}

// waitGone waits until the queue has no message of the task.
func (b *bench) waitGone(t *testing.T, task messages.Task) {
	t.Helper()
	executortest.Wait(t, "the end of the message", func() bool { return !b.queued(t, task) })
}

func (b *bench) queued(t *testing.T, task messages.Task) bool {
	t.Helper()
	has, err := b.bus.HasTask(t.Context(), task.Pool, task.Subject())
	must(t, err)
	return has
}

// started is the next attempt the executor was given.
func (b *bench) started(t *testing.T) executor.Attempt {
	t.Helper()
	select {
	case a := <-b.fake.Started():
		return a
	case <-time.After(20 * time.Second):
		t.Fatal("waited 20 s for a start")
		return executor.Attempt{}
	}
}

// nextEvent is the next stored event.
func (b *bench) nextEvent(t *testing.T) messages.Event {
	t.Helper()
	got, err := b.events.FetchBatch(t.Context(), 1, 20*time.Second)
	must(t, err)
	if len(got) == 0 {
		t.Fatal("waited 20 s for an event")
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
