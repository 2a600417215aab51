// Package servicestest gives the tests of services what they all need: a database and a NATS of their own, with one
// workspace in it, and the steps of a run's life by hand.
package servicestest

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"gantry.example/internal/bus"
	"gantry.example/internal/natstest"
	"gantry.example/internal/pgtest"
	"gantry.example/internal/secrets"
	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// World is an installation without its services: each test starts the one it is about.
type World struct {
	t         testing.TB
	DB        *postgres.DB
	NATS      *natstest.Server
	Bus       *bus.Bus // the server's own connection
	Notifier  *postgres.Notifier
	Workspace postgres.Workspace
	Log       *slog.Logger
}

// Timing is short, so that deadlines can be waited for.
func Timing() postgres.Timing {
	t := postgres.DefaultTiming()
	t.LeaseTTL, t.StartWithin = time.Second, 200*time.Millisecond
	return t
}

// New returns a world. The package's TestMain must be pgtest.Main.
func New(t testing.TB) *World {
	t.Helper()
	ring, err := secrets.CreateKeyring(filepath.Join(t.TempDir(), "key"))
	ok(t, err)
	open := func(dsn string) (*postgres.DB, error) {
		return postgres.Open(t.Context(), postgres.Config{DSN: dsn, Sealer: ring, Timing: Timing(), Modes: []messages.Mode{messages.ModeLocal, messages.ModeAgent}})
	}
	db, err := open(pgtest.NewFrom(t, "services", func(dsn string) error {
		db, err := open(dsn)
		if err != nil {
			return err
		}
		return db.Close()
	}))
	ok(t, err)
	t.Cleanup(func() { _ = db.Close() })
	ctx := t.Context()
	ok(t, db.EnsureBasics(ctx))
	ws, err := db.CreateWorkspace(ctx, postgres.NewWorkspace{Organization: "default", Name: "network"})
	ok(t, err)
	cv, err := db.CreateConfigurationVersion(ctx, postgres.NewConfigurationVersion{WorkspaceID: ws.ID})
	ok(t, err)
	_, err = db.UploadConfiguration(ctx, cv.ID, postgres.InMemory([]byte("an archive")))
	ok(t, err)
	nats := natstest.Start(t)
	b := nats.Bus(t)
	return &World{t: t, DB: db, NATS: nats, Bus: b, Notifier: db.NewNotifier(), Workspace: ws, Log: slog.New(slog.DiscardHandler)}
}

// Start runs a service's loop until the test ends, and fails the test if it returns earlier.
func (w *World) Start(loop func(context.Context) error) {
	w.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- loop(ctx) }()
	w.t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			w.t.Errorf("the service ended with %v, want it to run until it is stopped", err)
		}
	})
}

// NewRun creates a run of the workspace.
func (w *World) NewRun(o run.Options) run.Run {
	w.t.Helper()
	r, err := w.DB.CreateRun(w.t.Context(), postgres.NewRun{WorkspaceID: w.Workspace.ID, Options: o, CreatedBy: "test"})
	ok(w.t, err)
	return r
}

// BrokenPool makes a pool of agents whose queue NATS refuses to make, and a run of another workspace that is to go there.
func (w *World) BrokenPool() run.Run {
	w.t.Helper()
	pool, create := w.Pool("broken")
	w.NATS.OccupyStream(w.t, messages.TaskStream(pool))
	return create(run.Options{})
}

// Pool makes a pool of agents, and gives its id and what creates runs of another workspace that are to go there.
func (w *World) Pool(name string) (id string, create func(run.Options) run.Run) {
	w.t.Helper()
	ctx := w.t.Context()
	p, err := w.DB.CreatePool(ctx, "default", postgres.PoolChange{Name: &name})
	ok(w.t, err)
	ws, err := w.DB.CreateWorkspace(ctx, postgres.NewWorkspace{Organization: "default", Name: name})
	ok(w.t, err)
	cv, err := w.DB.CreateConfigurationVersion(ctx, postgres.NewConfigurationVersion{WorkspaceID: ws.ID})
	ok(w.t, err)
	_, err = w.DB.UploadConfiguration(ctx, cv.ID, postgres.InMemory([]byte("an archive")))
	ok(w.t, err)
	return p.ID, func(o run.Options) run.Run {
		w.t.Helper()
		r, err := w.DB.CreateRun(ctx, postgres.NewRun{
			WorkspaceID: ws.ID, Options: o, CreatedBy: "test", Execution: messages.Execution{Mode: messages.ModeAgent, AgentPool: messages.Ref(p.ID)},
		})
		ok(w.t, err)
		return r
	}
}

