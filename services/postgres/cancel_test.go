package postgres_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// TestCancelAtEveryPoint: what a cancel leaves at each point of a run's life, what it tells the world, and that the
// workspace's next run goes on.
func TestCancelAtEveryPoint(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	confirmed := func(id string) {
		w.planned(id)
		_, err := w.Transition(ctx, id, run.Confirm{}, postgres.Cause{Actor: "ada"})
		w.ok(err)
	}
	var last postgres.Attempt
	var claim wire.Claim
	canceled := wire.Result{V: 1, Outcome: wire.OutcomeCanceled, Code: messages.CodeRunCanceled}
	for _, c := range []struct {
		name  string
		bring func(id string)
		want  run.Status // right after the cancel
		told  string     // to the outbox, "" for nothing
		then  func()     // what the runner does then
		ended run.Status
	}{
		{"plan queued", func(string) {}, run.Canceled, "delete plan", nil, run.Canceled},
		{"plan claimed", func(id string) { claim, last = w.claimed(id) }, run.Canceled, "", func() {
			_, err := w.Start(ctx, last, startOf(claim, "n"))
			w.refused(err, messages.CodeAttemptCanceled)
		}, run.Canceled},
		{"planning", func(id string) { _, last = w.started(id) }, run.Planning, "command", func() { w.result(last, canceled) }, run.Canceled},
		{"planning, done at the same time", func(id string) { _, last = w.started(id) }, run.Planning, "command",
			func() { w.result(last, planResult()) }, run.Canceled},
		{"apply queued", confirmed, run.Canceled, "delete apply", nil, run.Canceled},
		{"apply claimed", func(id string) { confirmed(id); claim, last = w.claimed(id) }, run.Canceled, "", func() {
			_, err := w.Start(ctx, last, startOf(claim, "n"))
			w.refused(err, messages.CodeAttemptCanceled)
		}, run.Canceled},
		{"applying", func(id string) { _, last = w.applying(id) }, run.Applying, "command", func() { w.result(last, canceled) }, run.Canceled},
		{"applying, too late", func(id string) { _, last = w.applying(id) }, run.Applying, "command", func() { w.result(last, applyResult()) }, run.Applied},
	} {
		ws := w.workspace(messages.NewID("ws-"))
		r, next := w.newRun(ws, run.Options{AutoApply: c.name == "planning, done at the same time"}), w.newRun(ws, run.Options{})
		c.bring(r.ID)
		w.drain()
		w.cancel(r.ID)
		w.status(r.ID, c.want)
		var told []string
		for _, row := range w.drain() {
			if row != "task plan "+next.ID {
				told = append(told, row)
			}
		}
		var want []string
		if c.told != "" {
			want = []string{c.told + " " + r.ID}
		}
		if diff := cmp.Diff(want, told); diff != "" {
			t.Errorf("%s: outbox (-want +got):\n%s", c.name, diff)
		}
		if c.then != nil {
			c.then()
		}
		if got := w.get(r.ID); got.Status != c.ended || (got.Status == run.Canceled && got.Apply != nil && got.Apply.Last() != nil && got.Apply.Last().Open()) {
			t.Errorf("%s: got %s, want %s and nothing open", c.name, got.Status, c.ended)
		}
		w.status(next.ID, run.PlanQueued)
	}
	waiting := w.workspace("waiting")
	first, pending := w.newRun(waiting, run.Options{}), w.newRun(waiting, run.Options{})
	w.drain()
	w.cancel(pending.ID)
	w.status(pending.ID, run.Canceled)
	w.status(first.ID, run.PlanQueued)
	if got := w.drain(); got != nil {
		t.Errorf("pending: got %v in the outbox, want nothing", got)
	}
}

