package queue_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gantry.example/internal/bus"
	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/workers/executor"
	"gantry.example/workers/executor/executortest"
	"gantry.example/workers/queue"
)

// TestAWorkerSpeaksNoOftenerThanItIsTold: what it does changes all the time, but a server with thousands of workers has other
// things to do. Only that it takes nothing more is said at once.
func TestAWorkerSpeaksNoOftenerThanItIsTold(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pause     int // in the server's answers
		drain     bool
		wantAfter []time.Duration // the first words
	}{
		{pause: 0, wantAfter: []time.Duration{0, time.Second, 2 * time.Second, 3 * time.Second}},
		{pause: 4, wantAfter: []time.Duration{0, 5 * time.Second, 10 * time.Second, 15 * time.Second}},
		{pause: 4, drain: true, wantAfter: []time.Duration{0, 4 * time.Second, 9 * time.Second}},
	} {
		synctest.Test(t, func(t *testing.T) {
			fake := executortest.NewFake()
			w, err := queue.New(queue.Config{
				Name: "worker-1", Pool: messages.LocalPool, Slots: 1, Executor: fake, Tasks: nobody{}, Claims: nobody{}, Events: nobody{}, Log: slog.New(slog.DiscardHandler),
			})
			must(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), 17*time.Second)
			defer cancel()
			heard := &listener{since: time.Now(), pause: c.pause}
			go w.Announce(ctx, heard)
			<-time.After(time.Second / 2) // of the bubble's clock: what changes does so between two looks
			for i := range 16 {
				if c.drain && i == 3 {
					w.Drain()
				}
				id := fmt.Sprint("att-", i) // something else runs every second
				must(t, fake.StartPlan(ctx, executor.Attempt{Claim: wire.Claim{AttemptID: id, Inputs: wire.Inputs{AttemptID: id, RunID: fmt.Sprint("run-", i), Phase: messages.PhasePlan}}}))
				<-fake.Started()
				<-time.After(time.Second)
			}
			<-ctx.Done()
			synctest.Wait()
			if diff := cmp.Diff(c.wantAfter, heard.after[:min(len(heard.after), len(c.wantAfter))]); diff != "" {
				t.Errorf("pause %d, drain %v: words at (-want +got):\n%s", c.pause, c.drain, diff)
			}
		})
	}
}

// listener is a server that hears when words come, to the second.
type listener struct {
	since time.Time
	pause int
	after []time.Duration
}

func (l *listener) SawWorker(context.Context, wire.WorkerStatus) (wire.WorkerOrders, error) {
	l.after = append(l.after, time.Since(l.since).Truncate(time.Second))
	return wire.WorkerOrders{PauseSeconds: l.pause}, nil
}

// nobody is asked by a worker that only speaks.
type nobody struct{}

func (nobody) Next(context.Context) (*bus.Delivery, error) { panic("not asked") }
func (nobody) Claim(context.Context, wire.ClaimRequest) (wire.Claim, error) {
	panic("not asked")
}
func (nobody) PublishEvent(context.Context, string, messages.Event) error { panic("not asked") }
