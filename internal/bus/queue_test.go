package bus_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gantry.example/internal/bus"
	"gantry.example/internal/bus/broker"
	"gantry.example/messages"
)

func TestTaskArrives(t *testing.T) {
	t.Parallel()
	f := start(t)
	ctx := withTimeout(t)
	labels := []string{"production", "aws"}
	want := f.task("aws", "production")
	for range 2 { // ensuring and publishing again change nothing
		must(t, f.bus.EnsureTasks(ctx, messages.ModeAgent, f.pool, 1))
		must(t, f.bus.EnsureTaskConsumer(ctx, messages.ModeAgent, f.pool, labels))
		must(t, f.bus.PublishTask(ctx, want, "1", map[string]string{"traceparent": "00-1-2-01"}))
	}
	if has, err := f.bus.HasTask(ctx, f.pool, want.Subject()); err != nil || !has {
		t.Errorf("queued task: got %t, %v, want it there", has, err)
	}
	if all, err := f.bus.TaskSubjects(ctx, f.pool); err != nil || len(all) != 1 || all[want.Subject()] != 1 {
		t.Errorf("subjects of the queue: got %v, %v, want that of the task", all, err)
	}
	b, _ := f.As(t, f.worker("w1"))
	q := b.TaskQueue(f.pool, labels, quiet())
	d, err := q.Next(ctx)
	must(t, err)
	if diff := cmp.Diff(want, d.Task); d.Err != nil || diff != "" {
		t.Errorf("task: error %v, -want +got:\n%s", d.Err, diff)
	}
	if got := d.Headers["traceparent"]; got != "00-1-2-01" {
		t.Errorf("trace header: got %q, want 00-1-2-01", got)
	}
	must(t, d.Ack(ctx))
	nothing(t, q)
}

// nothing checks that the queue is empty: whatever it holds would come at once.
func nothing(t *testing.T, q *bus.TaskQueue) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if d, err := q.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("empty queue: got %v, %v, want to wait until the context ends", d, err)
	}
}

func TestTasksOfOtherLabelSetsStayAway(t *testing.T) {
	t.Parallel()
	f := start(t)
	ctx := withTimeout(t)
	must(t, f.bus.EnsureTaskConsumer(ctx, messages.ModeAgent, f.pool, []string{"gpu"}))
	must(t, f.bus.PublishTask(ctx, f.task("gpu"), "1", nil))
	nothing(t, f.bus.TaskQueue(f.pool, nil, quiet()))
}

func TestNakDelaysRedelivery(t *testing.T) {
	t.Parallel()
	f := start(t)
	ctx := withTimeout(t)
	want := f.task()
	must(t, f.bus.PublishTask(ctx, want, "1", nil))
	q := f.bus.TaskQueue(f.pool, nil, quiet())
	d, err := q.Next(ctx)
	must(t, err)
	const delay = 400 * time.Millisecond
	naked := time.Now()
	must(t, d.NakWithDelay(delay))
	d, err = q.Next(ctx)
	must(t, err)
	if took := time.Since(naked); d.Task.ID != want.ID || took < delay {
		t.Errorf("after a nak: got task %s after %s, want %s after %s", d.Task.ID, took, want.ID, delay)
	}
	must(t, d.Ack(ctx))
}

func TestNewestTaskOfAKeyWins(t *testing.T) {
	t.Parallel()
	f := start(t)
	ctx := withTimeout(t)
	old := f.task()
	newer := old
	newer.ID = messages.NewID("task-")
	oldest := old
	oldest.ID = messages.NewID("task-")
	must(t, f.bus.PublishTask(ctx, oldest, "0", nil))
	must(t, f.bus.PublishTask(ctx, old, "1", nil))
	q := f.bus.TaskQueue(f.pool, nil, quiet())
	d, err := q.Next(ctx)
	must(t, err)
	if d.Task.ID != old.ID {
		t.Errorf("got task %s, want %s, which replaced %s", d.Task.ID, old.ID, oldest.ID)
	}
	must(t, f.bus.PublishTask(ctx, newer, "2", nil)) // accepted while the old one is being claimed
	must(t, d.Ack(ctx))                              // and the stale ack does not take it away
	d, err = q.Next(ctx)
	must(t, err)
	if d.Task.ID != newer.ID {
		t.Errorf("got task %s, want the newer %s", d.Task.ID, newer.ID)
	}
	must(t, d.Ack(ctx))
	nothing(t, q)
}