// TestCancelRacesWithTheEnd: whichever transaction is first wins, and the other is told so.
func TestCancelRacesWithTheEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	seen := map[run.Status]int{}
	for range 30 {
		ws := w.workspace(messages.NewID("ws-"))
		r := w.newRun(ws, run.Options{AutoApply: true})
		_, a := w.started(r.ID)
		var wg sync.WaitGroup
		wg.Go(func() {
			err := errors.Join(w.put(a, planResult()), w.Project(ctx, []messages.Event{finishedEvent(a)}))
			if err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if _, err := w.Transition(ctx, r.ID, run.Cancel{}, postgres.Cause{Actor: "ada"}); err != nil {
				t.Errorf("cancel: got %v, want it taken before and after the plan's end", err)
			}
		})
		wg.Wait()
		got := w.get(r.ID)
		if got.Status != run.Canceled || (got.Apply != nil && got.Apply.State != run.TaskFinished) {
			t.Fatalf("got %s with apply %+v, want canceled and no apply that could start", got.Status, got.Apply)
		}
		for s := range got.Timestamps {
			seen[s]++
		}
		if now, err := w.Workspace(ctx, ws.ID); err != nil || now.GateRunID != nil {
			t.Fatalf("the gate is held by %v (%v), want it free", now.GateRunID, err)
		}
	}
	_, err := w.Transition(ctx, w.canceledRun(), run.Cancel{}, postgres.Cause{Actor: "ada"})
	w.refused(err, messages.CodeRunNotAllowed)
	t.Logf("statuses passed: %v", seen)
}

func (w *world) canceledRun() string {
	w.t.Helper()
	r := w.newRun(w.workspace(messages.NewID("ws-")), run.Options{})
	w.cancel(r.ID)
	return r.ID
}

func TestStopsAreRepeatedUntilTheAttemptIsClosed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	canceled, overrun, calm := w.newRun(w.workspace("a"), run.Options{}), w.newRun(w.workspace("b"), run.Options{}), w.newRun(w.workspace("c"), run.Options{})
	_, ca := w.applying(canceled.ID)
	_, oa := w.started(overrun.ID)
	w.started(calm.ID)
	stopping := func() (out []postgres.OpenAttempt) {
		open, err := w.OpenAttempts(ctx)
		w.ok(err)
		for _, a := range open {
			if a.Stopping {
				out = append(out, a)
			}
		}
		return out
	}
	if got := stopping(); got != nil {
		t.Errorf("before: got %+v, want none to stop", got)
	}
	w.cancel(canceled.ID)
	w.ok(w.judge(overrun.ID, run.Timeout{AttemptID: oa.ID, Limit: time.Hour}))
	w.ok(w.RepeatStop(ctx, stopping())) // the first commands are not sent yet
	if got := len(w.commands()); got != 2 {
		t.Errorf("commands: got %d, want the 2 first ones alone", got)
	}
	w.ok(w.RepeatStop(ctx, stopping()))
	got := w.commands()
	want := []messages.Command{{V: 1, AttemptID: ca.ID, Cancel: true}, {V: 1, AttemptID: oa.ID, Cancel: true}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("repeated commands (-want +got):\n%s", diff)
	}
	if a := stopping(); len(a) != 2 || a[0].Phase != messages.PhaseApply || a[1].Phase != messages.PhasePlan {
		t.Errorf("got %+v, want the apply and the plan", a)
	}
	for _, a := range []postgres.Attempt{ca, oa} {
		w.result(a, wire.Result{V: 1, Outcome: wire.OutcomeCanceled})
	}
	if left := stopping(); left != nil {
		t.Errorf("after the results: got %+v, want none", left)
	}
	w.status(canceled.ID, run.Canceled)
	if r := w.get(overrun.ID); r.Status != run.Errored || r.Code != messages.CodeRunTimedOut {
		t.Errorf("got %s with %s, want %s", r.Status, r.Code, messages.CodeRunTimedOut)
	}
}

// commands takes everything from the outbox and returns the commands of it.
func (w *world) commands() []messages.Command {
	w.t.Helper()
	var out []messages.Command
	_, err := w.Relay(w.t.Context(), 1000, nil, func(_ context.Context, rows []postgres.OutboxRow) (int, error) {
		for _, r := range rows {
			var row postgres.CommandRow
			if r.Kind != postgres.OutboxCommand {
				continue
			}
			if err := json.Unmarshal(r.Payload, &row); err != nil {
				return 0, err
			}
			out = append(out, row.Command)
		}
		return len(rows), nil
	})
	w.ok(err)
	return out
}
