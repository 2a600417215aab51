package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

func TestRelayDeletesOnlyWhatWasSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	var want []string
	for _, name := range []string{"a", "b", "c", "d"} {
		want = append(want, w.newRun(w.workspace(name), run.Options{}).ID)
	}
	broken := errors.New("the queue is away")
	var sent []string
	take := func(n int, err error) func(context.Context, []postgres.OutboxRow) (int, error) {
		return func(_ context.Context, rows []postgres.OutboxRow) (int, error) {
			for _, r := range rows[:n] {
				sent = append(sent, r.RunID)
			}
			return n, err
		}
	}
	if n, err := w.Relay(ctx, 3, nil, take(1, broken)); n != 1 || !errors.Is(err, broken) {
		t.Errorf("a send that breaks after one: got %d, %v; want 1, %v", n, err, broken)
	}
	if n, err := w.Relay(ctx, 3, nil, take(0, broken)); n != 0 || !errors.Is(err, broken) {
		t.Errorf("a send that breaks at once: got %d, %v; want 0, %v", n, err, broken)
	}
	if n, err := w.Relay(ctx, 2, nil, take(2, nil)); n != 2 || err != nil {
		t.Errorf("two of three: got %d, %v; want 2", n, err)
	}
	if n, err := w.Relay(ctx, 2, nil, take(1, nil)); n != 1 || err != nil {
		t.Errorf("the last: got %d, %v; want 1", n, err)
	}
	if n, err := w.Relay(ctx, 2, nil, take(0, broken)); n != 0 || err != nil {
		t.Errorf("an empty outbox: got %d, %v; want 0 and nothing sent", n, err)
	}
	if diff := cmp.Diff(want, sent); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
}

func TestOnlyOneRelayWorks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	r := w.newRun(w.workspace("net"), run.Options{})
	other := open(t, w.dsn, w.sealer, postgres.Timing{})
	n, err := w.Relay(ctx, 10, nil, func(ctx context.Context, rows []postgres.OutboxRow) (int, error) {
		n, err := other.Relay(ctx, 10, nil, func(context.Context, []postgres.OutboxRow) (int, error) {
			t.Error("the second relay works beside the first")
			return 0, nil
		})
		if n != 0 || err != nil {
			t.Errorf("the second relay: got %d, %v; want 0", n, err)
		}
		return len(rows), nil
	})
	if n != 1 || err != nil {
		t.Errorf("the first relay: got %d, %v; want 1", n, err)
	}
	w.ok(other.Requeue(ctx, []messages.Task{r.Message(r.Plan)}))
	if diff := cmp.Diff([]string{"task plan " + r.ID}, w.drain()); diff != "" {
		t.Errorf("outbox after a requeue (-want +got):\n%s", diff)
	}
}

// TestAFailedTransactionLeavesNothing: the outbox and the events share the fate of the change.
func TestAFailedTransactionLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.newRun(w.workspace("net"), run.Options{})
	w.drain()
	before := w.get(r.ID)
	w.raw.MustExec(`ALTER TABLE outbox ADD CONSTRAINT none CHECK (false) NOT VALID`)
	if _, err := w.Transition(t.Context(), r.ID, run.Cancel{}, postgres.Cause{Actor: "ada"}); err == nil {
		t.Fatal("got no error, want the outbox's")
	}
	if diff := cmp.Diff(before, w.get(r.ID)); diff != "" {
		t.Errorf("the run changed (-want +got):\n%s", diff)
	}
	if got := int64(w.count(`SELECT max(seq) FROM run_events WHERE run_id = $1`, r.ID)); got != before.Seq {
		t.Errorf("events: got %d, want %d", got, before.Seq)
	}
}

func TestNotifierWakesWhoeverWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.NewNotifier()
	outbox, stopOutbox := n.Subscribe(postgres.ChannelOutbox, "")
	defer stopOutbox()
	other, stopOther := n.Subscribe(postgres.ChannelEvents, "run-other")
	defer stopOther()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	deadline := w.within(20 * time.Second)
	wait := func(wake <-chan struct{}, why string) {
		t.Helper()
		select {
		case <-wake:
		case <-deadline.Done():
			t.Fatalf("nobody was woken %s", why)
		}
	}
	wait(outbox, "when the notifier began to listen")
	wait(other, "when the notifier began to listen")
	r := w.newRun(w.workspace("net"), run.Options{})
	wait(outbox, "by a row of the outbox")
	mine, stopMine := n.Subscribe(postgres.ChannelEvents, r.ID)
	defer stopMine()
	w.cancel(r.ID)
	wait(mine, "by an event of the run")
	select {
	case <-other:
		t.Error("the events of one run woke who waits for another")
	default:
	}
	w.raw.MustExec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'`)
	wait(other, "after the connection was lost")
	cancel()
	select {
	case err := <-done:
		w.ok(err)
	case <-deadline.Done():
		t.Fatal("the notifier did not stop")
	}
}

// TestNotifierWakesOtherServers: a server wakes its own without Postgres, all others by it.
func TestNotifierWakesOtherServers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	there := open(t, w.dsn, w.sealer, postgres.Timing{})
	deadline := w.within(20 * time.Second)
	var wakes []<-chan struct{}
	wait := func(why string) {
		t.Helper()
		for i, wake := range wakes {
			select {
			case <-wake:
			case <-deadline.Done():
				t.Fatalf("server %d was not woken %s", i, why)
			}
		}
	}
	for _, db := range []*postgres.DB{w.DB, there} {
		n := db.NewNotifier()
		wake, stop := n.Subscribe(postgres.ChannelOutbox, "")
		defer stop()
		wakes = append(wakes, wake)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- n.Run(ctx) }()
		defer func() {
			cancel()
			w.ok(<-done)
		}()
	}
	wait("when it began to listen")
	for i := range 3 { // the second and third are collected
		w.newRun(w.workspace(fmt.Sprint("net", i)), run.Options{})
		wait("by a row of the outbox")
	}
}

// TestRequeueLeavesWhatWasClaimed: its message would take the place of a newer one of the workspace.
func TestRequeueLeavesWhatWasClaimed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	claimed, queued := w.newRun(w.workspace("a"), run.Options{}), w.newRun(w.workspace("b"), run.Options{})
	w.drain()
	w.claimed(claimed.ID)
	w.ok(w.Requeue(t.Context(), []messages.Task{claimed.Message(claimed.Plan), queued.Message(queued.Plan)}))
	if diff := cmp.Diff([]string{"task plan " + queued.ID}, w.drain()); diff != "" {
		t.Errorf("sent again (-want +got):\n%s", diff)
	}
}
