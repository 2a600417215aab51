// Package projector folds what runners and workers report into Postgres: a batch of events and what they release in one
// transaction, acknowledged after its commit. A batch that is delivered again changes nothing.
package projector

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"gantry.example/internal/bus"
	"gantry.example/internal/failpoint"
	"gantry.example/messages"
	"gantry.example/services/postgres"
)

const (
	batch = 64
	wait  = 2 * time.Second
	retry = 250 * time.Millisecond
)

// Store folds a batch of events in one transaction. It is safe to call again with the same events, in any order.
type Store interface {
	Project(ctx context.Context, events []messages.Event) error
}

// Projector reads the STATUS stream. Several may run: each event goes to one of them.
type Projector struct {
	store    Store
	bus      *bus.Bus
	replicas int
	fail     *failpoint.Points
	log      *slog.Logger
}

// New returns a projector; replicas is that of the stream it creates when it is missing.
func New(store Store, b *bus.Bus, replicas int, fail *failpoint.Points, log *slog.Logger) *Projector {
	return &Projector{store: store, bus: b, replicas: replicas, fail: fail, log: log}
}

// Run projects until ctx ends.
func (p *Projector) Run(ctx context.Context) error {
	reader := p.bus.EventReader()
	for ctx.Err() == nil {
		deliveries, err := reader.FetchBatch(ctx, batch, wait)
		if err == nil {
			err = p.project(ctx, deliveries)
		}
		if errors.Is(err, bus.ErrNoStream) {
			err = errors.Join(err, p.bus.EnsureStatus(ctx, p.replicas), p.bus.EnsureDeadLetters(ctx, p.replicas))
		}
		if err != nil && ctx.Err() == nil {
			p.log.Warn("events: not projected, trying again", "error", err)
			pause(ctx)
		}
	}
	return nil
}

func (p *Projector) project(ctx context.Context, deliveries []bus.EventDelivery) error {
	var events []messages.Event
	var good []bus.EventDelivery
	for _, d := range deliveries {
		if d.Err != nil {
			// Nobody can ever use it. It ends no run: the reconciler judges attempts by what they do, not by lost words.
			p.log.Warn("event message is not usable, kept as a dead letter", "error", d.Err)
			if err := d.Bury(ctx, messages.Failure{Code: messages.CodeInvalid, Message: d.Err.Error()}); err != nil {
				return err
			}
			continue
		}
		events, good = append(events, d.Event), append(good, d)
	}
	p.hit("projector.before_commit", events)
	if err := p.store.Project(ctx, events); err != nil {
		if len(good) > 1 {
			return p.oneByOne(ctx, good) // one bad event must not hold up the others
		}
		return errors.Join(err, nak(good))
	}
	p.hit("projector.committed", events)
	for _, d := range good {
		if err := d.Ack(ctx); err != nil {
			return err
		}
	}
	return nil
}

// hit passes a failpoint when the batch ends an attempt.
func (p *Projector) hit(name string, events []messages.Event) {
	for _, e := range events {
		if e.Type == messages.EventFinished {
			p.fail.Hit(name)
		}
	}
}

func (p *Projector) oneByOne(ctx context.Context, deliveries []bus.EventDelivery) error {
	var failed error
	for _, d := range deliveries {
		err := p.store.Project(ctx, []messages.Event{d.Event})
		if err != nil {
			failed = errors.Join(failed, err, d.NakWithDelay(retry))
			continue
		}
		if err := d.Ack(ctx); err != nil {
			return err
		}
	}
	return failed
}

func nak(deliveries []bus.EventDelivery) error {
	for _, d := range deliveries {
		if err := d.NakWithDelay(retry); err != nil {
			return err
		}
	}
	return nil
}

func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(retry):
	}
}

var _ Store = (*postgres.DB)(nil)
