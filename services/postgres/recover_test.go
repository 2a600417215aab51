package postgres_test

import (
	"testing"
	"time"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// lost is a workspace with a run whose outcome is unknown, and one that waits behind it.
func (w *world) lost(name string) (ws postgres.Workspace, lost, next run.Run, apply postgres.Attempt) {
	w.t.Helper()
	ws = w.workspace(name)
	lost = w.newRun(ws, run.Options{})
	_, apply = w.applying(lost.ID)
	next = w.newRun(ws, run.Options{})
	w.ok(w.judge(lost.ID, run.Exit{AttemptID: apply.ID, Detail: "killed"}))
	return ws, lost, next, apply
}

func (w *world) recovery(lostID string) run.Run {
	w.t.Helper()
	r, err := w.RecoverRun(w.t.Context(), postgres.Recovery{RunID: lostID, By: "ada"})
	w.ok(err)
	return r
}

func (w *world) confirm(id string) {
	w.t.Helper()
	_, err := w.Transition(w.t.Context(), id, run.Confirm{}, postgres.Cause{Actor: "ada"})
	w.ok(err)
}

// TestALateResultWithdrawsTheRecovery: the plan of a recovery borrows the lock, so what the lost runner sends still counts.
func TestALateResultWithdrawsTheRecovery(t *testing.T) {
	t.Parallel()
	for _, phase := range []string{"queued", "planning", "planned"} {
		t.Run(phase, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			ws, lost, next, apply := w.lost("net")
			epoch := w.epoch(ws)
			r := w.recovery(lost.ID)
			if again := w.recovery(lost.ID); again.ID != r.ID {
				t.Errorf("got a second recovery %s, want %s again", again.ID, r.ID)
			}
			want := run.Canceled
			switch phase {
			case "planning":
				c, _ := w.started(r.ID)
				if c.Inputs.Exclusive || c.Inputs.Key() != r.ID {
					t.Errorf("got a lease on %s (exclusive %t), want one of the recovery itself", c.Inputs.Key(), c.Inputs.Exclusive)
				}
				want = run.Planning // asked to stop, which ends it
			case "planned":
				w.planned(r.ID)
				want = run.Discarded
			}
			if got := w.epoch(ws); got != epoch {
				t.Errorf("got epoch %d, want %d: a recovery's plan does not move it", got, epoch)
			}
			_, err := w.PutState(t.Context(), apply, postgres.InMemory(stateBody(1, "lin", "late")))
			w.ok(err)
			w.result(apply, applyResult())
			w.status(lost.ID, run.Applied)
			w.status(r.ID, want)
			if got := w.get(r.ID); want == run.Planning && !got.CancelRequested {
				t.Error("the recovery was not asked to stop")
			}
			w.status(next.ID, run.PlanQueued)
		})
	}
}

// TestAConfirmedRecoveryTakesOver: from then on nothing of the lost runner lands, and the next run comes after the recovery.
func TestAConfirmedRecoveryTakesOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ws, lost, next, apply := w.lost("net")
	r := w.recovery(lost.ID)
	w.planned(r.ID)
	w.status(next.ID, run.Pending)
	epoch := w.epoch(ws)
	w.confirm(r.ID)
	if got := w.epoch(ws); got != epoch+1 {
		t.Errorf("got epoch %d, want %d: the confirmation moves it", got, epoch+1)
	}
	w.refused(w.put(apply, applyResult()), messages.CodeAttemptClosed)
	_, err := w.PutState(t.Context(), apply, postgres.InMemory(stateBody(7, "lin", "late")))
	w.refused(err, messages.CodeStateStaleEpoch)
	c, a := w.started(r.ID)
	if !c.Inputs.Exclusive {
		t.Error("the apply of a recovery is not exclusive")
	}
	_, err = w.PutState(t.Context(), a, postgres.InMemory(stateBody(1, "lin", "refreshed")))
	w.ok(err)
	w.status(next.ID, run.Pending)
	w.result(a, applyResult())
	w.status(r.ID, run.Applied)
	w.status(next.ID, run.PlanQueued)
	if got := w.get(lost.ID); got.OutcomeUnknown || got.RecoveredBy != r.ID || got.Status != run.Errored {
		t.Errorf("got %s, unknown %t, recovered by %q, want errored and recovered by %s", got.Status, got.OutcomeUnknown, got.RecoveredBy, r.ID)
	}
}

