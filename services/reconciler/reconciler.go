// Package reconciler ends what nobody else ends. It needs Postgres to judge and looks at streams and leases only to repair
// them: whatever is lost, a run reaches its end.
//
//	queued for 30 s, message gone        the message is published again
//	claimed, not started by its deadline the attempt is closed, the task requeued
//	started, lease gone for TTL + 5 s    contact_lost: a plan is tried again, an apply waits for its runner
//	apply without contact for lost_after outcome_unknown: the workspace stays locked
//	started, older than its phase's limit asked to stop; the run ends run.timed_out
//	started, silent past its limit       asked to stop; the run ends run.silent
//	queued or planned past its limit     the run ends run.queue_timed_out, or is discarded (waits.go)
//	asked to stop, still open            told again every 5 s
//	gate free, run waiting               released
//	task over, log never ended           the log is sealed
//	label set unused for a day           its consumer is deleted (labelsets.go)
//	pool deleted                         its streams are deleted (pools.go)
//	phase past its limit, cancel unheard the attempt is asked to stop (stops.go)
package reconciler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"gantry.example/internal/bus"
	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// Timing are the reconciler's patience.
type Timing struct {
	Every      time.Duration // between two rounds
	Republish  time.Duration // a queued task's message is looked for after this
	SealLogs   time.Duration // a log without an end is sealed this long after its task ended
	LostAfter  time.Duration // an apply without contact is given up after this
	Settle     time.Duration // nobody is judged for lost contact until this long after a start or an outage
	Limits     run.Patience  // of a run whose execution document says nothing else
	Waits      time.Duration // between two looks at the runs that wait
	RepeatStop time.Duration // an attempt that was asked to stop and is still open is told again after this
}

// DefaultTiming is what DESIGN says; leaseTTL is that of the leases.
func DefaultTiming(leaseTTL time.Duration) Timing {
	return Timing{
		Every: time.Second, Republish: 30 * time.Second, SealLogs: time.Minute,
		LostAfter: 15 * time.Minute, Settle: leaseTTL + 30*time.Second, Limits: run.Patience{Plan: 2 * time.Hour, Apply: 24 * time.Hour},
		Waits: 5 * time.Second, RepeatStop: 5 * time.Second,
	}
}

// Reconciler repairs. One per server; several do no harm, because every verdict is a transition under the run's lock.
type Reconciler struct {
	db       *postgres.DB
	bus      *bus.Bus
	timing   Timing
	replicas int
	log      *slog.Logger
	metrics  *metrics

	settled  time.Time            // contact is judged from here on
	settling map[string]time.Time // the same of a pool whose leases could not be read for a while
	absent   map[string]time.Time // since when a started attempt's lease is missing, by attempt id
	told     time.Time            // when attempts were last told again to stop
	waited   time.Time            // when the runs that wait were last looked at
	looked   time.Time            // when lost messages were last looked for
	tidied   time.Time            // when unused label sets were
	swept    time.Time            // when what deleted pools left was
	sealed   time.Time            // when logs without an end were looked for
}

// New returns a reconciler. Its fields are used by Run's goroutine only.
func New(db *postgres.DB, b *bus.Bus, t Timing, replicas int, log *slog.Logger) *Reconciler {
	return &Reconciler{
		db: db, bus: b, timing: t, replicas: replicas, log: log, metrics: newMetrics(),
		settling: map[string]time.Time{}, absent: map[string]time.Time{},
	}
}

