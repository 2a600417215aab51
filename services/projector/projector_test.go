package projector_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"testing"

	"gantry.example/internal/bus/broker"
	"gantry.example/internal/pgtest"
	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/projector"
	"gantry.example/services/run"
	"gantry.example/services/servicestest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// TestEventsBecomeTheRun: also before the stream exists, repeated, in the wrong order and with rubbish between them.
func TestEventsBecomeTheRun(t *testing.T) {
	t.Parallel()
	w := servicestest.New(t)
	w.Start(projector.New(w.DB, w.Bus, 1, nil, w.Log).Run) // creates the stream itself
	r := w.NewRun(run.Options{})
	_, a := w.Begin(r.ID)
	w.Result(a)
	stage := w.Event(a, messages.EventProgress, 1)
	stage.Stage = messages.StageInit
	later := w.Event(a, messages.EventFinished, 3)
	unknown := w.Event(a, "invented later", 4)
	for _, e := range []messages.Event{unknown, stage, later, stage, later, w.Event(a, messages.EventProgress, 2)} {
		publish(t, w, e)
	}
	got := w.WaitFor(r.ID, run.Planned)
	if n := len(got.Plan.Attempts); n != 1 || got.Plan.Attempts[0].Open() {
		t.Errorf("got attempts %+v, want one that is closed", got.Plan.Attempts)
	}
}

// TestRunnerGone: the worker's word ends an attempt that left no result.
func TestRunnerGone(t *testing.T) {
	t.Parallel()
	w := servicestest.New(t)
	w.Start(projector.New(w.DB, w.Bus, 1, nil, w.Log).Run)
	r := w.NewRun(run.Options{})
	_, a := w.Begin(r.ID)
	e := w.Event(a, messages.EventExited, 1)
	e.Source, e.ExitCode = "worker", -1
	publish(t, w, e)
	w.Until(r.ID, "planned again", func(r run.Run) bool { return r.Plan.State == run.TaskQueued && r.Plan.Retries == 1 })
}

// picky stores everything but the events of one run, and says what it stored.
type picky struct {
	mu   sync.Mutex
	bad  string
	seen []string      // guarded by mu
	good chan struct{} // receives once per stored event
}

func (p *picky) Project(_ context.Context, events []messages.Event) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range events {
		if e.RunID == p.bad {
			return errors.New("cannot be stored")
		}
	}
	for _, e := range events {
		p.seen = append(p.seen, e.RunID)
		p.good <- struct{}{}
	}
	return nil
}

// TestOneBadEventHoldsUpNobody: an event that cannot be stored stays, the others of its batch go through.
func TestOneBadEventHoldsUpNobody(t *testing.T) {
	t.Parallel()
	w := servicestest.New(t)
	if err := w.Bus.EnsureStatus(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	store := &picky{bad: messages.NewID("run-"), good: make(chan struct{}, 10)}
	goods := []string{messages.NewID("run-"), messages.NewID("run-")}
	for _, id := range []string{goods[0], store.bad, goods[1]} {
		a := postgres.Attempt{ID: messages.NewID("att-"), RunID: id}
		publish(t, w, w.Event(a, messages.EventFinished, 1))
	}
	w.Start(projector.New(store, w.Bus, 1, nil, w.Log).Run)
	for range goods {
		<-store.good
	}
	store.mu.Lock()
	defer store.mu.Unlock()
	slices.Sort(goods)
	slices.Sort(store.seen)
	if !slices.Equal(store.seen, goods) {
		t.Errorf("got the events of %v stored, want those of %v", store.seen, goods)
	}
}

func publish(t *testing.T, w *servicestest.World, e messages.Event) {
	t.Helper()
	if err := w.Bus.EnsureStatus(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := w.Bus.PublishEvent(t.Context(), messages.LocalPool, e); err != nil {
		t.Fatal(err)
	}
}

// TestRubbishIsKeptAndEndsNothing: what is no event becomes a dead letter, and the attempt it came from goes on.
func TestRubbishIsKeptAndEndsNothing(t *testing.T) {
	t.Parallel()
	w := servicestest.New(t)
	w.Start(projector.New(w.DB, w.Bus, 1, nil, w.Log).Run)
	r := w.NewRun(run.Options{})
	_, a := w.Begin(r.ID)
	if err := w.Bus.EnsureStatus(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	// As the attempt's own runner, which may write this subject: the stream of dead letters is made when it is needed.
	_, nc := w.NATS.As(t, broker.Identity{Kind: broker.KindRunner, Pool: messages.LocalPool, Name: a.ID, WorkspaceID: w.Workspace.ID, RunID: r.ID})
	subject := messages.StatusSubject(messages.LocalPool, w.Workspace.ID, r.ID, a.ID)
	if err := nc.Publish(subject, []byte("{")); err != nil {
		t.Fatal(err)
	}
	w.Result(a)
	publish(t, w, w.Finished(a))
	w.WaitFor(r.ID, run.Planned)
	w.Until(r.ID, "planned beside a dead letter", func(run.Run) bool {
		letters, err := w.Bus.DeadLetters().List(t.Context(), 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		return len(letters) == 1 && letters[0].Subject == subject && string(letters[0].Data) == "{"
	})
}
