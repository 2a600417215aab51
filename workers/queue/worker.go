// Package queue takes tasks from a pool's queue and places them with an executor:
//
//	free slot ─▶ pull ─▶ claim (HTTPS) ─▶ acknowledge ─▶ executor.Start ─▶ … ─▶ exit ─▶ free slot
//	              │        └ refused for good: acknowledge · not now, no answer: again in 1 to 10 s
//	              └ not a task: bury (dead letter)
//
// The message is only a doorbell and is settled at once; the claim decides who carries the task out. A worker may be killed
// at any point: before the claim somebody else gets the message, after it and before the start the server's claim deadline
// passes and the task is queued again, after the start the runner goes on alone and the next worker adopts it.
package queue

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"gantry.example/internal/bus"
	"gantry.example/internal/telemetry"
	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/workers/executor"
)

// Tasks is a pool's queue. Next is called from one goroutine; it blocks until there is a message and fails only when ctx
// ends.
type Tasks interface {
	Next(ctx context.Context) (*bus.Delivery, error)
}

// Claimer asks the server for a task. It is called concurrently. Claiming again with the same nonce gives the same attempt.
// A refusal by the server is a *client.Error; every other error means that there was no answer.
type Claimer interface {
	Claim(ctx context.Context, req wire.ClaimRequest) (wire.Claim, error)
}

// Events stores status events. It is called concurrently; storing an event again changes nothing.
type Events interface {
	PublishEvent(ctx context.Context, pool string, e messages.Event) error
}

// Executor is where the worker's runners run.
type Executor interface {
	executor.Executor
	executor.Watcher
}

// Config describes a worker. Name to Log are required.
type Config struct {
	Name     string // for people; shown with every attempt
	Pool     string // for metrics; tasks say themselves which pool they belong to
	Slots    int    // how many runners may live at the same time, adopted ones included
	Tasks    Tasks
	Claims   Claimer
	Executor Executor
	Events   Events
	Log      *slog.Logger
	// Ready, if set, says why nothing new may be taken now, such as a disk that is nearly full; nil means that all is well. It
	// is called concurrently: before every task, when Busy counts it not yet, and for people who ask why a run waits.
	Ready func() error
	// Freed, if set, has something to receive when Ready may have changed its mind; it is asked now and then besides.
	Freed <-chan struct{}
	// HandsOver tells that a placed runner holds no slot: the executor knows how many there are, Ready says when those are too many,
	// and Slots bounds how many are claimed and placed at the same time.
	HandsOver bool
	// PlaceWithin is how long placing may take; default 30 s, the server's claim deadline. Whoever sets it keeps the claims alive.
	PlaceWithin time.Duration
	// Labels are what the worker offers and Version is its program's, both for people.
	Labels  []string
	Version string
	// Occupied, if set, is told how many slots have a task and whether anything new is taken, after every change of either. It is
	// called from one goroutine at a time, last with what is so then, and must be quick.
	Occupied func(busy int, taking bool)
	// Instance is random, one per process, and After that of the process before it in the same folder; see wire.WorkerStatus.
	Instance, After string
	// Once has the worker drain when it has placed a task.
	Once bool
	// Ordered, if set, is called from one goroutine with what the server answers to each word of presence, and Unheard with
	// why there was no answer, or a refusal.
	Ordered func(wire.WorkerOrders)
	Unheard func(error)
	// Passed, if set, is called when a task has come to a point at which a test may want the program killed.
	Passed func(point string)
}

const (
	// claimLimit is within the time a worker has to settle a message (10 s), so that nobody else is given it meanwhile.
	claimLimit = 8 * time.Second
	// settleLimit bounds an acknowledgement. One that is lost brings the message back, and the claim sorts that out.
	settleLimit = 5 * time.Second
	// placeLimit is the server's claim deadline.
	placeLimit = 30 * time.Second
	// reportLimit bounds the report of a runner that could not be placed. Without it the claim deadline does the same, later.
	reportLimit = 10 * time.Second
)

// Worker takes and places tasks. It is a prometheus.Collector.
type Worker struct {
	paused  atomic.Bool // Ready said no when it was asked last
	cfg     Config
	log     *slog.Logger
	slots   *slots
	retry   *backoff
	metrics *metrics
	secret  []byte // of the nonces

	draining atomic.Bool
	drain    chan struct{} // closed when draining is asked for
	telling  sync.Mutex    // held while Occupied is called
}

// New returns a worker that does nothing yet.
func New(cfg Config) (*Worker, error) {
	switch {
	case cfg.Slots < 1:
		return nil, fmt.Errorf("worker %s: %d slots: at least one is needed", cfg.Name, cfg.Slots)
	case cfg.Tasks == nil || cfg.Claims == nil || cfg.Executor == nil || cfg.Events == nil || cfg.Log == nil:
		return nil, fmt.Errorf("worker %s: tasks, claims, executor, events and log are required", cfg.Name)
	}
	w := &Worker{
		cfg: cfg, log: cfg.Log.With("worker", cfg.Name), slots: newSlots(cfg.Slots), retry: &backoff{},
		metrics: newMetrics(cfg.Pool), secret: make([]byte, sha256.Size), drain: make(chan struct{}),
	}
	if w.cfg.Instance == "" {
		w.cfg.Instance = rand.Text()
	}
	if w.cfg.Passed == nil {
		w.cfg.Passed = func(string) {}
	}
	if w.cfg.PlaceWithin == 0 {
		w.cfg.PlaceWithin = placeLimit
	}
	_, _ = rand.Read(w.secret) // never fails: it aborts the program instead
	return w, nil
}

