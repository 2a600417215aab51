package run_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gantry.example/messages"
	"gantry.example/services/run"
)

func TestFiveClaimsInARowThatNeverStart(t *testing.T) {
	t.Parallel()
	for _, phase := range []messages.Phase{messages.PhasePlan, messages.PhaseApply} {
		s := tell(run.Options{}).give(run.Queue{})
		if phase == messages.PhaseApply {
			s.planned().give(run.Confirm{})
		}
		for n := 1; n <= run.MaxUnstarted; n++ {
			if s.task().State != run.TaskQueued {
				t.Fatalf("%s: before claim %d the task is %s, want queued", phase, n, s.task().State)
			}
			s.claimed().give(run.ExpireClaim{AttemptID: s.attempt().ID})
		}
		if got, want := s.run.Status, run.Errored; got != want || s.run.OutcomeUnknown || s.run.Code != messages.CodeRunNeverStarted {
			t.Errorf("%s: got %s with code %s, want %s with %s and a known outcome", phase, shown(s.run), s.run.Code, want, messages.CodeRunNeverStarted)
		}
		if got, want := s.task().Outcome, run.Lost; got != want {
			t.Errorf("%s: got outcome %q of the task, want %q", phase, got, want)
		}
	}
}

func TestAStartEndsTheRowOfUnstartedClaims(t *testing.T) {
	t.Parallel()
	s := tell(run.Options{}).give(run.Queue{})
	for range run.MaxUnstarted - 1 {
		s.claimed().give(run.ExpireClaim{AttemptID: s.attempt().ID})
	}
	s.started().lost()
	s.claimed().give(run.ExpireClaim{AttemptID: s.attempt().ID})
	if got, want := s.run.Status, run.PlanQueued; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestThreeRetriesOfAPlan(t *testing.T) {
	t.Parallel()
	ways := map[string]func(*story) run.Input{
		"lose contact": func(s *story) run.Input { return run.LoseContact{AttemptID: s.attempt().ID} },
		"exit":         func(s *story) run.Input { return run.Exit{AttemptID: s.attempt().ID, Detail: "killed"} },
		"interrupted":  func(s *story) run.Input { return s.finish(run.Stopped, false) },
	}
	for name, way := range ways {
		s := tell(run.Options{}).give(run.Queue{})
		for n := 1; n <= run.MaxRetries; n++ {
			s.started().give(way(s))
			if got, want := s.run.Status, run.PlanQueued; got != want || s.task().Retries != n {
				t.Fatalf("%s: after loss %d: got %s and %d retries, want %s and %d", name, n, got, s.task().Retries, want, n)
			}
		}
		s.started().give(way(s))
		if got, want := s.run.Status, run.Errored; got != want || s.run.Code != messages.CodeRunLost {
			t.Errorf("%s: got %s with code %s, want %s with %s", name, got, s.run.Code, want, messages.CodeRunLost)
		}
		if got, want := len(s.task().Attempts), run.MaxRetries+1; got != want {
			t.Errorf("%s: got %d attempts, want %d", name, got, want)
		}
	}
}

func TestThreeRequeuesOfAStalePlan(t *testing.T) {
	t.Parallel()
	s := tell(run.Options{}).give(run.Queue{})
	for n := 1; n <= run.MaxStale+1; n++ {
		s.claimed()
		in := s.start()
		in.Current.Serial++
		s.give(in)
		if s.refusal == nil || s.refusal.Code != messages.CodeAttemptStaleBase {
			t.Fatalf("stale start %d: got refusal %v, want %s", n, s.refusal, messages.CodeAttemptStaleBase)
		}
	}
	if got, want := s.run.Status, run.Errored; got != want || s.run.Code != messages.CodeRunPlanStale || s.task().Outcome != run.Failed {
		t.Errorf("got %s with code %s and outcome %q, want %s with %s and %q", got, s.run.Code, s.task().Outcome, want, messages.CodeRunPlanStale, run.Failed)
	}
	if got, want := s.task().Queued, run.MaxStale+1; got != want {
		t.Errorf("got queued %d times, want %d", got, want)
	}
}

func TestAnApplyContinuesFromTheStateItsPlanSaw(t *testing.T) {
	t.Parallel()
	s := tell(run.Options{}).give(run.Queue{}).planned().give(run.Confirm{})
	claim := s.claim()
	claim.Base = run.StateRef{Serial: 9, Lineage: "lin"} // what the workspace has now
	s.give(claim)
	if diff := cmp.Diff(base(), s.attempt().Base); diff != "" {
		t.Fatalf("base of the apply (-want +got):\n%s", diff)
	}
	in := s.start()
	in.Current = claim.Base
	s.give(in)
	if got := s.run.Code; s.refusal == nil || s.run.Status != run.Errored || got != messages.CodeRunPlanStale {
		t.Errorf("got %s with code %s, refusal %v; want errored with %s and a refusal", s.run.Status, got, s.refusal, messages.CodeRunPlanStale)
	}
}

func TestCancelNamesTheTaskItStops(t *testing.T) {
	t.Parallel()
	s := tell(run.Options{}).give(run.Queue{}).planned().give(run.Confirm{}).give(run.Cancel{Comment: "no"})
	if got, want := []string{s.run.Plan.Outcome, s.run.Apply.Outcome}, []string{run.Succeeded, run.Stopped}; !slices.Equal(got, want) {
		t.Errorf("outcomes of plan and apply: got %v, want %v", got, want)
	}
	if s.run.Plan.Changes != nil || s.run.Code != messages.CodeRunCanceled {
		t.Errorf("got code %s, want %s", s.run.Code, messages.CodeRunCanceled)
	}
}

func TestRefusalsSayWhatToDo(t *testing.T) {
	t.Parallel()
	over := tell(run.Options{}).give(run.Queue{}).give(run.Cancel{})
	for _, c := range []struct {
		in   run.Input
		want string
	}{
		{run.Cancel{Force: true}, "only a pending, queued or running run can be canceled"},
		{run.Confirm{}, "only a planned run can be applied"},
		{run.Discard{}, "only a planned or pending run can be discarded"},
	} {
		over.give(c.in)
		if over.refusal == nil || !strings.Contains(over.refusal.Error(), c.want) {
			t.Errorf("%T: got refusal %v, want it to say %q", c.in, over.refusal, c.want)
		}
	}
}

func TestAResultIsTakenWhileItCounts(t *testing.T) {
	t.Parallel()
	for _, st := range states() {
		s := st.get()
		a := s.attempt()
		want := a.Open() && a.ID != "att-none" || s.run.OutcomeUnknown
		if got := s.run.TakesResult(a.ID); got != want {
			t.Errorf("%s: got %t, want %t", st.name, got, want)
		}
	}
}

func TestCommandsReachTheAttemptThatRuns(t *testing.T) {
	t.Parallel()
	s := tell(run.Options{}).give(run.Queue{}).started().give(run.Cancel{}).give(run.Cancel{Force: true})
	want := messages.Command{V: messages.Version, AttemptID: "att-1", Cancel: true, Force: true}
	for _, e := range s.effects {
		if e.Command != nil {
			if diff := cmp.Diff(want, *e.Command); diff != "" {
				t.Errorf("command (-want +got):\n%s", diff)
			}
			return
		}
	}
	t.Errorf("got effects %s, want a command to the attempt that was given up", effects(s.effects))
}
