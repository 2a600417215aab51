package replay

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// Messages does what NATS does for so many runs, in a server without streams: each task is published to a work queue, pulled by
// one of the workers and acknowledged; two events of each are published to a stream, read in batches and acknowledged one by one.
type Messages struct {
	Tasks, Workers int
}

const (
	messageSize = 400
	eventBatch  = 64
	poll        = 20 * time.Millisecond
)

// Run returns when all is done.
func (m Messages) Run(ctx context.Context, nc *nats.Conn) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	tasks, err := stream(ctx, js, jetstream.StreamConfig{Name: "REPLAY_TASKS", Subjects: []string{"replay.task.>"}, Retention: jetstream.WorkQueuePolicy, MaxMsgsPerSubject: 1})
	if err != nil {
		return err
	}
	events, err := stream(ctx, js, jetstream.StreamConfig{Name: "REPLAY_STATUS", Subjects: []string{"replay.status.>"}, MaxAge: time.Hour})
	if err != nil {
		return err
	}
	body := []byte(strings.Repeat("0123456789abcdef", messageSize/16))
	publish := func(ctx context.Context, what string, n int64) error {
		_, err := js.Publish(ctx, fmt.Sprintf("replay.%s.%d", what, n), body, jetstream.WithMsgID(fmt.Sprint(what, n)))
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		for n := range int64(m.Tasks) {
			if err := publish(ctx, "task", n); err != nil {
				return err
			}
		}
		return nil
	})
	var pulled, read atomic.Int64
	working, stop := context.WithCancel(ctx)
	defer stop()
	for range m.Workers {
		g.Go(func() error {
			return drain(working, tasks, 1, jetstream.FetchContext(working), func(n int64) error {
				return errors.Join(publish(ctx, "status", 2*n), publish(ctx, "status", 2*n+1))
			}, &pulled, int64(m.Tasks), stop)
		})
	}
	g.Go(func() error {
		return drain(ctx, events, eventBatch, jetstream.FetchMaxWait(poll), func(int64) error { return ctx.Err() }, &read, 2*int64(m.Tasks), func() {})
	})
	return g.Wait()
}

func stream(ctx context.Context, js jetstream.JetStream, c jetstream.StreamConfig) (jetstream.Consumer, error) {
	if _, err := js.CreateStream(ctx, c); err != nil {
		return nil, err
	}
	return js.CreateConsumer(ctx, c.Name, jetstream.ConsumerConfig{
		Durable: "replay", AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Minute, MaxAckPending: 10_000, MaxWaiting: 4096,
	})
}

// drain acknowledges messages, with the server's answer, until so many were taken in all; then it calls stop, which ends ctx and
// with it all who still wait for one.
func drain(ctx context.Context, c jetstream.Consumer, batch int, wait jetstream.FetchOpt, take func(n int64) error, taken *atomic.Int64, all int64, stop func()) error {
	for taken.Load() < all {
		msgs, err := c.Fetch(batch, wait)
		if err != nil && ctx.Err() == nil {
			return err
		}
		if err != nil {
			return nil
		}
		for m := range msgs.Messages() {
			if err := m.DoubleAck(context.WithoutCancel(ctx)); err != nil {
				return err
			}
			n := taken.Add(1)
			if err := take(n - 1); err != nil {
				return err
			}
			if n == all {
				stop()
			}
		}
	}
	return nil
}
