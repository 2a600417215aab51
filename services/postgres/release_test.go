package postgres_test

import (
	"context"
	"testing"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// TestForceUnlockFreesAnUnknownOutcome: a person takes an unknown outcome on; the next run goes, and nothing of the lost
// runner lands any more.
func TestForceUnlockFreesAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ws := w.workspace("lost")
	lost := w.newRun(ws, run.Options{})
	_, apply := w.applying(lost.ID)
	next := w.newRun(ws, run.Options{})
	_, err := w.UnlockWorkspace(t.Context(), ws.ID, "ada", true)
	w.refused(err, messages.CodeWorkspaceLocked) // an apply under way is never pushed aside
	w.ok(w.judge(lost.ID, run.Exit{AttemptID: apply.ID, Detail: "killed"}))
	_, err = w.UnlockWorkspace(t.Context(), ws.ID, "ada", false)
	w.refused(err, messages.CodeWorkspaceLocked)
	epoch := w.epoch(ws)
	_, err = w.UnlockWorkspace(t.Context(), ws.ID, "ada", true)
	w.ok(err)
	w.status(next.ID, run.PlanQueued)
	w.status(lost.ID, run.Errored)
	if got := w.epoch(ws); got != epoch+1 {
		t.Errorf("got epoch %d, want it moved from %d", got, epoch)
	}
	w.refused(w.put(apply, wire.Result{Outcome: wire.OutcomeSucceeded}), messages.CodeAttemptClosed)
	_, err = w.PutState(t.Context(), apply, postgres.InMemory([]byte(`{"version":4,"terraform_version":"1.11.4","serial":9,"lineage":"l"}`)))
	w.refused(err, messages.CodeStateStaleEpoch)
	if _, err := w.CurrentStateVersion(t.Context(), ws.ID); codeOf(err) != messages.CodeNotFound {
		t.Errorf("got %v, want no current state: the late one was kept aside", err)
	}
}

// TestSweep: what is kept for a while goes, what is needed stays.
func TestSweep(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ws := w.workspace("kept")
	r := w.newRun(ws, run.Options{})
	w.planned(r.ID)
	if _, err := w.Idempotent(t.Context(), "t", "k", []byte("r"), func(context.Context) (postgres.Answer, error) {
		return postgres.Answer{Status: 201}, nil
	}); err != nil {
		t.Fatal(err)
	}
	w.ok(w.Sweep(t.Context()))
	for _, table := range []string{"idempotency", "results", "attempt_tokens"} {
		if w.count("SELECT count(*) FROM "+table) == 0 {
			t.Errorf("got an empty %s, want what is young kept", table)
		}
	}
	w.exec("UPDATE idempotency SET created_at = created_at - interval '2 days'")
	w.exec("UPDATE results SET received_at = received_at - interval '8 days'")
	w.exec("UPDATE attempt_tokens SET expires_at = expires_at - interval '9 days'")
	w.ok(w.Sweep(t.Context()))
	for _, table := range []string{"idempotency", "results", "attempt_tokens"} {
		if got := w.count("SELECT count(*) FROM " + table); got != 0 {
			t.Errorf("got %d rows in %s, want none", got, table)
		}
	}
}

func (w *world) exec(statement string) {
	w.t.Helper()
	_, err := w.raw.ExecContext(w.t.Context(), statement)
	w.ok(err)
}