// Run works until ctx ends: it takes nothing more, brings what it is claiming to an executor, and returns nil. Started runners
// go on; what happens to them meanwhile is reported by the next worker on the executor's place. After Drain it returns nil
// when nothing runs any more. An error means that the executor is of no use. Run is called once.
func (w *Worker) Run(ctx context.Context) error {
	running, err := w.cfg.Executor.Running(ctx)
	if err != nil {
		return fmt.Errorf("worker %s: what runs here already: %w", w.cfg.Name, err)
	}
	for _, ref := range running {
		if !w.cfg.HandsOver {
			w.slots.adopt(ref.AttemptID)
		}
		w.log.Info("attempt goes on from before", ref.LogAttrs()...)
	}
	w.tell()
	// Exits are handled until the last claim is placed, so that a slot that is waited for can become free.
	watching, stopWatching := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWatching()
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := w.cfg.Executor.Watch(watching, w.exited); watching.Err() == nil {
			return fmt.Errorf("worker %s: watch runners: %w", w.cfg.Name, err)
		}
		return nil
	})
	g.Go(func() error {
		defer stopWatching()
		w.take(gctx)
		w.finish(gctx)
		return nil
	})
	return g.Wait()
}

// take pulls tasks while there are free slots, until ctx ends and everything pulled is dealt with.
func (w *Worker) take(ctx context.Context) {
	ctx, stop := w.whileTaking(ctx)
	defer stop()
	var handling sync.WaitGroup
	defer handling.Wait()
	defer func() {
		w.draining.Store(true)
		w.tell()
	}()
	for {
		if w.slots.acquire(ctx) != nil {
			return
		}
		if w.untilReady(ctx) != nil {
			w.slots.abandon()
			return
		}
		d, err := w.cfg.Tasks.Next(ctx)
		if err != nil {
			w.slots.abandon()
			return
		}
		full := w.ready() // there may be no more room since the worker began to wait; asked while this task counts for nothing
		w.slots.filled()
		w.tell()
		handling.Go(func() { w.handle(context.WithoutCancel(ctx), d, full) })
	}
}

// handle deals with one message. It holds a slot, which a placed attempt keeps until its exit. full is why there is no room for it.
func (w *Worker) handle(ctx context.Context, d *bus.Delivery, full error) {
	w.cfg.Passed("worker.pulled")
	claim, err := w.claim(ctx, d, full)
	if err == nil {
		w.cfg.Passed("worker.claimed")
	}
	var settling sync.WaitGroup
	settling.Go(func() { w.settle(ctx, d, err) }) // the placing does not wait for it
	defer settling.Wait()
	if err != nil {
		w.slots.release()
		w.tell()
		return
	}
	w.place(ctx, executor.Attempt{Claim: claim})
}

// claim asks for the delivered task. Its errors are of the types that settle understands.
func (w *Worker) claim(ctx context.Context, d *bus.Delivery, full error) (wire.Claim, error) {
	if d.Err != nil {
		w.metrics.claims.WithLabelValues(answerUnreadable).Inc()
		return wire.Claim{}, &terminateError{d.Err}
	}
	if full != nil {
		w.metrics.claims.WithLabelValues(answerUnready).Inc()
		return wire.Claim{}, &snoozeError{readyPause, full}
	}
	ctx, cancel := context.WithTimeout(ctx, claimLimit)
	defer cancel()
	claim, err := w.cfg.Claims.Claim(ctx, wire.ClaimRequest{
		V: messages.Version, TaskID: d.Task.ID, Worker: w.cfg.Name, Nonce: w.nonce(d.Task.ID),
	})
	answer, err := w.judge(err)
	w.metrics.claims.WithLabelValues(answer).Inc()
	return claim, err
}