func TestARecoveryWithoutChangesIsConfirmedToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ws, lost, next, apply := w.lost("net")
	r := w.recovery(lost.ID)
	_, a := w.started(r.ID)
	w.result(a, wire.Result{V: 1, Outcome: wire.OutcomeSucceeded})
	w.status(r.ID, run.Planned)
	w.status(next.ID, run.Pending)
	w.confirm(r.ID)
	w.status(r.ID, run.PlannedAndFinished)
	w.status(next.ID, run.PlanQueued)
	w.refused(w.put(apply, applyResult()), messages.CodeAttemptClosed)
	if got, err := w.Workspace(t.Context(), ws.ID); err != nil || got.GateRunID == nil || *got.GateRunID != next.ID {
		t.Errorf("got gate %v (%v), want it given to %s", got.GateRunID, err, next.ID)
	}
}

// TestWhoMayBeRecovered: a runner that may come back is given up only by force, and a living one not at all.
func TestWhoMayBeRecovered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ws := w.workspace("net")
	lost := w.newRun(ws, run.Options{})
	try := func(force bool) error {
		_, err := w.RecoverRun(t.Context(), postgres.Recovery{RunID: lost.ID, By: "ada", Force: force})
		return err
	}
	w.refused(try(true), messages.CodeRunNotAllowed)
	_, apply := w.applying(lost.ID)
	w.refused(try(true), messages.CodeRunNotAllowed)
	w.ok(w.judge(lost.ID, run.LoseContact{AttemptID: apply.ID}))
	w.refused(try(false), messages.CodeRunNotAllowed)
	c, err := w.Condition(t.Context(), w.get(lost.ID))
	w.ok(err)
	if c == nil || c.Name != run.ConditionContactLost || c.Holder != "w1" || c.AttemptID != apply.ID || c.LastContact == nil {
		t.Errorf("got %+v, want contact lost by w1", c)
	}
	_, err = w.LockWorkspace(t.Context(), ws.ID, "eve", "incident")
	w.ok(err)
	w.refused(try(true), messages.CodeWorkspaceLocked)
	_, err = w.UnlockWorkspace(t.Context(), ws.ID, "eve", false)
	w.ok(err)
	_, err = w.PutState(t.Context(), apply, postgres.InMemory(stateBody(3, "lin", "so far")))
	w.ok(err)
	w.ok(try(true))
	c, err = w.Condition(t.Context(), w.get(lost.ID))
	w.ok(err)
	if c == nil || c.Name != run.ConditionOutcomeUnknown || c.LastState == nil || c.LastState.Serial != 3 || c.LastEvent != run.EventStarted || c.Recovery == "" || c.NextStep == "" {
		t.Errorf("got %+v, want an unknown outcome with state 3 and a recovery", c)
	}
	r := w.get(lost.ID).Recovery
	_, err = w.Transition(t.Context(), r, run.Cancel{}, postgres.Cause{Actor: "ada"})
	w.ok(err)
	if second := w.recovery(lost.ID); second.ID == r {
		t.Error("got the recovery that was canceled, want a new one")
	}
}

// TestForceUnlockWithdrawsTheRecovery: the workspace is free and its next run goes, so nobody needs the recovery's plan.
func TestForceUnlockWithdrawsTheRecovery(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ws, lost, next, _ := w.lost("net")
	r := w.recovery(lost.ID)
	w.planned(r.ID)
	_, err := w.UnlockWorkspace(t.Context(), ws.ID, "ada", true)
	w.ok(err)
	w.status(r.ID, run.Discarded)
	w.status(next.ID, run.PlanQueued)
}

