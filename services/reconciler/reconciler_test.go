package reconciler_test

import (
	"context"
	"os"
	"testing"
	"time"

	"gantry.example/internal/bus"
	"gantry.example/internal/pgtest"
	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/placement"
	"gantry.example/services/postgres"
	"gantry.example/services/reconciler"
	"gantry.example/services/relay"
	"gantry.example/services/run"
	"gantry.example/services/servicestest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// hasty is impatient with everything but what a test is about.
func hasty() reconciler.Timing {
	t := reconciler.DefaultTiming(time.Second)
	t.Every, t.Settle, t.Republish = 20*time.Millisecond, 0, 0
	return t
}

func start(w *servicestest.World, timing reconciler.Timing) {
	w.Start(reconciler.New(w.DB, w.Bus, timing, 1, w.Log).Run)
}

// TestClaimWithoutStart: an attempt that never starts is closed and its task queued again, but not for ever.
func TestClaimWithoutStart(t *testing.T) {
	t.Parallel()
	w := servicestest.New(t)
	ensureTasks(t, w)
	start(w, hasty())
	r := w.NewRun(run.Options{})
	for i := 1; i < run.MaxUnstarted; i++ {
		w.Claim(r.ID)
		w.Until(r.ID, "queued again", func(r run.Run) bool { return r.Plan.State == run.TaskQueued && r.Plan.Unstart == i })
	}
	w.Claim(r.ID)
	if got := w.WaitFor(r.ID, run.Errored); got.Code != messages.CodeRunNeverStarted {
		t.Errorf("got code %s, want %s", got.Code, messages.CodeRunNeverStarted)
	}
}

// TestLostMessage: a queued task whose message, consumer and stream are gone is announced again.
func TestLostMessage(t *testing.T) {
	t.Parallel()
	w := servicestest.New(t)
	w.Start(w.Notifier.Run)
	w.Start(relay.New(w.DB, w.Bus, w.Notifier, placement.New(w.DB, w.Bus, w.Log), 1, nil, w.Log).Run)
	r := w.NewRun(run.Options{})
	q := w.Bus.TaskQueue(messages.LocalPool, nil, w.Log)
	w.Take(q) // and lose it: nobody claims
	w.NATS.DeleteStream(t, messages.TaskStream(messages.LocalPool))
	start(w, hasty())
	if got := w.Take(q); got.RunID != r.ID {
		t.Errorf("got the task of %s, want that of %s", got.RunID, r.ID)
	}
}

// TestLostPlan: a plan whose lease is gone is tried again.
func TestLostPlan(t *testing.T) {
	t.Parallel()
	w := servicestest.New(t)
	ensureTasks(t, w)
	r := w.NewRun(run.Options{})
	w.Begin(r.ID)
	start(w, hasty())
	w.Until(r.ID, "queued again", func(r run.Run) bool { return r.Plan.State == run.TaskQueued && r.Plan.Retries == 1 })
}

// TestWhatIsWrongWithOnePool: the runs of others are judged all the same, and their lost messages are sent again.
func TestWhatIsWrongWithOnePool(t *testing.T) {
	t.Parallel()
	w := servicestest.New(t)
	ensureTasks(t, w)
	w.BrokenPool()
	r := w.NewRun(run.Options{})
	w.Begin(r.ID)
	queued := w.NewRun(run.Options{PlanOnly: true})
	drop := func(context.Context, []postgres.OutboxRow) (int, error) { return 3, nil }
	if n, err := w.DB.Relay(t.Context(), 10, nil, drop); n != 3 || err != nil {
		t.Fatalf("got %d rows dropped and error %v, want 3", n, err)
	}
	timing := hasty()
	timing.Settle = 100 * time.Millisecond
	start(w, timing)
	w.Until(r.ID, "queued again", func(r run.Run) bool { return r.Plan.State == run.TaskQueued && r.Plan.Retries == 1 })
	sent := map[string]bool{}
	for deadline := time.Now().Add(20 * time.Second); !sent[queued.ID] && time.Now().Before(deadline); {
		_, err := w.DB.Relay(t.Context(), 10, nil, func(_ context.Context, rows []postgres.OutboxRow) (int, error) {
			for _, row := range rows {
				sent[row.RunID] = true
			}
			return len(rows), nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if !sent[queued.ID] {
		t.Error("the lost message of another pool was not sent again")
	}
}

// TestLeasesOfOnePoolCannotBeRead: lost attempts of others are judged all the same. Of that pool only claims are, which need no lease,
// and contact when its leases were readable for a while again.
func TestLeasesOfOnePoolCannotBeRead(t *testing.T) {
	t.Parallel()
	w := servicestest.New(t)
	ensureTasks(t, w)
	pool, create := w.Pool("broken")
	w.NATS.OccupySubjects(t, "ELSEWHERE", messages.LeaseSubject(pool, ">"))
	unread := create(run.Options{PlanOnly: true})
	w.Begin(unread.ID)
	claimed := create(run.Options{PlanOnly: true})
	w.Claim(claimed.ID)
	lost := w.NewRun(run.Options{})
	w.Begin(lost.ID)
	timing := hasty()
	timing.Settle = 3 * time.Second
	start(w, timing)
	again := func(r run.Run) bool { return r.Plan.State == run.TaskQueued && r.Plan.Retries == 1 }
	w.Until(claimed.ID, "queued again", func(r run.Run) bool { return r.Plan.State == run.TaskQueued && r.Plan.Unstart == 1 })
	w.Until(lost.ID, "queued again", again)
	if got := w.Get(unread.ID).Plan; got.State != run.TaskStarted || got.Attempts[0].State != run.AttemptStarted {
		t.Errorf("got the plan %s and its attempt %s, want them as they were: its lease could not be read", got.State, got.Attempts[0].State)
	}
	repaired := time.Now()
	w.NATS.DeleteStream(t, "ELSEWHERE")
	w.Until(unread.ID, "queued again", again)
	if took := time.Since(repaired); took < timing.Settle {
		t.Errorf("got it judged %s after its leases could be read, want %s at least", took, timing.Settle)
	}
}

// TestLostApply: contact is lost, comes back with the lease, is lost again, and is given up in the end: never applied twice.
func TestLostApply(t *testing.T) {
	t.Parallel()
	w := servicestest.New(t)
	ensureTasks(t, w)
	id, claim, a := w.Apply()
	timing := hasty()
	timing.LostAfter = 3 * time.Second
	start(w, timing)
	attempt := func(r run.Run) run.AttemptState { return r.Apply.Attempts[0].State }
	w.Until(id, "without contact", func(r run.Run) bool { return attempt(r) == run.AttemptLost })
	lease := hold(t, w, claim)
	w.Until(id, "in contact again", func(r run.Run) bool { return attempt(r) == run.AttemptStarted })
	if err := lease.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := w.WaitFor(id, run.Errored)
	if got.Code != messages.CodeRunOutcomeUnknown || !got.Holds() || len(got.Apply.Attempts) != 1 {
		t.Errorf("got code %s, holds %v, %d attempts, want an unknown outcome that keeps the gate after one attempt",
			got.Code, got.Holds(), len(got.Apply.Attempts))
	}
	// The runner was cut off, not dead: what it did counts.
	w.Result(a)
	if got := w.WaitFor(id, run.Applied); got.Holds() {
		t.Error("the late result did not free the gate")
	}
}

// TestHolderIsLeftAlone: whoever holds its lease is never judged, also when the bucket was deleted under it.
func TestHolderIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := servicestest.New(t)
	ensureTasks(t, w)
	id, claim, a := w.Apply()
	hold(t, w, claim)
	w.NATS.DeleteStream(t, messages.LeaseStream(messages.LocalPool))
	start(w, hasty())
	w.Result(a)
	if got := w.WaitFor(id, run.Applied); got.Apply.Attempts[0].CloseReason != "result" {
		t.Errorf("got the attempt closed because of %q, want its result", got.Apply.Attempts[0].CloseReason)
	}
}

// TestSettle: after a start nobody is judged before things had time to settle.
func TestSettle(t *testing.T) {
	t.Parallel()
	w := servicestest.New(t)
	ensureTasks(t, w)
	id, _, _ := w.Apply()
	timing := hasty()
	timing.Settle = time.Hour
	start(w, timing)
	marker := w.NewRun(run.Options{PlanOnly: true}) // its end shows that rounds went by
	w.Claim(marker.ID)
	w.Until(marker.ID, "queued again", func(r run.Run) bool { return r.Plan.State == run.TaskQueued && r.Plan.Unstart == 1 })
	if got := w.Get(id).Apply.Attempts[0].State; got != run.AttemptStarted {
		t.Errorf("got attempt %s, want it started and not judged", got)
	}
}

// TestLogWithoutEnd: the log of a task whose runner is gone ends all the same.
func TestLogWithoutEnd(t *testing.T) {
	t.Parallel()
	w := servicestest.New(t)
	ensureTasks(t, w)
	r := w.NewRun(run.Options{PlanOnly: true})
	_, a := w.Begin(r.ID)
	if err := w.DB.AppendLog(t.Context(), postgres.LogChunk{AttemptID: a.ID, Data: []byte("half a l")}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.DB.PutResult(t.Context(), a, wire.Result{Outcome: wire.OutcomeFailed, Code: messages.CodeRunTerraformFailed}); err != nil {
		t.Fatal(err)
	}
	timing := hasty()
	timing.SealLogs = 0
	start(w, timing)
	done := w.WaitFor(r.ID, run.Errored)
	w.Until(r.ID, "with an ended log", func(run.Run) bool {
		part, err := w.DB.ReadLog(t.Context(), done.Plan.ID, 0, 100)
		return err == nil && part.Ended && string(part.Data) == "half a l"
	})
}

func hold(t *testing.T, w *servicestest.World, claim wire.Claim) *bus.Lease {
	t.Helper()
	in := claim.Inputs
	l, err := w.Bus.AcquireLease(t.Context(), bus.LeaseConfig{Pool: in.Pool, Key: in.Key(), TTL: time.Second, Value: messages.Lease{
		V: messages.Version, AttemptID: in.AttemptID, RunID: in.RunID, Epoch: in.Epoch, Nonce: "n",
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = l.Release(ctx) // stops its renewal; the bucket may be gone
	})
	return l
}

// ensureTasks makes what the relay makes with the first task.
func ensureTasks(t *testing.T, w *servicestest.World) {
	t.Helper()
	for _, err := range []error{
		w.Bus.EnsureTasks(t.Context(), messages.ModeLocal, messages.LocalPool, 1),
		w.Bus.EnsureLeases(t.Context(), messages.LocalPool, 1),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}