func TestDeletedTask(t *testing.T) {
	t.Parallel()
	f := start(t)
	ctx := withTimeout(t)
	task, stays := f.task(), f.task()
	must(t, f.bus.PublishTask(ctx, task, "1", nil))
	must(t, f.bus.PublishTask(ctx, stays, "2", nil))
	for range 2 {
		must(t, f.bus.DeleteTask(ctx, task))
	}
	for task, want := range map[string]bool{task.Subject(): false, stays.Subject(): true} {
		if has, err := f.bus.HasTask(ctx, f.pool, task); err != nil || has != want {
			t.Errorf("task %s: got %t, %v, want %t", task, has, err, want)
		}
	}
	must(t, f.bus.PublishTask(ctx, task, "3", nil)) // a new id, or the stream would take it for a repetition
	if has, err := f.bus.HasTask(ctx, f.pool, task.Subject()); err != nil || !has {
		t.Errorf("republished task: got %t, %v, want it there", has, err)
	}
	if err := f.bus.DeleteTask(ctx, messages.Task{}); err == nil {
		t.Error("delete of an empty task: got no error, want one")
	}
	// Said again, as after a relay that died before it could forget what it had sent, it is about the message that was there then.
	next := stays
	next.ID = messages.NewID("task-")
	must(t, f.bus.PublishTask(ctx, next, "4", nil))
	must(t, f.bus.DeleteTask(ctx, stays))
	if has, err := f.bus.HasTask(ctx, f.pool, next.Subject()); err != nil || !has {
		t.Errorf("the workspace's next task: got %t, %v, want it there", has, err)
	}
}

func TestUnusableTaskIsDeliveredWithItsError(t *testing.T) {
	t.Parallel()
	f := start(t)
	ctx := withTimeout(t)
	nc, err := f.Connect("raw")
	must(t, err)
	t.Cleanup(nc.Close)
	q := f.bus.TaskQueue(f.pool, nil, quiet())
	foreign := f.task()
	subject := messages.TaskSubject(messages.ModeAgent, f.pool, messages.AnyLabelSet, "junk")
	for what, body := range map[string]string{
		"not readable": "{", "field id": `{"id":"x"}`, "belongs on": encode(t, foreign),
	} {
		must(t, nc.Publish(subject, []byte(body)))
		d, err := q.Next(ctx)
		must(t, err)
		if d.Err == nil || !strings.Contains(d.Err.Error(), what) {
			t.Errorf("message %s: got error %v, want one that says %q", body, d.Err, what)
		}
		must(t, d.Bury(ctx, unusable(d.Err)))
		until(t, ctx, "the message to go", func() bool {
			has, err := f.bus.HasTask(ctx, f.pool, subject)
			must(t, err)
			return !has
		})
	}
	if err := f.bus.PublishTask(ctx, messages.Task{}, "1", nil); err == nil {
		t.Error("publish of an empty task: got no error, want one")
	}
}

func TestQueueSurvivesAMissingStream(t *testing.T) {
	t.Parallel()
	f := start(t)
	ctx := withTimeout(t)
	const pool = "apool-late"
	task := f.task()
	task.Pool = pool
	if err := f.bus.EnsureTaskConsumer(ctx, messages.ModeAgent, pool, nil); !errors.Is(err, bus.ErrNoStream) {
		t.Errorf("consumer without a stream: got %v, want ErrNoStream", err)
	}
	if err := f.bus.PublishTask(ctx, task, "1", nil); !errors.Is(err, bus.ErrNoStream) {
		t.Errorf("publish without a stream: got %v, want ErrNoStream", err)
	}
	if has, err := f.bus.HasTask(ctx, pool, task.Subject()); err != nil || has {
		t.Errorf("task without a stream: got %t, %v, want no task and no error", has, err)
	}
	if all, err := f.bus.TaskSubjects(ctx, pool); err != nil || len(all) > 0 {
		t.Errorf("subjects without a stream: got %v, %v, want none and no error", all, err)
	}
	must(t, f.bus.DeleteTask(ctx, task))

	b, _ := f.As(t, broker.Identity{Kind: broker.KindWorker, Pool: pool, Name: "w1"})
	got := nextInBackground(ctx, b.TaskQueue(pool, nil, quiet()))
	for round := range 2 { // the second time the stream vanishes under a waiting pull
		must(t, f.bus.EnsureTasks(ctx, messages.ModeAgent, pool, 1))
		must(t, f.bus.EnsureTaskConsumer(ctx, messages.ModeAgent, pool, nil))
		must(t, f.bus.PublishTask(ctx, task, "2", nil))
		d := <-got
		if d == nil || d.Task.ID != task.ID {
			t.Fatalf("round %d: got %v, want task %s", round, d, task.ID)
		}
		must(t, d.Ack(ctx))
		deleteStream(t, f, messages.TaskStream(pool))
	}
}

// nextInBackground sends what Next returns until the context ends, then closes the channel.
func nextInBackground(ctx context.Context, q *bus.TaskQueue) <-chan *bus.Delivery {
	out := make(chan *bus.Delivery)
	go func() {
		defer close(out)
		for {
			d, err := q.Next(ctx)
			if err != nil {
				return
			}
			select {
			case out <- d:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

func TestQueueSurvivesARestart(t *testing.T) {
	t.Parallel()
	f := start(t)
	ctx := withTimeout(t)
	b, _ := f.As(t, f.worker("w1"))
	got := nextInBackground(ctx, b.TaskQueue(f.pool, nil, quiet()))
	f.Stop()
	f.Restart(t)
	task := f.task()
	must(t, f.Bus(t).PublishTask(ctx, task, "1", nil))
	d := <-got
	if d == nil || d.Task.ID != task.ID {
		t.Fatalf("after a restart: got %v, want task %s", d, task.ID)
	}
	must(t, d.Ack(ctx))
}
