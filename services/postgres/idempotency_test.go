package postgres_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

func TestTheSameRequestTwiceAtOnceIsOneRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ws := w.workspace("net")
	other := open(t, w.dsn, w.sealer, postgres.Timing{})
	var calls atomic.Int32
	create := func(db *postgres.DB) func(context.Context) (postgres.Answer, error) {
		return func(ctx context.Context) (postgres.Answer, error) {
			calls.Add(1)
			r, err := db.CreateRun(ctx, postgres.NewRun{WorkspaceID: ws.ID})
			return postgres.Answer{Status: 201, Body: []byte(r.ID)}, err
		}
	}
	answers := make([]string, 8)
	var wg sync.WaitGroup
	for i := range answers {
		db := []*postgres.DB{w.DB, other}[i%2]
		wg.Go(func() {
			a, err := db.Idempotent(t.Context(), "at-1", "key", []byte("POST /runs"), create(db))
			if err != nil || a.Status != 201 {
				t.Errorf("got %d, %v; want 201", a.Status, err)
			}
			answers[i] = string(a.Body)
		})
	}
	wg.Wait()
	for _, a := range answers {
		if a != answers[0] || a == "" {
			t.Errorf("got answers %v, want all the same", answers)
			break
		}
	}
	if n := w.count(`SELECT count(*) FROM runs`); n != 1 || calls.Load() != 1 {
		t.Errorf("got %d runs by %d calls, want 1 by 1", n, calls.Load())
	}
	_, err := w.Idempotent(t.Context(), "at-1", "key", []byte("POST /other"), create(w.DB))
	w.refused(err, messages.CodeIdempotencyMismatch)
	_, err = w.Idempotent(t.Context(), "at-2", "key", []byte("POST /other"), create(w.DB))
	w.ok(err) // another caller's key
	if n := w.count(`SELECT count(*) FROM runs`); n != 2 {
		t.Errorf("got %d runs, want 2", n)
	}
}

func TestAFailedRequestLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ws := w.workspace("net")
	failure := errors.New("no disk")
	for name, c := range map[string]struct {
		answer postgres.Answer
		err    error
	}{
		"an error":  {postgres.Answer{}, failure},
		"a refusal": {postgres.Answer{Status: 422, Body: []byte("no")}, nil},
	} {
		a, err := w.Idempotent(t.Context(), "at-1", "key", []byte("POST /runs"), func(ctx context.Context) (postgres.Answer, error) {
			_, err := w.CreateRun(ctx, postgres.NewRun{WorkspaceID: ws.ID})
			w.ok(err)
			return c.answer, c.err
		})
		if !errors.Is(err, c.err) || a.Status != c.answer.Status {
			t.Errorf("%s: got %d, %v; want %d, %v", name, a.Status, err, c.answer.Status, c.err)
		}
		for _, table := range []string{"runs", "run_events", "outbox", "tasks", "idempotency"} {
			if n := w.count(`SELECT count(*) FROM ` + table); n != 0 {
				t.Errorf("%s left %d rows in %s", name, n, table)
			}
		}
	}
	// The key is free: the same request may succeed now.
	a, err := w.Idempotent(t.Context(), "at-1", "key", []byte("POST /runs"), func(ctx context.Context) (postgres.Answer, error) {
		r, err := w.CreateRun(ctx, postgres.NewRun{WorkspaceID: ws.ID})
		return postgres.Answer{Status: 201, Body: []byte(r.ID)}, err
	})
	w.ok(err)
	w.status(string(a.Body), run.PlanQueued)
}
