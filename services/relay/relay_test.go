package relay_test

import (
	"context"
	"log/slog"
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

// TestPoolsThatDoNotAnswerHoldUpNobody: two pools with the oldest tasks, each of which takes as long as an answer is waited for.
// The third gets its tasks after one such wait at most, and the two are left alone for twice as long as that.
func TestPoolsThatDoNotAnswerHoldUpNobody(t *testing.T) {
	t.Parallel()
	const answer = 5 * time.Second // how long one is waited for
	w := start(t)
	var tries []func() int
	var create []func(run.Options) run.Run
	for _, name := range []string{"one", "two"} {
		pool, of := w.Pool(name)
		r := of(run.Options{PlanOnly: true})
		waitMessage(t, w, r.Message(r.Plan).Subject(), true) // its queue is known to be there
		tries, create = append(tries, mute(t, w, pool)), append(create, of)
	}
	began := time.Now()
	for _, of := range create {
		of(run.Options{PlanOnly: true})
	}
	q := w.Bus.TaskQueue(messages.LocalPool, nil, w.Log)
	for range 3 {
		r := w.NewRun(run.Options{PlanOnly: true})
		if got := w.Take(q); got.RunID != r.ID {
			t.Errorf("got the task of %s, want that of %s", got.RunID, r.ID)
		}
	}
	for i, heard := range tries {
		got := heard()
		if most := 1 + int(time.Since(began)/(3*answer)); got > most {
			t.Errorf("pool %d: got %d tries within %s, want at most %d", i, got, time.Since(began), most)
		}
	}
}

// mute has somebody listen in the place of the pool's queue who says nothing, and tells how often it was tried.
func mute(t *testing.T, w *servicestest.World, pool string) func() int {
	t.Helper()
	nc, err := w.NATS.Connect("mute")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	sub, err := nc.SubscribeSync(messages.TaskStreamSubjects(messages.ModeAgent, pool))
	if err == nil {
		err = nc.FlushTimeout(10 * time.Second)
	}
	if err != nil {
		t.Fatal(err)
	}
	w.NATS.DeleteStream(t, messages.TaskStream(pool))
	return func() int {
		n, _, err := sub.Pending()
		if err != nil {
			t.Error(err)
		}
		return n
	}
}

// TestNATSIsAway: that is nobody's fault. It is said once in a while, not once for each pool that something waits for.
func TestNATSIsAway(t *testing.T) {
	t.Parallel()
	w := servicestest.New(t)
	for _, name := range []string{"one", "two", "three"} {
		_, create := w.Pool(name)
		create(run.Options{})
	}
	w.NATS.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for w.Bus.Connected() {
		<-tick.C
	}
	said := make(chan string, 1000)
	log := slog.New(slog.NewTextHandler(lines(said), nil))
	began := time.Now()
	w.Start(relay.New(w.DB, w.Bus, w.Notifier, placement.New(w.DB, w.Bus, w.Log), 1, nil, log).Run)
	for range 4 {
		select {
		case line := <-said:
			if !strings.Contains(line, "not everything could be sent") {
				t.Errorf("got %q, want no pool named", line)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("got no warning for 20 s, want that it is tried again")
		}
	}
	if took := time.Since(began); took < 3*250*time.Millisecond {
		t.Errorf("got four tries within %s, want a pause between them", took)
	}
}

// lines are what a log says.
type lines chan<- string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
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
