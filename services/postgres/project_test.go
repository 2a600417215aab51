package postgres_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

func TestAResultIsFoldedOnceAsItIsStored(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.newRun(w.workspace("net"), run.Options{})
	_, a := w.started(r.ID)
	w.ok(w.put(a, planResult()))
	w.status(r.ID, run.Planned)
	w.ok(w.put(a, wireFailure("a repeated one that says something else")))
	w.ok(w.Project(t.Context(), []messages.Event{finishedEvent(a)}))
	w.status(r.ID, run.Planned)
}

func TestAutoApplyQueuesTheApplyWithThePlan(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.newRun(w.workspace("net"), run.Options{AutoApply: true})
	_, a := w.started(r.ID)
	w.drain()
	w.result(a, planResult())
	w.status(r.ID, run.ApplyQueued)
	if diff := cmp.Diff([]string{"task apply " + r.ID}, w.drain()); diff != "" {
		t.Errorf("outbox (-want +got):\n%s", diff)
	}
	if got, want := w.get(r.ID).ConfirmedBy, "auto-apply"; got != want {
		t.Errorf("confirmed by: got %q, want %q", got, want)
	}
}

// TestEventsInAnyOrderAndNumber: repeated, reordered, late and foreign events give the same run.
func TestEventsInAnyOrderAndNumber(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ws := w.workspace("net")
	r := w.newRun(ws, run.Options{})
	_, a := w.started(r.ID)
	stranger := messages.Event{V: 1, Type: messages.EventExited, AttemptID: "att-none", RunID: "run-none", Source: "worker", Seq: 1}
	lost := messages.Event{V: 1, Type: messages.EventExited, AttemptID: "att-none", RunID: r.ID, Source: "worker", Seq: 1}
	later := messages.Event{V: 2, Type: "of_a_later_version", AttemptID: a.ID, RunID: r.ID, Source: "runner", Seq: 9}
	w.ok(w.Project(t.Context(), nil))
	w.ok(w.Project(t.Context(), []messages.Event{
		stranger, progressEvent(a, 2, messages.StagePlan), progressEvent(a, 1, messages.StageInit), progressEvent(a, 2, messages.StagePlan),
		lost, later, finishedEvent(a), finishedEvent(a),
	}))
	w.ok(w.put(a, planResult()))
	want := w.get(r.ID)
	if want.Status != run.Planned || want.Plan.Last().Stage != messages.StagePlan {
		t.Errorf("got %s at stage %s, want planned at stage plan", want.Status, want.Plan.Last().Stage)
	}
	w.ok(w.Project(t.Context(), []messages.Event{exitedEvent(a), progressEvent(a, 3, messages.StageUpload), finishedEvent(a), stranger}))
	if diff := cmp.Diff(want, w.get(r.ID)); diff != "" {
		t.Errorf("late events changed the run (-want +got):\n%s", diff)
	}
}

func TestExitedBeforeAndAfterTheResult(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	ws := w.workspace("net")

	// The process is known to be gone and a result came: the result counts.
	r := w.newRun(ws, run.Options{})
	_, a := w.applying(r.ID)
	w.ok(w.put(a, applyResult()))
	w.ok(w.Project(ctx, []messages.Event{exitedEvent(a)}))
	w.status(r.ID, run.Applied)

	// No result: a plan is tried again, and what its old attempt says does not count any more.
	r = w.newRun(ws, run.Options{})
	_, a = w.started(r.ID)
	w.ok(w.Project(ctx, []messages.Event{exitedEvent(a)}))
	w.status(r.ID, run.PlanQueued)
	w.refused(w.put(a, planResult()), messages.CodeAttemptClosed)
	w.status(r.ID, run.PlanQueued)
	if got, want := w.get(r.ID).Plan.Retries, 1; got != want {
		t.Errorf("retries: got %d, want %d", got, want)
	}
}

func TestALateResultAndAVerdictAfterIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.newRun(w.workspace("net"), run.Options{})
	_, a := w.applying(r.ID)
	w.ok(w.judge(r.ID, run.LoseContact{AttemptID: a.ID}))
	if got, want := w.get(r.ID).Apply.Last().State, run.AttemptLost; got != want {
		t.Errorf("attempt: got %s, want %s", got, want)
	}
	w.ok(w.put(a, applyResult()))
	w.ok(w.judge(r.ID, run.GiveUp{AttemptID: a.ID}))
	w.status(r.ID, run.Applied)
	w.refused(w.judge("run-none", run.GiveUp{AttemptID: a.ID}), messages.CodeNotFound)
}

func TestDeadlinesSeeWhatIsOpen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	ws := w.workspace("net")
	r, beside := w.newRun(ws, run.Options{}), w.newRun(ws, run.Options{PlanOnly: true})
	queued, err := w.QueuedTasks(ctx, 0)
	w.ok(err)
	want := []messages.Task{r.Message(r.Plan), beside.Message(beside.Plan)}
	if diff := cmp.Diff(want, queued); diff != "" {
		t.Errorf("queued tasks (-want +got):\n%s", diff)
	}
	old, err := w.QueuedTasks(ctx, time.Hour)
	w.ok(err)
	if len(old) != 0 {
		t.Errorf("tasks queued for an hour: got %v, want none", old)
	}
	_, a := w.started(r.ID)
	_, b := w.claimed(beside.ID)
	type row struct {
		ID, Run, Key, Pool string
		State              run.AttemptState
		Started            bool
	}
	var got []row
	list, err := w.OpenAttempts(ctx)
	w.ok(err)
	for _, o := range list {
		got = append(got, row{o.ID, o.RunID, o.Key, o.Pool, o.State, o.StartedAt != nil})
	}
	wantOpen := []row{
		{a.ID, r.ID, ws.ID, messages.LocalPool, run.AttemptStarted, true},
		{b.ID, beside.ID, beside.ID, messages.LocalPool, run.AttemptClaimed, false},
	}
	if diff := cmp.Diff(wantOpen, got); diff != "" {
		t.Errorf("open attempts (-want +got):\n%s", diff)
	}
	w.result(a, wire.Result{V: 1, Outcome: wire.OutcomeFailed, Message: "no"})
	w.cancel(beside.ID)
	list, err = w.OpenAttempts(ctx)
	w.ok(err)
	if len(list) != 0 {
		t.Errorf("open attempts: got %+v, want none", list)
	}
}

// TestNobodyWaitsForAWorkspaceWithAPlanOnlyRunInHand: events of exclusive runs, whose locks begin with the workspace, are
// folded before those of plan-only runs. The other way round, two batches could wait for each other.
func TestNobodyWaitsForAWorkspaceWithAPlanOnlyRunInHand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := w.within(30 * time.Second)
	ws := w.workspace("net")
	exclusive, beside := w.newRun(ws, run.Options{}), w.newRun(ws, run.Options{PlanOnly: true})
	for exclusive.ID < beside.ID { // so that the order of ids is the wrong one
		exclusive = w.newRun(ws, run.Options{})
	}
	holder := w.raw.MustBegin()
	defer func() { _ = holder.Rollback() }()
	holder.MustExec(`SELECT FROM workspaces WHERE id = $1 FOR UPDATE`, ws.ID)
	done := make(chan error, 1)
	go func() {
		done <- w.Project(ctx, []messages.Event{
			progressEvent(postgres.Attempt{ID: "att-none", RunID: beside.ID}, 1, messages.StageInit),
			progressEvent(postgres.Attempt{ID: "att-none", RunID: exclusive.ID}, 1, messages.StageInit),
		})
	}()
	w.blocked(done)
	if _, err := w.raw.ExecContext(ctx, `SELECT FROM runs WHERE id = $1 FOR UPDATE NOWAIT`, beside.ID); err != nil {
		t.Errorf("while the projector waits for the workspace, the plan-only run is locked: %v", err)
	}
	w.ok(holder.Rollback())
	w.ok(<-done)
}
