package reconciler_test

import (
	"testing"
	"time"

	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
	"gantry.example/services/servicestest"
)

// limited creates a run with timeouts of its own.
func limited(t *testing.T, w *servicestest.World, limits messages.Timeouts) run.Run {
	t.Helper()
	r, err := w.DB.CreateRun(t.Context(), postgres.NewRun{
		WorkspaceID: w.Workspace.ID, CreatedBy: "test", Execution: messages.Execution{Timeouts: limits},
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestARunThatNobodyTakesOrApproves(t *testing.T) {
	t.Parallel()
	w := servicestest.New(t)
	ensureTasks(t, w)
	timing := hasty()
	timing.Waits = 0
	planned := limited(t, w, messages.Timeouts{Approval: "1s"})
	_, a := w.Begin(planned.ID)
	w.Result(a)
	behind := limited(t, w, messages.Timeouts{Queue: "1s"})
	patient := limited(t, w, messages.Timeouts{Queue: "1h"})
	start(w, timing)
	if r := w.WaitFor(planned.ID, run.Discarded); r.Code != messages.CodeRunApprovalTimedOut {
		t.Errorf("got %q, want %s", r.Code, messages.CodeRunApprovalTimedOut)
	}
	if r := w.WaitFor(behind.ID, run.Errored); r.Code != messages.CodeRunQueueTimedOut {
		t.Errorf("got %q, want %s", r.Code, messages.CodeRunQueueTimedOut)
	}
	if r := w.WaitFor(patient.ID, run.PlanQueued); r.Code != "" {
		t.Errorf("got %q, want the last run to be next", r.Code)
	}
}

// TestASilentAttemptIsStopped: output puts the end off, and nobody is judged whose runner is not connected.
func TestASilentAttemptIsStopped(t *testing.T) {
	t.Parallel()
	w := servicestest.New(t)
	timing := repeating()
	timing.Settle = 0
	timing.Limits = run.Patience{Silence: time.Second}
	cutOff := w.NewRun(run.Options{PlanOnly: true}).ID
	w.Begin(cutOff)
	id := w.NewRun(run.Options{}).ID
	claim, a := w.Begin(id)
	began := time.Now()
	if err := w.DB.AppendLog(t.Context(), postgres.LogChunk{AttemptID: a.ID, Data: []byte("Planning\n")}); err != nil {
		t.Fatal(err)
	}
	commands := obey(t, w, timing)
	hold(t, w, claim)
	if got := next(t, commands); got.AttemptID != a.ID || !got.Cancel {
		t.Fatalf("got command %+v, want a cancel of %s", got, a.ID)
	}
	if took := time.Since(began); took < time.Second {
		t.Errorf("got it stopped %s after it printed something, want %s", took, time.Second)
	}
	canceled(t, w, a)
	if r := w.WaitFor(id, run.Errored); r.Code != messages.CodeRunSilent {
		t.Errorf("got %q, want %s", r.Code, messages.CodeRunSilent)
	}
	if r := w.Get(cutOff); r.Overrun != nil {
		t.Errorf("got %+v of a runner that could not be heard, want nothing", r.Overrun)
	}
}
