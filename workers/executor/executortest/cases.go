package executortest

import (
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gantry.example/messages"
	"gantry.example/workers/executor"
)

func startTwice(t *testing.T, b *bench) {
	for _, phase := range []messages.Phase{messages.PhasePlan, messages.PhaseApply} {
		a := NewAttempt(phase)
		var calls sync.WaitGroup
		for range 4 {
			calls.Go(func() {
				if err := b.start(t.Context(), a); err != nil {
					t.Errorf("start: %v", err)
				}
			})
		}
		calls.Wait()
		b.waitStarted(t, a.AttemptID)
		b.mustStart(t, a)
		b.wantStatus(t, a.AttemptID, executor.Status{State: executor.Running})
		b.Finish(t, a.AttemptID, 0)
		Wait(t, "the exit", func() bool {
			s, err := b.Status(t.Context(), a.AttemptID)
			return err == nil && s.State == executor.Exited
		})
		if got := b.Starts(t, a.AttemptID); got != 1 {
			t.Errorf("%s: got %d runners, want 1", phase, got)
		}
	}
}

func startAfterExit(t *testing.T, b *bench) {
	for n, code := range []int{0, 70} {
		a := NewAttempt(messages.PhaseApply)
		b.mustStart(t, a)
		b.Finish(t, a.AttemptID, code)
		b.waitExits(t, n+1)
		b.mustStart(t, a)
		b.wantStatus(t, a.AttemptID, executor.Status{State: executor.Exited, Code: code})
		b.wantRunning(t)
		if got := b.Starts(t, a.AttemptID); got != 1 {
			t.Errorf("exit code %d: got %d runners, want 1", code, got)
		}
	}
}

func startWrongPhase(t *testing.T, b *bench) {
	a := NewAttempt(messages.PhaseApply)
	if err := b.StartPlan(t.Context(), a); err == nil {
		t.Error("StartPlan of an apply: got no error, want one")
	}
	b.wantStatus(t, a.AttemptID, executor.Status{State: executor.Unknown})
}

func unknownAttempts(t *testing.T, b *bench) {
	id := messages.NewID("att-")
	b.wantStatus(t, id, executor.Status{State: executor.Unknown})
	for _, force := range []bool{false, true} {
		if err := b.Cancel(t.Context(), id, force); err != nil {
			t.Errorf("Cancel(force %v) of an unknown attempt: got %v, want nil", force, err)
		}
	}
	b.wantRunning(t)
}

func cancel(t *testing.T, b *bench) { cancelTwice(t, b, false) }

func cancelWithForce(t *testing.T, b *bench) { cancelTwice(t, b, true) }

func cancelTwice(t *testing.T, b *bench, force bool) {
	a := NewAttempt(messages.PhasePlan)
	b.mustStart(t, a)
	b.waitStarted(t, a.AttemptID)
	for range 2 {
		if err := b.Cancel(t.Context(), a.AttemptID, force); err != nil {
			t.Fatalf("Cancel: %v", err)
		}
	}
	got := b.waitExits(t, 1)
	if got[0].Ref != a.Ref() || len(got) != 1 || force && got[0].Code != executor.CodeUnknown {
		t.Errorf("exits: got %+v, want one of %+v", got, a.Ref())
	}
	if err := b.Cancel(t.Context(), a.AttemptID, force); err != nil {
		t.Errorf("Cancel of an exited attempt: got %v, want nil", err)
	}
}

func exitsOnce(t *testing.T, b *bench) {
	want := map[string]executor.Exit{}
	for code := range 4 {
		a := NewAttempt(messages.PhasePlan)
		b.mustStart(t, a)
		b.Finish(t, a.AttemptID, code)
		want[a.AttemptID] = executor.Exit{Ref: a.Ref(), Code: code}
	}
	b.waitExits(t, len(want))
	b.close(t)
	b.open(t) // a second report would come from here
	last := NewAttempt(messages.PhasePlan)
	b.mustStart(t, last)
	b.Finish(t, last.AttemptID, 0)
	want[last.AttemptID] = executor.Exit{Ref: last.Ref()}
	got := map[string]executor.Exit{}
	for _, e := range b.waitExits(t, len(want)) {
		if _, twice := got[e.AttemptID]; twice {
			t.Errorf("the exit of %s was reported twice", e.AttemptID)
		}
		got[e.AttemptID] = e
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("exits (-want +got):\n%s", diff)
	}
}

func exitRepeated(t *testing.T, b *bench) {
	b.mu.Lock()
	b.fail = 1
	b.mu.Unlock()
	a := NewAttempt(messages.PhasePlan)
	b.mustStart(t, a)
	b.Finish(t, a.AttemptID, 3)
	want := []executor.Exit{{Ref: a.Ref(), Code: 3}}
	if diff := cmp.Diff(want, b.waitExits(t, 1)); diff != "" {
		t.Errorf("exits (-want +got):\n%s", diff)
	}
}

func adopt(t *testing.T, b *bench) {
	a := NewAttempt(messages.PhaseApply)
	b.mustStart(t, a)
	b.waitStarted(t, a.AttemptID)
	b.close(t)
	b.open(t)
	b.wantStatus(t, a.AttemptID, executor.Status{State: executor.Running})
	b.wantRunning(t, a.Ref())
	b.mustStart(t, a)
	b.Finish(t, a.AttemptID, 0)
	got := b.waitExits(t, 1)
	// Only the parent of a process learns its exit code, so an adopted one's may be unknown.
	if len(got) != 1 || got[0].Ref != a.Ref() || got[0].Code != 0 && got[0].Code != executor.CodeUnknown {
		t.Errorf("exits: got %+v, want one of %+v", got, a.Ref())
	}
	b.wantRunning(t)
	if got := b.Starts(t, a.AttemptID); got != 1 {
		t.Errorf("got %d runners, want 1", got)
	}
}

func exitInBetween(t *testing.T, b *bench) {
	a := NewAttempt(messages.PhaseApply)
	b.mustStart(t, a)
	b.waitStarted(t, a.AttemptID)
	b.close(t)
	b.Finish(t, a.AttemptID, 70)
	b.open(t)
	got := b.waitExits(t, 1)
	if len(got) != 1 || got[0].Ref != a.Ref() || got[0].Code == 0 {
		t.Errorf("exits: got %+v, want one of %+v that failed", got, a.Ref())
	}
}
