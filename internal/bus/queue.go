package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"

	"gantry.example/messages"
)

const (
	// pullWait is how long one pull waits at the server. It is short because a pull dies silently with the connection it
	// was sent on, and a message sent to a dead pull is late by AckWait.
	pullWait = 2 * time.Second
	// A queue that cannot be read is tried again after these delays, doubled each time and spread at random.
	minRetry = 50 * time.Millisecond
	maxRetry = 2 * time.Second
)

// TaskQueue is a worker's view of the tasks of one label set of its pool. One goroutine uses it; a worker with several
// slots calls Next when a slot is free, or has a TaskQueue per slot.
type TaskQueue struct {
	pull puller
	log  *slog.Logger
	down bool // the failure was logged
}

// TaskQueue returns the queue of a pool's label set. Nothing needs to exist yet.
func (b *Bus) TaskQueue(pool string, labels []string, log *slog.Logger) *TaskQueue {
	name := messages.TaskConsumer(messages.LabelSetToken(labels))
	return &TaskQueue{
		pull: puller{bus: b, stream: messages.TaskStream(pool), name: name},
		log:  log.With("pool", pool, "consumer", name),
	}
}

// Delivery is one task message. If Err is not nil the message cannot be carried out by anyone: Bury it. Otherwise claim
// Task and settle the message within 10 s, or another worker gets it too, which the claim makes harmless.
type Delivery struct {
	Task    messages.Task
	Headers map[string]string // trace context
	Err     error
	Receipt
}

// Next blocks until there is a message or ctx ends; its only error is the context's. A missing stream or consumer, a lost
// connection or a restarting server is waited out, and logged once. A message that arrives while ctx ends is delivered
// again to somebody after 10 s.
func (q *TaskQueue) Next(ctx context.Context) (*Delivery, error) {
	retry := minRetry
	for {
		msg, err := q.pull.one(ctx, pullWait)
		if msg != nil {
			q.report(nil)
			return delivery(Receipt{q.pull.bus, msg}), nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		q.report(err)
		if err == nil {
			retry = minRetry
			continue
		}
		if err := sleep(ctx, retry/2+rand.N(retry)); err != nil {
			return nil, err
		}
		retry = min(2*retry, maxRetry)
	}
}

// report logs when the queue stops or starts to be readable.
func (q *TaskQueue) report(err error) {
	switch {
	case errors.Is(err, ErrNoStream) && !q.down:
		q.log.Info("no task was queued here yet, waiting for the first", "error", err)
	case err != nil && !q.down:
		q.log.Warn("task queue cannot be read, trying again", "error", err)
	case err == nil && q.down:
		q.log.Info("task queue can be read again")
	}
	q.down = err != nil
}

func delivery(r Receipt) *Delivery {
	m := r.msg
	d := &Delivery{Headers: traceHeaders(m.Headers()), Receipt: r}
	if err := json.Unmarshal(m.Data(), &d.Task); err != nil {
		d.Err = fmt.Errorf("task message %s: not readable: %w", m.Subject(), err)
	} else if err := d.Task.Validate(); err != nil {
		d.Err = err
	} else if s := d.Task.Subject(); s != m.Subject() {
		d.Err = fmt.Errorf("task message %s: its content belongs on %s", m.Subject(), s)
	}
	return d
}

func traceHeaders(h nats.Header) map[string]string {
	out := make(map[string]string, len(h))
	for k := range h {
		out[k] = h.Get(k)
	}
	return out
}

// sleep waits for d or the end of ctx, whose error it returns then.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
