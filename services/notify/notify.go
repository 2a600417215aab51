// Package notify tells receivers outside what runs do: what happened is noted after it is stored, so that no run waits for a
// receiver, and sent until it was taken. Several servers may do so beside each other; a receiver is told everything at least
// once, and in order.
package notify

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"gantry.example/services/postgres"
)

const (
	every = 2 * time.Second // how long a notification waits at most before it is sent
	// senders is to how many receivers one server sends at a time, so that a slow one keeps few others waiting.
	senders = 8
)

// Store knows what is to be told. Its methods may be called by several servers at once.
type Store interface {
	// NoteNotifications notes what is to be told of what happened.
	NoteNotifications(ctx context.Context) error
	// NextNotification is one to send; ok is false when none waits. It is answered with Notified.
	NextNotification(ctx context.Context) (n postgres.Notification, ok bool, err error)
	// Notified notes what became of it, and reports whether it was given up.
	Notified(ctx context.Context, n postgres.Notification, got postgres.DeliveryResponse) (givenUp bool, err error)
}

// Notifier sends what is to be told.
type Notifier struct {
	store  Store
	sender *Sender
	log    *slog.Logger
	down   bool // the failure was logged
}

// New returns a notifier that does nothing yet.
func New(store Store, sender *Sender, log *slog.Logger) *Notifier {
	return &Notifier{store: store, sender: sender, log: log}
}

// Run sends until ctx ends, and waits then for what is being sent. What fails is tried again.
func (n *Notifier) Run(ctx context.Context) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	room := make(chan struct{}, senders)
	var sending sync.WaitGroup
	defer sending.Wait()
	for {
		err := n.round(ctx, room, &sending)
		if err != nil && !n.down && ctx.Err() == nil {
			n.log.Warn("notifications wait, trying again", "error", err)
		}
		n.down = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// round notes what happened and begins to send, as far as there is room.
func (n *Notifier) round(ctx context.Context, room chan struct{}, sending *sync.WaitGroup) error {
	if err := n.store.NoteNotifications(ctx); err != nil {
		return err
	}
	for {
		select {
		case room <- struct{}{}:
		default:
			return nil // the receivers that are being sent to have all of it
		}
		next, ok, err := n.store.NextNotification(ctx)
		if err != nil || !ok {
			<-room
			return err
		}
		sending.Go(func() {
			defer func() { <-room }()
			n.send(ctx, next)
		})
	}
}

// send sends one notification, and then whatever else waits.
func (n *Notifier) send(ctx context.Context, next postgres.Notification) {
	for ok := true; ok; {
		got := n.sender.Send(ctx, next)
		if ctx.Err() != nil {
			return // the server stops: it is sent again by the next one
		}
		givenUp, err := n.store.Notified(ctx, next, got)
		n.report(next, got, givenUp)
		if err == nil {
			next, ok, err = n.store.NextNotification(ctx)
		}
		if err != nil {
			return // the next round finds that the database is away, and says so
		}
	}
}

func (n *Notifier) report(sent postgres.Notification, got postgres.DeliveryResponse, givenUp bool) {
	of := []any{"configuration", sent.Configuration.ID, "workspace", sent.WorkspaceName, "run", sent.Run.ID, "trigger", sent.Trigger, "status", got.Code}
	switch {
	case givenUp:
		n.log.Warn("a notification was given up", of...)
	case !got.Successful && sent.Configuration.Failures == 0:
		n.log.Warn("a notification was not taken, trying again", of...)
	}
}

var _ Store = (*postgres.DB)(nil)
