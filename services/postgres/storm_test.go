package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// storm is what the users, workers, projectors and reconcilers of one test share. Each goroutine does random things to
// random runs, by any of the servers.
type storm struct {
	*world
	spaces  []postgres.Workspace
	servers []*postgres.DB

	mu       sync.Mutex
	runs     []string
	attempts []postgres.Attempt
	claims   map[string]wire.Claim // by attempt
}

func TestAStormOfEverythingEndsWell(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := &storm{world: w, claims: map[string]wire.Claim{}, servers: []*postgres.DB{w.DB, open(t, w.dsn, w.sealer, postgres.Timing{})}}
	for i := range 5 {
		s.spaces = append(s.spaces, w.workspace(fmt.Sprint("ws-", i)))
	}
	ctx := w.within(2 * time.Minute)
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(n), 5))
			for range 60 {
				err := s.act(ctx, s.servers[n%2], rnd)
				var known *postgres.Error
				if err != nil && !errors.As(err, &known) && !errors.Is(err, postgres.ErrLogGap) {
					t.Errorf("seed %d: %v", n, err)
					return
				}
			}
		})
	}
	wg.Wait()
	s.calm(ctx)
	for _, db := range s.servers {
		w.ok(db.Close()) // a backend that ends reports what it counted
	}
	deadline := w.within(20 * time.Second)
	for w.count(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`) > 0 && deadline.Err() == nil {
		<-time.After(20 * time.Millisecond)
	}
	if n := w.count(`SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`); n != 0 {
		t.Errorf("Postgres broke %d deadlocks, want none: locks are taken in one order", n)
	}
}

func (s *storm) act(ctx context.Context, db *postgres.DB, rnd *rand.Rand) error {
	switch rnd.IntN(14) {
	case 0, 1, 2:
		r, err := db.CreateRun(ctx, postgres.NewRun{
			WorkspaceID: s.spaces[rnd.IntN(len(s.spaces))].ID,
			Options:     run.Options{PlanOnly: rnd.IntN(4) == 0, AutoApply: rnd.IntN(2) == 0},
		})
		if err == nil {
			s.mu.Lock()
			s.runs = append(s.runs, r.ID)
			s.mu.Unlock()
		}
		return err
	case 3, 4, 5:
		return s.claimAny(ctx, db, rnd)
	case 6:
		id := s.anyRun(rnd)
		in := []run.Input{run.Confirm{}, run.Discard{}, run.Cancel{}, run.Cancel{Force: true}, run.Confirm{}}[rnd.IntN(5)]
		if id == "" {
			return nil
		}
		_, err := db.Transition(ctx, id, in, postgres.Cause{Actor: "ada"})
		return err
	case 7:
		_, err := db.Relay(ctx, 10, nil, func(_ context.Context, rows []postgres.OutboxRow) (int, error) { return len(rows), nil })
		return err
	case 8:
		return errors.Join(db.SealLogs(ctx, 0), db.FreeGates(ctx))
	case 9:
		_, c, err := db.Snapshot(ctx, s.org.ID, 10)
		if err == nil {
			_, _, err = db.Follow(ctx, s.org.ID, c)
		}
		return err
	default:
		return s.actOnAttempts(ctx, db, rnd)
	}
}

func (s *storm) anyRun(rnd *rand.Rand) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.runs) == 0 {
		return ""
	}
	return s.runs[rnd.IntN(len(s.runs))]
}

func (s *storm) anyAttempt(rnd *rand.Rand) (postgres.Attempt, wire.Claim) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.attempts) == 0 {
		return postgres.Attempt{}, wire.Claim{}
	}
	a := s.attempts[len(s.attempts)-1-rnd.IntN(min(len(s.attempts), 10))] // the older ones are over
	return a, s.claims[a.ID]
}

// know remembers a granted attempt for those who act on attempts.
func (s *storm) know(ctx context.Context, db *postgres.DB, c wire.Claim) (postgres.Attempt, error) {
	a, err := db.AttemptByToken(ctx, c.Token)
	if err != nil {
		return a, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attempts, s.claims[a.ID] = append(s.attempts, a), c
	return a, nil
}

func (s *storm) claimAny(ctx context.Context, db *postgres.DB, rnd *rand.Rand) error {
	tasks, err := db.QueuedTasks(ctx, 0)
	if err != nil || len(tasks) == 0 {
		return err
	}
	c, err := db.Claim(ctx, messages.LocalPool, claimRequest(tasks[rnd.IntN(len(tasks))].ID, messages.NewID("n-")))
	if err != nil {
		return err
	}
	a, err := s.know(ctx, db, c)
	if err != nil {
		return err
	}
	if rnd.IntN(4) == 0 {
		return nil // and dies
	}
	_, err = db.Start(ctx, a, startOf(c, "runner"))
	return err
}

func (s *storm) actOnAttempts(ctx context.Context, db *postgres.DB, rnd *rand.Rand) error {
	a, c := s.anyAttempt(rnd)
	if a.ID == "" {
		return nil
	}
	switch rnd.IntN(6) {
	case 0:
		return db.AppendLog(ctx, postgres.LogChunk{AttemptID: a.ID, Data: []byte("hello"), End: rnd.IntN(2) == 0})
	case 1:
		_, err := db.PutState(ctx, a, postgres.InMemory(stateBody(int64(rnd.IntN(20)+1), "lin", "x")))
		return err
	case 2:
		verdicts := []run.Input{run.ExpireClaim{AttemptID: a.ID}, run.LoseContact{AttemptID: a.ID}, run.GiveUp{AttemptID: a.ID}}
		_, err := db.Transition(ctx, a.RunID, verdicts[rnd.IntN(len(verdicts))], postgres.Cause{Actor: "reconciler"})
		return err
	case 3:
		_, err := db.Start(ctx, a, startOf(c, "runner"))
		return err
	case 4:
		outcomes := []wire.Outcome{wire.OutcomeSucceeded, wire.OutcomeSucceeded, wire.OutcomeFailed, wire.OutcomeCanceled}
		res := wire.Result{V: 1, Outcome: outcomes[rnd.IntN(4)], HasChanges: rnd.IntN(3) > 0}
		if rnd.IntN(2) == 0 {
			res.CarryOn = "runner of " + a.ID
		}
		answer, err := db.PutResult(ctx, a, res)
		if err != nil || answer.Next == nil {
			return err
		}
		_, err = s.know(ctx, db, *answer.Next)
		return err
	default:
		var batch []messages.Event
		for range 6 { // of many runs, in any order
			b, _ := s.anyAttempt(rnd)
			e := progressEvent(b, 1+rnd.IntN(3), messages.StageInit)
			if rnd.IntN(3) == 0 {
				e = finishedEvent(b)
			} else if rnd.IntN(8) == 0 {
				e = exitedEvent(b)
			}
			batch = append(batch, e)
		}
		return db.Project(ctx, batch)
	}
}

// calm lets every run come to its end, as workers and people would, and checks that each does and that no gate stays shut.
func (s *storm) calm(ctx context.Context) {
	s.t.Helper()
	for round := 0; s.step(ctx); round++ {
		if round > 500 || ctx.Err() != nil {
			s.t.Fatalf("the runs do not come to an end: %d are not final", s.count(`SELECT count(*) FROM runs WHERE holds`))
		}
	}
	for _, id := range s.runs {
		if r := s.get(id); !r.Status.Final() {
			s.t.Errorf("run %s ended %s, want a final status", id, r.Status)
		}
	}
	if n := s.count(`SELECT count(*) FROM workspaces w LEFT JOIN runs r ON r.id = w.gate_run_id
		WHERE w.gate_run_id IS NOT NULL AND NOT COALESCE((r.doc->>'outcome_unknown')::boolean, false)`); n != 0 {
		s.t.Errorf("%d gates are held by runs that are over", n)
	}
}

// step does the next thing for every open attempt, queued task and planned run, and reports whether there was any.
func (s *storm) step(ctx context.Context) bool {
	s.t.Helper()
	did := false
	list, err := s.OpenAttempts(ctx)
	s.ok(err)
	for _, o := range list {
		did = true
		s.ok(s.judge(o.RunID, run.Exit{AttemptID: o.ID, Detail: "the storm is over"}))
	}
	tasks, err := s.QueuedTasks(ctx, 0)
	s.ok(err)
	for _, t := range tasks {
		did = true
		_, a := s.started(t.RunID)
		s.result(a, wire.Result{V: 1, Outcome: wire.OutcomeSucceeded})
	}
	var open []string
	s.ok(s.raw.SelectContext(ctx, &open, `SELECT r.id FROM runs r JOIN workspaces w ON w.gate_run_id = r.id
		WHERE r.status = 'planned' OR (r.doc->>'outcome_unknown')::boolean`))
	for _, id := range open {
		did = true
		if r := s.get(id); r.OutcomeUnknown { // its runner comes back with the result
			s.result(postgres.Attempt{ID: r.Apply.Last().ID, RunID: id, Run: r}, applyResult())
			continue
		}
		_, err := s.Transition(ctx, id, run.Discard{}, postgres.Cause{Actor: "ada"})
		s.ok(err)
	}
	return did
}
