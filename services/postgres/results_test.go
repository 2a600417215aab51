package postgres_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// readyResult is that of a plan whose runner can go on with the apply.
func readyResult() wire.Result {
	res := planResult()
	res.CarryOn = "runner"
	return res
}

// TestTheRunnerOfAPlanCarriesOnWithItsApply: nothing goes through the queue, the fence is passed, and a repeated result gets
// the same attempt again.
func TestTheRunnerOfAPlanCarriesOnWithItsApply(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	ws := w.workspace("net")
	r := w.newRun(ws, run.Options{AutoApply: true})
	claim, plan := w.started(r.ID)
	w.drain()
	answer, err := w.PutResult(ctx, plan, readyResult())
	w.ok(err)
	if answer.Next == nil {
		t.Fatal("the runner was not given the apply")
	}
	if got := w.drain(); len(got) != 0 {
		t.Errorf("outbox: got %v, want nothing for a task that nobody has to take", got)
	}
	w.status(r.ID, run.Applying)
	next := *answer.Next
	if next.Inputs.Phase != messages.PhaseApply || next.Inputs.PlanAttemptID != plan.ID || next.Epoch != claim.Epoch+1 {
		t.Errorf("got an attempt of phase %s after plan %s under epoch %d, want the apply after %s under %d",
			next.Inputs.Phase, next.Inputs.PlanAttemptID, next.Epoch, plan.ID, claim.Epoch+1)
	}
	again, err := w.PutResult(ctx, plan, readyResult())
	w.ok(err)
	if again.Next == nil || again.Next.AttemptID != next.AttemptID {
		t.Errorf("a repeated result: got %+v, want attempt %s again", again.Next, next.AttemptID)
	}
	apply, err := w.AttemptByToken(ctx, next.Token)
	w.ok(err)
	_, err = w.Start(ctx, apply, startOf(next, "another runner"))
	w.refused(err, messages.CodeAttemptDuplicate)
	_, err = w.Claim(ctx, messages.LocalPool, claimRequest(next.Inputs.TaskID, "another worker"))
	w.refused(err, messages.CodeTaskTaken)
	w.ok(w.Refold(ctx))
	w.result(apply, applyResult())
	w.status(r.ID, run.Applied)
	following := w.newRun(ws, run.Options{})
	if c, _ := w.claimed(following.ID); c.Epoch != next.Epoch+1 {
		t.Errorf("the next epoch: got %d, want %d", c.Epoch, next.Epoch+1)
	}
}

// TestWhoDoesNotCarryOn: an apply that waits for a person, a canceled one and one whose state moved go their normal way.
func TestWhoDoesNotCarryOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	for name, c := range map[string]struct {
		options run.Options
		res     wire.Result
		before  func(ws, id string)
		want    run.Status
	}{
		"waits for a person": {run.Options{}, readyResult(), nil, run.Planned},
		"not asked for":      {run.Options{AutoApply: true}, planResult(), nil, run.ApplyQueued},
		"plan only":          {run.Options{PlanOnly: true, AutoApply: true}, readyResult(), nil, run.PlannedAndFinished},
		"canceled": {run.Options{AutoApply: true}, readyResult(), func(_, id string) {
			_, err := w.Transition(ctx, id, run.Cancel{}, postgres.Cause{Actor: "ada"})
			w.ok(err)
		}, run.Canceled},
	} {
		ws := w.workspace(messages.NewID("ws-"))
		r := w.newRun(ws, c.options)
		_, a := w.started(r.ID)
		if c.before != nil {
			c.before(ws.ID, r.ID)
		}
		answer, err := w.PutResult(ctx, a, c.res)
		w.ok(err)
		if answer.Next != nil {
			t.Errorf("%s: got attempt %s, want none", name, answer.Next.AttemptID)
		}
		w.status(r.ID, c.want)
	}
}

// TestTheEndOfARunnerIsTheEndOfWhatItWentOnWith: its worker knows only the attempt it started the runner for.
func TestTheEndOfARunnerIsTheEndOfWhatItWentOnWith(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	r := w.newRun(w.workspace("net"), run.Options{AutoApply: true})
	_, plan := w.started(r.ID)
	_, err := w.PutResult(ctx, plan, readyResult())
	w.ok(err)
	w.ok(w.Project(ctx, []messages.Event{exitedEvent(plan)}))
	got := w.get(r.ID)
	if diff := cmp.Diff([]any{run.Errored, messages.CodeRunOutcomeUnknown, true}, []any{got.Status, got.Code, got.OutcomeUnknown}); diff != "" {
		t.Errorf("run (-want +got):\n%s", diff)
	}
}

// TestARunnerThatNeverCameToItsApply: the worker saw that nothing of it was executed, so there is nothing to recover.
func TestARunnerThatNeverCameToItsApply(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	ws := w.workspace("net")
	r := w.newRun(ws, run.Options{AutoApply: true})
	_, plan := w.started(r.ID)
	_, err := w.PutResult(ctx, plan, readyResult())
	w.ok(err)
	next := w.newRun(ws, run.Options{})
	exit := exitedEvent(plan)
	exit.NotBegun = true
	w.ok(w.Project(ctx, []messages.Event{exit}))
	got := w.get(r.ID)
	if diff := cmp.Diff([]any{run.Errored, messages.CodeRunNeverStarted, false}, []any{got.Status, got.Code, got.OutcomeUnknown}); diff != "" {
		t.Errorf("run (-want +got):\n%s", diff)
	}
	w.status(next.ID, run.PlanQueued)
}

// TestAPlanComesWithItsResult: it is stored as one that was sent before, and nowhere else.
func TestAPlanComesWithItsResult(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	r := w.newRun(w.workspace("net"), run.Options{AutoApply: true})
	claim, a := w.claimed(r.ID)
	if claim.Inputs.PlanLimit <= 0 {
		t.Errorf("got a limit of %d, want that small plans may come along", claim.Inputs.PlanLimit)
	}
	res := planResult()
	res.Plan = []byte("a plan with secrets")
	w.refused(w.put(a, res), messages.CodeForbidden) // not started
	_, err := w.Start(ctx, a, startOf(claim, "runner"))
	w.ok(err)
	w.result(a, res)
	got, err := w.blob(r.ID, postgres.BlobPlan)
	w.ok(err)
	if got != string(res.Plan) {
		t.Errorf("got plan %q, want %q", got, res.Plan)
	}
	var doc string
	w.ok(w.raw.GetContext(ctx, &doc, `SELECT doc::text FROM results WHERE attempt_id = $1`, a.ID))
	if strings.Contains(doc, `"plan"`) {
		t.Errorf("the stored result has the plan: %s", doc)
	}
	res.Plan = []byte("another")
	w.result(a, res) // the first one stands
	if got, _ := w.blob(r.ID, postgres.BlobPlan); got == "another" {
		t.Error("a repeated result replaced the plan")
	}
	w.status(r.ID, run.ApplyQueued)
	_, apply := w.started(r.ID)
	res = applyResult()
	res.Plan = []byte("of an apply")
	w.refused(w.put(apply, res), messages.CodeForbidden)
}
