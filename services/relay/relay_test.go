package relay_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"gantry.example/internal/pgtest"
	"gantry.example/messages"
	"gantry.example/services/placement"
	"gantry.example/services/postgres"
	"gantry.example/services/relay"
	"gantry.example/services/run"
	"gantry.example/services/servicestest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func start(t *testing.T) *servicestest.World {
	t.Helper()
	w := servicestest.New(t)
	w.Start(w.Notifier.Run)
	w.Start(relay.New(w.DB, w.Bus, w.Notifier, placement.New(w.DB, w.Bus, w.Log), 1, nil, w.Log).Run)
	return w
}

func TestTaskLeaves(t *testing.T) {
	t.Parallel()
	w := start(t)
	r := w.NewRun(run.Options{})
	if got := w.Take(w.Bus.TaskQueue(messages.LocalPool, nil, w.Log)); got.RunID != r.ID || got.Phase != messages.PhasePlan {
		t.Errorf("got task %+v, want the plan of %s", got, r.ID)
	}
}

// TestALostNotificationCostsTimeOnly: the relay looks for itself. It has looked when the first task came.
func TestALostNotificationCostsTimeOnly(t *testing.T) {
	t.Parallel()
	w := servicestest.New(t)
	w.Start(relay.New(w.DB, w.Bus, w.Notifier, placement.New(w.DB, w.Bus, w.Log), 1, nil, w.Log).Run) // and nobody listens to Postgres
	q := w.Bus.TaskQueue(messages.LocalPool, nil, w.Log)
	for range 2 {
		r := w.NewRun(run.Options{PlanOnly: true})
		if got := w.Take(q); got.RunID != r.ID {
			t.Errorf("got the task of %s, want that of %s", got.RunID, r.ID)
		}
	}
}

// TestDeletedStreamComesBack: a queue that was deleted by hand is made again with the next task.
func TestDeletedStreamComesBack(t *testing.T) {
	t.Parallel()
	w := start(t)
	q := w.Bus.TaskQueue(messages.LocalPool, nil, w.Log)
	for range 2 {
		r := w.NewRun(run.Options{PlanOnly: true})
		if got := w.Take(q); got.RunID != r.ID {
			t.Errorf("got the task of %s, want that of %s", got.RunID, r.ID)
		}
		w.NATS.DeleteStream(t, messages.TaskStream(messages.LocalPool))
	}
}

// TestOrderIsKept: tasks leave in the order in which they were decided, however many are behind.
func TestOrderIsKept(t *testing.T) {
	t.Parallel()
	w := servicestest.New(t)
	var want []string
	for range 5 {
		want = append(want, w.NewRun(run.Options{PlanOnly: true}).ID)
	}
	w.Start(w.Notifier.Run)
	w.Start(relay.New(w.DB, w.Bus, w.Notifier, placement.New(w.DB, w.Bus, w.Log), 1, nil, w.Log).Run)
	q := w.Bus.TaskQueue(messages.LocalPool, nil, w.Log)
	for _, id := range want {
		if got := w.Take(q); got.RunID != id {
			t.Errorf("got the task of %s, want that of %s", got.RunID, id)
		}
	}
}

// TestABrokenPoolHoldsUpNobody: what NATS refuses of one pool is tried again, and what others wait for leaves meanwhile.
func TestABrokenPoolHoldsUpNobody(t *testing.T) {
	t.Parallel()
	w := servicestest.New(t)
	waits := w.BrokenPool()
	r := w.NewRun(run.Options{})
	w.Start(w.Notifier.Run)
	w.Start(relay.New(w.DB, w.Bus, w.Notifier, placement.New(w.DB, w.Bus, w.Log), 1, nil, w.Log).Run)
	if got := w.Take(w.Bus.TaskQueue(messages.LocalPool, nil, w.Log)); got.RunID != r.ID {
		t.Errorf("got the task of %s, want that of %s", got.RunID, r.ID)
	}
	w.NATS.DeleteStream(t, messages.TaskStream(waits.Pool))
	waitMessage(t, w, waits.Message(waits.Plan).Subject(), true)
}

// TestCanceledTaskIsTakenBack: the message of a task that was canceled while it was queued is gone.
func TestCanceledTaskIsTakenBack(t *testing.T) {
	t.Parallel()
	w := start(t)
	r := w.NewRun(run.Options{})
	subject := r.Message(r.Plan).Subject()
	waitMessage(t, w, subject, true)
	if _, err := w.DB.Transition(t.Context(), r.ID, run.Cancel{}, postgres.Cause{Actor: "test"}); err != nil {
		t.Fatal(err)
	}
	waitMessage(t, w, subject, false)
}

// TestCommandReachesTheRunner: a cancel of a started attempt is told to it.
func TestCommandReachesTheRunner(t *testing.T) {
	t.Parallel()
	w := start(t)
	r := w.NewRun(run.Options{})
	_, a := w.Begin(r.ID)
	commands, err := w.Bus.SubscribeCommands(messages.LocalPool, a.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = commands.Close() }()
	if _, err := w.DB.Transition(t.Context(), r.ID, run.Cancel{}, postgres.Cause{Actor: "test"}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if c, err := commands.Next(ctx); err != nil || c.AttemptID != a.ID || !c.Cancel || c.Force {
		t.Errorf("got command %+v, %v, want a cancel of %s", c, err, a.ID)
	}
}

func waitMessage(t *testing.T, w *servicestest.World, subject string, want bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		got, err := w.Bus.HasTask(t.Context(), strings.Split(subject, ".")[2], subject)
		if err == nil && got == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("message on %s: got %v, %v, want %v", subject, got, err, want)
		}
		<-tick.C
	}
}
