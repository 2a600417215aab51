// Package relay carries the outbox to NATS: what a transaction decided to tell the world leaves here, in order, at least
// once. A row is deleted only after NATS has stored what it says, so a crash in between sends it again, which every reader
// tolerates. Order matters within a pool only: one whose queue can't be made or written is left alone for a while, and the others
// go on.
package relay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"gantry.example/internal/bus"
	"gantry.example/internal/failpoint"
	"gantry.example/internal/telemetry"
	"gantry.example/messages"
	"gantry.example/services/postgres"
)

// batch is how many rows leave in one transaction.
const batch = 100

// poll is how often the outbox is looked at without being woken: the net below a lost notification.
const poll = time.Second

// retry is the pause after Postgres refused, or while NATS is away altogether.
const retry = 250 * time.Millisecond

// minRest and maxRest are how long a pool is left alone after NATS refused what was for it: twice as long as the refusal took, which
// is seconds when nobody answers, and twice as long again at each further one until something could be sent.
const (
	minRest = 500 * time.Millisecond
	maxRest = 30 * time.Second
)

// ensuredFor is how long a consumer is taken to exist: it is deleted when its label set was not used for a day.
const ensuredFor = time.Hour

// Placer hears of every task whose message is stored, in order and from one goroutine, perhaps twice. It must not wait.
type Placer interface {
	Published(t messages.Task)
}

// Relay sends the outbox. Several may run against one database: one works at a time.
type Relay struct {
	db       *postgres.DB
	bus      *bus.Bus
	notifier *postgres.Notifier
	placer   Placer
	replicas int
	fail     *failpoint.Points
	log      *slog.Logger

	// Used by Run's goroutine only:
	ensured map[string]time.Time // when streams and consumers were last seen to exist
	refused map[string]refusal   // the pools that could not be sent to since it last went well, by their ids
	others  bool                 // the others have their turn: however many pools do not answer, they wait for one at most
}

// refusal is what a pool gets out of NATS' refusing what is for it.
type refusal struct {
	rest  time.Duration
	until time.Time
}

// poolError is what kept a row from being sent to its pool.
type poolError struct {
	pool string
	took time.Duration
	error
}

func (e *poolError) Unwrap() error { return e.error }

// New returns a relay; replicas is that of the streams it creates.
func New(db *postgres.DB, b *bus.Bus, n *postgres.Notifier, placer Placer, replicas int, fail *failpoint.Points, log *slog.Logger) *Relay {
	return &Relay{db: db, bus: b, notifier: n, placer: placer, replicas: replicas, fail: fail, log: log, ensured: map[string]time.Time{}, refused: map[string]refusal{}}
}

// Run sends until ctx ends.
func (r *Relay) Run(ctx context.Context) error {
	wake, stop := r.notifier.Subscribe(postgres.ChannelOutbox, "")
	defer stop()
	for {
		n, err := r.db.Relay(ctx, batch, r.without(), r.send)
		wait := poll
		var of *poolError
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &of):
			rest := r.refuse(of)
			r.log.Warn("outbox: something could not be sent to a pool, trying again in a while", "pool", of.pool, "in", rest, "error", err)
			continue
		case err != nil:
			r.log.Warn("outbox: not everything could be sent, trying again", "error", err)
			wait = retry
		case n == batch:
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-time.After(wait):
		}
	}
}

// refuse lets the pool rest, and says how long.
func (r *Relay) refuse(of *poolError) time.Duration {
	rest := min(max(minRest, 2*of.took, 2*r.refused[of.pool].rest), maxRest)
	r.refused[of.pool] = refusal{rest, time.Now().Add(rest)}
	r.others = true
	return rest
}

// without are the pools that nothing is sent to now: those that rest, and right after a refusal all that were refused.
func (r *Relay) without() []string {
	var pools []string
	for pool, of := range r.refused {
		if r.others || time.Now().Before(of.until) {
			pools = append(pools, pool)
		}
	}
	r.others = false
	return pools
}

// send sends rows in order and returns how many it has sent.
func (r *Relay) send(ctx context.Context, rows []postgres.OutboxRow) (int, error) {
	for i, row := range rows {
		r.fail.Hit("relay.before_send." + row.Kind)
		if err := r.sendRow(ctx, row); err != nil {
			return i, fmt.Errorf("outbox row %d (%s of run %s): %w", row.ID, row.Kind, row.RunID, err)
		}
		r.fail.Hit("relay.sent." + row.Kind)
	}
	return len(rows), nil
}

func (r *Relay) sendRow(ctx context.Context, row postgres.OutboxRow) error {
	pool, err := "", error(nil)
	began, connection := time.Now(), r.bus.Reconnects()
	switch row.Kind {
	case postgres.OutboxTask, postgres.OutboxDelete:
		var t messages.Task
		if err := json.Unmarshal(row.Payload, &t); err != nil {
			return err
		}
		if pool = t.Pool; row.Kind == postgres.OutboxTask {
			err = r.publish(ctx, t, row.ID)
		} else {
			err = r.bus.DeleteTask(ctx, t)
		}
	case postgres.OutboxCommand:
		var c postgres.CommandRow
		if err := json.Unmarshal(row.Payload, &c); err != nil {
			return err
		}
		pool, err = c.Pool, r.bus.PublishCommand(ctx, c.Pool, c.Command)
	default:
		return fmt.Errorf("kind %q is not one of this version's", row.Kind)
	}
	switch {
	case err == nil:
		delete(r.refused, pool)
		return nil
	case errors.Is(err, bus.ErrDisconnected) || !r.bus.Connected() || r.bus.Reconnects() != connection:
		return err // nothing that is the pool's
	default:
		return &poolError{pool, time.Since(began), err}
	}
}

// publish announces a task. Its row's id makes the message id: a row sent twice is stored once, a task queued again (which
// is another row) is stored again.
func (r *Relay) publish(ctx context.Context, t messages.Task, rowID int64) error {
	id := fmt.Sprintf("%s/%d", t.ID, rowID)
	if err := r.ensure(ctx, t); err != nil {
		return err
	}
	var trace map[string]string
	if t.Traceparent != "" {
		trace = map[string]string{telemetry.Header: t.Traceparent}
	}
	err := r.bus.PublishTask(ctx, t, id, trace)
	if errors.Is(err, bus.ErrNoStream) { // deleted by hand since we created it
		clear(r.ensured)
		if err = r.ensure(ctx, t); err == nil {
			err = r.bus.PublishTask(ctx, t, id, trace)
		}
	}
	if err == nil {
		r.placer.Published(t)
	}
	return err
}

// ensure creates what a task needs before it is published: with no consumer nobody would be told of it.
func (r *Relay) ensure(ctx context.Context, t messages.Task) error {
	key := t.Pool + "/" + messages.LabelSetToken(t.Labels)
	if time.Since(r.ensured[key]) < ensuredFor {
		return nil
	}
	if err := r.bus.EnsureTasks(ctx, t.Mode, t.Pool, r.replicas); err != nil {
		return err
	}
	if err := r.bus.EnsureLeases(ctx, t.Pool, r.replicas); err != nil {
		return err
	}
	if err := r.bus.EnsureTaskConsumer(ctx, t.Mode, t.Pool, t.Labels); err != nil {
		return err
	}
	r.ensured[key] = time.Now()
	return nil
}
