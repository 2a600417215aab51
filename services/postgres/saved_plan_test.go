package postgres_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// TestASavedPlanKeepsNobodyWaiting: it frees the gate, and once confirmed it waits for the gate like others, in the order of
// creation; what was planned before something else was applied is stale.
func TestASavedPlanKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ws := w.workspace("net")
	saved := w.newRun(ws, run.Options{SavePlan: true})
	next := w.newRun(ws, run.Options{})
	_, plan := w.started(saved.ID)
	w.result(plan, planResult())
	w.status(saved.ID, run.PlannedAndSaved)
	w.status(next.ID, run.PlanQueued)
	w.planned(next.ID)
	later := w.newRun(ws, run.Options{})

	confirm := func(id string) {
		_, err := w.Transition(t.Context(), id, run.Confirm{}, postgres.Cause{Actor: "ada"})
		w.ok(err)
	}
	confirm(saved.ID)
	w.status(saved.ID, run.Confirmed)
	got, err := w.Workspace(t.Context(), ws.ID)
	w.ok(err)
	if diff := cmp.Diff([]*string{&next.ID, &saved.ID}, []*string{got.GateRunID, got.NextRunID}); diff != "" {
		t.Errorf("gate and next (-want +got):\n%s", diff)
	}
	_, err = w.Transition(t.Context(), next.ID, run.Discard{}, postgres.Cause{Actor: "ada"})
	w.ok(err)
	w.status(saved.ID, run.ApplyQueued) // before later, which was created after it
	w.status(later.ID, run.Pending)
}

// TestTheOldMessageOfASavedPlan: one that is delivered again, because its acknowledgement was lost, is for nothing any more. A
// worker that was told to ask again would do so for as long as the plan is saved.
func TestTheOldMessageOfASavedPlan(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	saved := w.newRun(w.workspace("net"), run.Options{SavePlan: true})
	_, plan := w.started(saved.ID)
	w.result(plan, planResult())
	_, err := w.Claim(t.Context(), messages.LocalPool, claimRequest(saved.Plan.ID, "again"))
	w.refused(err, messages.CodeTaskGone)
}