// nonce is random per worker process and task, and the same whenever the task comes again: a claim whose answer was lost
// is repeated, not refused as taken.
func (w *Worker) nonce(taskID string) string {
	mac := hmac.New(sha256.New, w.secret)
	mac.Write([]byte(taskID))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// place starts a runner. The slot is freed when it exits, or now if it does not even start.
func (w *Worker) place(ctx context.Context, a executor.Attempt) {
	log := w.log.With(a.Ref().LogAttrs()...)
	if !w.slots.occupy(a.AttemptID) {
		w.tell()
		log.Info("task was delivered again, its attempt runs here already")
	}
	startCtx, cancel := context.WithTimeout(ctx, w.cfg.PlaceWithin)
	defer cancel()
	start := w.cfg.Executor.StartPlan
	if a.Inputs.Phase == messages.PhaseApply {
		start = w.cfg.Executor.StartApply
	}
	if err := start(startCtx, a); err != nil {
		w.vacate(a.AttemptID)
		log.Error("runner not started, the task goes back", "error", err)
		w.giveBack(ctx, log, notPlaced(a.Ref(), err))
		return
	}
	w.cfg.Passed("worker.placed")
	if w.cfg.Once {
		w.Drain()
	}
	log.Info("runner started", "workspace", a.Inputs.WorkspaceID, "phase", a.Inputs.Phase, "number", a.Number)
	// The runner may have been gone before the start: then its exit was reported earlier, and no other comes to free the slot.
	if s, err := w.cfg.Executor.Status(startCtx, a.AttemptID); err == nil && s.State != executor.Running || w.cfg.HandsOver {
		w.vacate(a.AttemptID)
	}
}

// Busy is the number of slots with a task, from its arrival on.
func (w *Worker) Busy() int { return w.slots.busy() }

// vacate frees the slot of an attempt, and reports whether it had one.
func (w *Worker) vacate(attemptID string) bool {
	had := w.slots.vacate(attemptID)
	w.tell()
	return had
}

// exit is vacate for an attempt whose end the server is told next; see slots.
func (w *Worker) exit(attemptID string) bool {
	had := w.slots.exit(attemptID)
	w.tell()
	return had
}

// tell passes on how busy the worker is.
func (w *Worker) tell() {
	if w.cfg.Occupied == nil {
		return
	}
	w.telling.Lock()
	defer w.telling.Unlock()
	w.cfg.Occupied(w.slots.busy(), !w.paused.Load() && !w.draining.Load())
}

// notPlaced is the end of an attempt that could not be started.
func notPlaced(ref executor.Ref, err error) executor.Exit {
	x := executor.Exit{Ref: ref, Code: executor.CodeUnknown}
	var why *executor.PlacementError
	if errors.As(err, &why) {
		x.Message, x.Final = why.Message, true
	}
	return x
}

// giveBack reports an attempt that nothing runs for, so that the server need not wait for its claim deadline.
func (w *Worker) giveBack(ctx context.Context, log *slog.Logger, x executor.Exit) {
	ctx, cancel := context.WithTimeout(ctx, reportLimit)
	defer cancel()
	for {
		err := w.report(ctx, x)
		if err == nil {
			return
		}
		select {
		case <-time.After(minRetry / 2):
		case <-ctx.Done():
			log.Warn("the server was not told, it will find out by the claim deadline", "error", err)
			return
		}
	}
}

// exited frees the slot of a runner that is gone and tells the server. An error makes the executor come again.
func (w *Worker) exited(ctx context.Context, x executor.Exit) error {
	if w.exit(x.AttemptID) {
		w.log.Info("runner exited", append(x.LogAttrs(), "exit_code", x.Code)...)
	}
	if x.Code != executor.CodeDelivered { // otherwise the server has its result, which says more
		ctx, cancel := context.WithTimeout(ctx, settleLimit)
		defer cancel()
		if err := w.report(ctx, x); err != nil {
			return err
		}
	}
	w.slots.told(x.AttemptID)
	return nil
}

// report publishes an exit. An attempt has one, so its sequence number is always 1.
func (w *Worker) report(ctx context.Context, x executor.Exit) error {
	err := w.cfg.Events.PublishEvent(ctx, x.Pool, messages.Event{
		V: messages.Version, Type: messages.EventExited, AttemptID: x.AttemptID, RunID: x.RunID, WorkspaceID: x.WorkspaceID,
		Source: "worker", Seq: 1, At: time.Now().UTC(), ExitCode: x.Code, NotBegun: x.NotBegun, Message: x.Message, Final: x.Final,
	})
	if err != nil {
		return fmt.Errorf("attempt %s: report the exit: %w", x.AttemptID, err)
	}
	return nil
}

// settle acknowledges, delays or buries the message, as err says.
func (w *Worker) settle(ctx context.Context, d *bus.Delivery, err error) {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	log := w.log.With("run", d.Task.RunID, "task", d.Task.ID).With(telemetry.LogAttrs(d.Task.Traceparent)...)
	var terminate *terminateError
	var snooze *snoozeError
	var failed error
	switch {
	case errors.As(err, &terminate):
		log.Error("task message kept as a dead letter, nobody could carry it out", "error", err)
		failed = d.Bury(ctx, messages.Failure{Code: messages.CodeInvalid, Message: err.Error()})
	case errors.As(err, &snooze):
		log.Warn("task not claimed, trying again", "after", snooze.after, "error", err)
		failed = d.NakWithDelay(snooze.after)
	default:
		if err != nil {
			log.Info("task is not for us", "error", err)
		}
		failed = d.Ack(ctx)
		w.cfg.Passed("worker.acked")
	}
	if failed != nil {
		log.Warn("task message not settled, it comes again", "error", failed)
	}
}