func TestPromoteAState(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ws, lost, next, apply := w.lost("net")
	_, err := w.UnlockWorkspace(t.Context(), ws.ID, "ada", true)
	w.ok(err)
	_, err = w.PutState(t.Context(), apply, postgres.InMemory(stateBody(5, "lin", "late")))
	w.refused(err, messages.CodeStateStaleEpoch)
	all, _, err := w.StateVersions(t.Context(), ws.ID, postgres.Page{})
	w.ok(err)
	aside := all[0]
	_, err = w.PromoteState(t.Context(), aside.ID, "ada", false)
	w.refused(err, messages.CodeWorkspaceLocked) // the next run has it
	_, a := w.applying(next.ID)
	_, err = w.PutState(t.Context(), a, postgres.InMemory(stateBody(2, "other", "new")))
	w.ok(err)
	w.result(a, applyResult())
	_, err = w.PromoteState(t.Context(), aside.ID, "ada", false)
	w.refused(err, messages.CodeStateConflict)
	got, err := w.PromoteState(t.Context(), aside.ID, "ada", true)
	w.ok(err)
	if got.Serial != 5 || got.Lineage != "other" || got.CreatedBy != "ada" || got.Superseded {
		t.Errorf("got %+v, want serial 5 of the workspace's lineage, by ada", got)
	}
	_, err = w.PromoteState(t.Context(), got.ID, "ada", true)
	w.refused(err, messages.CodeInvalid)
	_ = lost
}

// TestARecoveryThatWasRemovedKeepsNobodyOut: a workspace may be locked for longer than runs are kept, and the recovery that somebody
// discarded goes with its age.
func TestARecoveryThatWasRemovedKeepsNobodyOut(t *testing.T) {
	t.Parallel()
	for name, free := range map[string]func(*world, postgres.Workspace, run.Run, postgres.Attempt){
		"recover again": func(w *world, _ postgres.Workspace, lost run.Run, _ postgres.Attempt) { w.recovery(lost.ID) },
		"unlock": func(w *world, ws postgres.Workspace, _ run.Run, _ postgres.Attempt) {
			_, err := w.UnlockWorkspace(w.t.Context(), ws.ID, "ada", true)
			w.ok(err)
		},
		"promote a state": func(w *world, ws postgres.Workspace, lost run.Run, apply postgres.Attempt) {
			for _, serial := range []int64{5, 3} { // the second one does not follow
				_, _ = w.PutState(w.t.Context(), apply, postgres.InMemory(stateBody(serial, "lin", "late")))
			}
			all, _, err := w.StateVersions(w.t.Context(), ws.ID, postgres.Page{})
			w.ok(err)
			_, err = w.PromoteState(w.t.Context(), all[0].ID, "ada", true)
			w.ok(err)
		},
		"late result": func(w *world, _ postgres.Workspace, lost run.Run, apply postgres.Attempt) {
			_, err := w.PutState(w.t.Context(), apply, postgres.InMemory(stateBody(1, "lin", "late")))
			w.ok(err)
			w.result(apply, applyResult())
			w.status(lost.ID, run.Applied)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			ws, lost, _, apply := w.lost("net")
			r := w.recovery(lost.ID)
			w.planned(r.ID)
			_, err := w.Transition(t.Context(), r.ID, run.Discard{}, postgres.Cause{Actor: "ada"})
			w.ok(err)
			w.newRun(ws, run.Options{PlanOnly: true})
			w.drain()
			w.ages(48 * time.Hour)
			w.retains(postgres.Retention{Runs: 24 * time.Hour}, postgres.Removed{Runs: 1})
			free(w, ws, lost, apply)
		})
	}
}