// Run reconciles until ctx ends.
func (r *Reconciler) Run(ctx context.Context) error {
	r.settled = time.Now().Add(r.timing.Settle)
	tick := time.NewTicker(r.timing.Every)
	defer tick.Stop()
	for {
		if err := r.Round(ctx); err != nil && ctx.Err() == nil {
			r.log.Warn("reconciler: round not finished, trying again", "error", err)
			r.metrics.failed.Inc()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Round does everything once. Parts do not depend on each other: one that fails does not keep the others from working.
func (r *Reconciler) Round(ctx context.Context) error {
	return errors.Join(r.attempts(ctx), r.waits(ctx), r.db.FreeGates(ctx), r.messages(ctx), r.labelSets(ctx), r.pools(ctx), r.logs(ctx))
}

// logs seals those without an end. It looks several times in the time that they are given, not at every round: with a thousand tasks
// at work each look has its price.
func (r *Reconciler) logs(ctx context.Context) error {
	if time.Since(r.sealed) < r.timing.SealLogs/12 {
		return nil
	}
	if err := r.db.SealLogs(ctx, r.timing.SealLogs); err != nil {
		return fmt.Errorf("logs without an end: %w", err)
	}
	r.sealed = time.Now()
	return nil
}

// judge gives a verdict. One that cannot be stored is about one run and must not keep the others from being judged; when
// it is Postgres that is down, the next round's first question says so.
func (r *Reconciler) judge(ctx context.Context, runID, attemptID string, verdict run.Input) {
	_, err := r.db.Transition(ctx, runID, verdict, postgres.Cause{Actor: "reconciler"})
	if err == nil {
		r.metrics.acted(verdict)
	} else if ctx.Err() == nil {
		r.log.Error("reconciler: verdict not stored", "run", runID, "attempt", attemptID, "verdict", fmt.Sprintf("%T", verdict), "error", err)
	}
}

// attempts judges the open ones. When Postgres or NATS is down runners could not reach it either, so nobody is judged until things
// have settled again. What is wrong with one pool or run says nothing about that: it may stay so.
func (r *Reconciler) attempts(ctx context.Context) error {
	open, err := r.db.OpenAttempts(ctx)
	if err != nil {
		r.unsettle()
		return fmt.Errorf("open attempts: %w", err)
	}
	leases, failed := r.leases(ctx, open)
	silent := len(leases) == 0 && errors.Is(failed, context.DeadlineExceeded)
	err = r.stops(ctx, open, leases)
	if err != nil || failed != nil && (silent || !r.bus.Connected()) {
		r.unsettle()
		return errors.Join(failed, err)
	}
	seen := map[string]bool{}
	for _, a := range open {
		seen[a.ID] = true
		verdict := r.verdict(a, leases[a.Pool])
		if verdict == nil {
			continue
		}
		r.log.Info("reconciler: verdict", "run", a.RunID, "task", a.TaskID, "attempt", a.ID, "verdict", fmt.Sprintf("%T", verdict))
		r.judge(ctx, a.RunID, a.ID, verdict)
	}
	maps.DeleteFunc(r.absent, func(id string, _ time.Time) bool { return !seen[id] })
	return failed
}

// unsettle has nobody judged for lost contact for a while.
func (r *Reconciler) unsettle() {
	r.settled = time.Now().Add(r.timing.Settle)
	clear(r.absent)
}

// settledIn is from when on contact is judged in a pool.
func (r *Reconciler) settledIn(pool string) time.Time {
	if of := r.settling[pool]; of.After(r.settled) {
		return of
	}
	return r.settled
}

// leases reads the leases of the pools that have an open attempt. A pool of which that fails is not among them and has to settle again;
// the others must not suffer for it, so all are read at the same time: who does not answer takes seconds.
func (r *Reconciler) leases(ctx context.Context, open []postgres.OpenAttempt) (map[string]map[string]messages.Lease, error) {
	pools := map[string]bool{}
	for _, a := range open {
		pools[a.Pool] = true
	}
	var reads sync.WaitGroup
	var mu sync.Mutex
	var failed error
	out := map[string]map[string]messages.Lease{}
	for pool := range pools {
		reads.Go(func() {
			held, err := r.leasesOf(ctx, pool)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				out[pool] = held
				return
			}
			failed = errors.Join(failed, err)
			r.settling[pool] = time.Now().Add(r.timing.Settle)
		})
	}
	reads.Wait()
	return out, failed
}

// leasesOf reads the leases of a pool, and makes a bucket again that is gone: without it no runner can begin.
func (r *Reconciler) leasesOf(ctx context.Context, pool string) (map[string]messages.Lease, error) {
	held, err := r.bus.ReadLeases(ctx, pool)
	if errors.Is(err, bus.ErrNoStream) { // its holders write themselves in again, and nobody is judged meanwhile
		err = errors.Join(err, r.bus.EnsureLeases(ctx, pool, r.replicas))
	}
	if err != nil {
		return nil, fmt.Errorf("leases: %w", err)
	}
	return held, nil
}

// verdict is what to do about an open attempt, or nil. leases are those of its pool by key, nil when they could not be read: then
// nothing is known of its contact.
func (r *Reconciler) verdict(a postgres.OpenAttempt, leases map[string]messages.Lease) run.Input {
	now := time.Now()
	if a.State == run.AttemptClaimed {
		if now.After(a.StartDeadline) {
			return run.ExpireClaim{AttemptID: a.ID}
		}
		return nil
	}
	if leases == nil {
		delete(r.absent, a.ID)
		return nil
	}
	if leases[a.Key].AttemptID == a.ID {
		delete(r.absent, a.ID)
		if a.State == run.AttemptLost {
			return run.RegainContact{AttemptID: a.ID}
		}
		return nil
	}
	if now.Before(r.settledIn(a.Pool).Add(time.Duration(a.LeaseTTL) * time.Second)) { // what a pool of its own lease needs longer
		return nil
	}
	if a.State == run.AttemptLost {
		if now.Sub(*a.LostAt) > r.timing.LostAfter {
			return run.GiveUp{AttemptID: a.ID}
		}
		return nil
	}
	since, known := r.absent[a.ID]
	if !known {
		r.absent[a.ID] = now
		return nil
	}
	// The lease expired a TTL after its last renewal; five more seconds tell a lost runner from one that ends right now.
	if now.Sub(since) > leaseMargin {
		return run.LoseContact{AttemptID: a.ID}
	}
	return nil
}

// leaseMargin is how long a lease must be missing.
const leaseMargin = 5 * time.Second

// messages publishes tasks again whose message is gone, and makes sure that their consumer exists. What the stream still
// holds is left alone, so that its order is kept.
// It looks several times in the time after which a message counts as lost: with thousands of tasks each look has its price.
func (r *Reconciler) messages(ctx context.Context) error {
	if time.Since(r.looked) < r.timing.Republish/3 {
		return nil
	}
	queued, err := r.db.QueuedTasks(ctx, r.timing.Republish)
	if err != nil {
		return fmt.Errorf("queued tasks: %w", err)
	}
	held, failed := r.held(ctx, queued)
	var gone []messages.Task
	for _, t := range queued {
		if subjects, known := held[t.Pool]; known && subjects[t.Subject()] == 0 {
			gone = append(gone, t)
		}
	}
	if len(gone) > 0 {
		r.log.Info("reconciler: publishing tasks again whose messages are gone", "tasks", len(gone))
		r.metrics.actions.WithLabelValues("republish").Add(float64(len(gone)))
	}
	if err := r.db.Requeue(ctx, gone); err != nil {
		return err
	}
	r.looked = time.Now()
	return failed
}

// held tells which subjects the queues of the tasks' pools hold a message of, and makes sure of the tasks' consumers. A pool of which
// NATS refuses that is not among them; the others must not suffer for it.
func (r *Reconciler) held(ctx context.Context, queued []messages.Task) (map[string]map[string]uint64, error) {
	ensured, held, failed := map[string]bool{}, map[string]map[string]uint64{}, map[string]error{}
	for _, t := range queued {
		set := t.Pool + "/" + messages.LabelSetToken(t.Labels)
		if ensured[set] || failed[t.Pool] != nil {
			continue
		}
		ensured[set] = true
		err := r.bus.EnsureTaskConsumer(ctx, t.Mode, t.Pool, t.Labels)
		if errors.Is(err, bus.ErrNoStream) {
			err = nil // the relay makes both
		}
		if _, known := held[t.Pool]; err == nil && !known {
			held[t.Pool], err = r.bus.TaskSubjects(ctx, t.Pool)
		}
		if err != nil {
			failed[t.Pool] = err
			delete(held, t.Pool)
		}
		if errors.Is(err, context.DeadlineExceeded) { // nobody answers, and would not for the others
			break
		}
	}
	return held, errors.Join(slices.Collect(maps.Values(failed))...)
}
