package postgres_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

func TestRunsOfAWorkspaceGoOneAfterTheOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ws := w.workspace("net")
	r1, r2, r3 := w.newRun(ws, run.Options{}), w.newRun(ws, run.Options{}), w.newRun(ws, run.Options{})
	beside := w.newRun(ws, run.Options{PlanOnly: true})
	w.status(r1.ID, run.PlanQueued)
	w.status(r2.ID, run.Pending)
	w.status(r3.ID, run.Pending)
	w.status(beside.ID, run.PlanQueued)
	want := []string{"task plan " + r1.ID, "task plan " + beside.ID}
	if diff := cmp.Diff(want, w.drain()); diff != "" {
		t.Errorf("outbox (-want +got):\n%s", diff)
	}

	// The gate is r1's until it is over, its approval included, and then at once the next one's.
	_, a := w.applying(r1.ID)
	w.status(r2.ID, run.Pending)
	w.drain()
	w.ok(w.put(a, applyResult()))
	w.status(r1.ID, run.Applied)
	w.status(r2.ID, run.PlanQueued)
	w.status(r3.ID, run.Pending)
	if diff := cmp.Diff([]string{"task plan " + r2.ID}, w.drain()); diff != "" {
		t.Errorf("outbox (-want +got):\n%s", diff)
	}

	// A pending run that goes away takes nobody's place, and one that holds the gate frees it.
	w.cancel(r3.ID)
	w.status(r2.ID, run.PlanQueued)
	r4 := w.newRun(ws, run.Options{})
	w.cancel(r2.ID)
	w.status(r4.ID, run.PlanQueued)
	if diff := cmp.Diff([]string{"delete plan " + r2.ID, "task plan " + r4.ID}, w.drain()); diff != "" {
		t.Errorf("outbox (-want +got):\n%s", diff)
	}
	w.cancel(r4.ID)
	got, err := w.Workspace(t.Context(), ws.ID)
	w.ok(err)
	if got.GateRunID != nil {
		t.Errorf("gate: got %s, want free", *got.GateRunID)
	}
	w.status(beside.ID, run.PlanQueued)
}

func TestALockedWorkspaceReleasesNothingUntilFreeGates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ws := w.workspace("net")
	w.raw.MustExec(`UPDATE workspaces SET locked = true`)
	r1, r2 := w.newRun(ws, run.Options{}), w.newRun(ws, run.Options{})
	w.status(r1.ID, run.Pending)
	w.ok(w.FreeGates(t.Context()))
	w.status(r1.ID, run.Pending)
	w.raw.MustExec(`UPDATE workspaces SET locked = false`)
	w.ok(w.FreeGates(t.Context()))
	w.status(r1.ID, run.PlanQueued)
	w.status(r2.ID, run.Pending)
	if diff := cmp.Diff([]string{"task plan " + r1.ID}, w.drain()); diff != "" {
		t.Errorf("outbox (-want +got):\n%s", diff)
	}
}

func TestAnUnknownOutcomeKeepsTheGateUntilALateResult(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ws := w.workspace("net")
	r1, r2 := w.newRun(ws, run.Options{}), w.newRun(ws, run.Options{})
	_, a := w.applying(r1.ID)
	w.ok(w.Project(t.Context(), []messages.Event{exitedEvent(a)}))
	w.status(r1.ID, run.Errored)
	w.status(r2.ID, run.Pending)
	got, err := w.Workspace(t.Context(), ws.ID)
	w.ok(err)
	if !got.OutcomeUnknown || !w.get(r1.ID).OutcomeUnknown {
		t.Errorf("outcome unknown: got %t of the workspace and %t of the run, want both", got.OutcomeUnknown, w.get(r1.ID).OutcomeUnknown)
	}
	if _, err := w.PutState(t.Context(), a, postgres.InMemory(stateBody(1, "lin", "late"))); err != nil {
		t.Errorf("late state: got %v, want it taken", err)
	}
	w.result(a, applyResult())
	w.status(r1.ID, run.Applied)
	w.status(r2.ID, run.PlanQueued)
	w.refused(w.put(postgres.Attempt{ID: "att-none", RunID: r1.ID, Run: w.get(r1.ID)}, applyResult()), messages.CodeAttemptClosed)
}

func TestCreateRunRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	ws := w.workspace("net")
	empty, err := w.CreateWorkspace(ctx, postgres.NewWorkspace{Organization: "acme", Name: "empty"})
	w.ok(err)
	pending, err := w.CreateConfigurationVersion(ctx, postgres.NewConfigurationVersion{WorkspaceID: empty.ID})
	w.ok(err)
	for _, c := range []struct {
		name string
		in   postgres.NewRun
		want messages.Code
	}{
		{"no such workspace", postgres.NewRun{WorkspaceID: "ws-none"}, messages.CodeNotFound},
		{"no configuration", postgres.NewRun{WorkspaceID: empty.ID}, messages.CodeConfigurationMissing},
		{"configuration not uploaded", postgres.NewRun{WorkspaceID: empty.ID, ConfigurationVersionID: pending.ID}, messages.CodeConfigurationMissing},
		{"another workspace's configuration", postgres.NewRun{WorkspaceID: ws.ID, ConfigurationVersionID: pending.ID}, messages.CodeNotFound},
		{"mode", postgres.NewRun{WorkspaceID: ws.ID, Execution: messages.Execution{Mode: messages.ModeK8s}}, messages.CodeExecutionUnsupported},
	} {
		_, err := w.CreateRun(ctx, c.in)
		if got := codeOf(err); got != c.want {
			t.Errorf("%s: got %v with code %q, want %q", c.name, err, got, c.want)
		}
	}
	if got := w.count(`SELECT count(*) FROM runs`) + w.count(`SELECT count(*) FROM run_events`) + w.count(`SELECT count(*) FROM outbox`); got != 0 {
		t.Errorf("got %d rows of refused runs, want none", got)
	}
}

func TestASpeculativeConfigurationOnlyPlans(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ws := w.workspace("net")
	cv, err := w.CreateConfigurationVersion(t.Context(), postgres.NewConfigurationVersion{WorkspaceID: ws.ID, Speculative: true})
	w.ok(err)
	_, err = w.UploadConfiguration(t.Context(), cv.ID, postgres.InMemory([]byte("speculative")))
	w.ok(err)
	r, err := w.CreateRun(t.Context(), postgres.NewRun{WorkspaceID: ws.ID, ConfigurationVersionID: cv.ID})
	w.ok(err)
	if !r.Options.PlanOnly || r.Exclusive() {
		t.Errorf("got options %+v, want plan-only", r.Options)
	}
	if latest := w.newRun(ws, run.Options{}); latest.ConfigurationVersionID == cv.ID {
		t.Error("a run without a configuration got the speculative one")
	}
}

// TestTextPostgresCannotStore: a NUL in what a user or terraform says must not keep a run from ending.
func TestTextPostgresCannotStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ws := w.workspace("net")
	text := "a\x00\x00b \\u0000 \xff"
	r, err := w.CreateRun(t.Context(), postgres.NewRun{WorkspaceID: ws.ID, Message: text})
	w.ok(err)
	if got, want := r.Note, "a\ufffd\ufffdb \\u0000 \ufffd"; got != want {
		t.Errorf("message: got %q, want %q", got, want)
	}
	_, a := w.started(r.ID)
	w.result(a, wireFailure(text))
	w.status(r.ID, run.Errored)
}