// Get returns the run as it is now.
func (w *World) Get(id string) run.Run {
	w.t.Helper()
	r, err := w.DB.Run(w.t.Context(), id)
	ok(w.t, err)
	return r
}

// Claim claims the run's queued task.
func (w *World) Claim(id string) (wire.Claim, postgres.Attempt) {
	w.t.Helper()
	r := w.Get(id)
	tasks := r.Tasks()
	claim, err := w.DB.Claim(w.t.Context(), r.Pool, wire.ClaimRequest{TaskID: tasks[len(tasks)-1].ID, Worker: "w", Nonce: messages.NewID("n-")})
	ok(w.t, err)
	a, err := w.DB.AttemptByToken(w.t.Context(), claim.Token)
	ok(w.t, err)
	return claim, a
}

// Begin claims the run's queued task and starts the attempt. On a busy machine a reconciler may have given the claim up before the
// start: then there is another.
func (w *World) Begin(id string) (wire.Claim, postgres.Attempt) {
	w.t.Helper()
	for tries := 1; ; tries++ {
		claim, a := w.Claim(id)
		_, err := w.DB.Start(w.t.Context(), a, wire.StartRequest{Nonce: "runner", Base: claim.Inputs.Base})
		var refused *postgres.Error
		if tries < 4 && errors.As(err, &refused) && refused.Code == messages.CodeAttemptClosed {
			continue
		}
		ok(w.t, err)
		return claim, a
	}
}

// Result hands in a good result of the attempt: a plan with changes, or an apply.
func (w *World) Result(a postgres.Attempt) {
	w.t.Helper()
	_, err := w.DB.PutResult(w.t.Context(), a, wire.Result{V: messages.Version, Outcome: wire.OutcomeSucceeded, HasChanges: true})
	ok(w.t, err)
}

// Finished is the event that announces the attempt's result.
func (w *World) Finished(a postgres.Attempt) messages.Event {
	return w.Event(a, messages.EventFinished, 1)
}

// Event is an event of the attempt's runner.
func (w *World) Event(a postgres.Attempt, kind messages.EventType, seq int) messages.Event {
	return messages.Event{
		V: messages.Version, Type: kind, AttemptID: a.ID, RunID: a.RunID, WorkspaceID: w.Workspace.ID, Source: "runner", Seq: seq,
	}
}

// Apply brings a new auto-apply run to its started apply.
func (w *World) Apply() (string, wire.Claim, postgres.Attempt) {
	w.t.Helper()
	r := w.NewRun(run.Options{AutoApply: true})
	_, plan := w.Begin(r.ID)
	w.Result(plan)
	claim, apply := w.Begin(r.ID)
	return r.ID, claim, apply
}

// Take waits for a task on the queue and acknowledges it.
func (w *World) Take(q *bus.TaskQueue) messages.Task {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	d, err := q.Next(ctx)
	if err != nil {
		w.t.Fatalf("no task came: %v", err)
	}
	ok(w.t, d.Ack(ctx))
	return d.Task
}

// WaitFor follows the run until it has the status.
func (w *World) WaitFor(id string, want run.Status) run.Run {
	w.t.Helper()
	return w.Until(id, string(want), func(r run.Run) bool { return r.Status == want })
}

// Until follows the run until it is as wanted. It polls, because a service's only trace is what it stores.
func (w *World) Until(id, what string, holds func(run.Run) bool) run.Run {
	w.t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		r := w.Get(id)
		if holds(r) {
			return r
		}
		select {
		case <-deadline.C:
			w.t.Fatalf("run %s: got status %s with %+v, want it %s", id, r.Status, r.Plan, what)
		case <-tick.C:
		}
	}
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
