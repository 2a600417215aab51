package run_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gantry.example/messages"
	"gantry.example/services/run"
)

// walker makes up inputs: sensible ones, and ones that are late, repeated, reordered or about nothing.
type walker struct {
	*story
	rnd   *rand.Rand
	given []run.Input // all inputs so far, to be repeated
}

func (w *walker) oneOf(n int) bool { return w.rnd.IntN(n) == 0 }

func (w *walker) attemptID() string {
	if n := w.ids["att-"]; n > 0 && w.oneOf(4) {
		return fmt.Sprint("att-", 1+w.rnd.IntN(n)) // any one there was
	}
	return w.story.attempt().ID
}

func (w *walker) next() run.Input {
	if len(w.given) > 0 && w.oneOf(6) {
		return w.given[w.rnd.IntN(len(w.given))]
	}
	if w.oneOf(3) {
		return w.sensible()
	}
	id := w.attemptID()
	switch w.rnd.IntN(20) {
	case 0:
		return run.Queue{}
	case 1, 2, 3:
		c := w.claim()
		if w.oneOf(5) {
			c.Nonce = w.story.attempt().Nonce
		}
		return c
	case 4, 5, 6, 7:
		in := run.Start{AttemptID: id, Nonce: fmt.Sprint("runner-", w.rnd.IntN(2)), Base: base(), Current: base()}
		if w.oneOf(6) {
			in.Current.Serial++
		}
		return in
	case 8:
		return run.Progress{AttemptID: id, Stage: messages.StageInit}
	case 9, 10:
		in := w.finish([]string{run.Succeeded, run.Succeeded, run.Succeeded, run.Succeeded, run.Failed, run.Stopped, run.Lost}[w.rnd.IntN(7)], w.oneOf(2))
		in.AttemptID = id
		return in
	case 11:
		return run.Exit{AttemptID: id, Detail: "killed", Final: len(w.story.events)%8 == 0}
	case 12:
		return run.ExpireClaim{AttemptID: id}
	case 13, 14:
		return run.LoseContact{AttemptID: id}
	case 15:
		return run.RegainContact{AttemptID: id}
	case 16:
		return run.GiveUp{AttemptID: id}
	case 17:
		if w.oneOf(8) {
			return run.Discard{}
		}
		if w.oneOf(16) {
			return run.Release{}
		}
		if w.oneOf(4) {
			return run.Recover{RunID: "run-2", Force: w.oneOf(2)}
		}
		return run.Confirm{}
	case 18:
		return run.Confirm{}
	default:
		if w.oneOf(8) {
			return run.Timeout{AttemptID: id, Limit: time.Hour, Silent: w.oneOf(2)}
		}
		if w.oneOf(12) {
			return run.Expire{Defaults: run.Patience{Queue: 25 * time.Second, Approval: 25 * time.Second}}
		}
		if w.oneOf(3) {
			return run.Cancel{Force: w.oneOf(2)}
		}
		return run.Queue{}
	}
}

// sensible is what brings the run on: without it few lives would come far.
func (w *walker) sensible() run.Input {
	switch a := w.story.attempt(); {
	case w.run.CancelRequested:
		return run.Cancel{Force: true}
	case w.task() == nil, w.run.Status == run.Confirmed:
		return run.Queue{}
	case w.run.Status == run.Planned, w.run.Status == run.PlannedAndSaved:
		return run.Confirm{}
	case w.task().State == run.TaskQueued:
		return w.claim()
	case a.State == run.AttemptClaimed:
		return w.start()
	default:
		return w.finish(run.Succeeded, true)
	}
}

func TestRandomLives(t *testing.T) {
	t.Parallel()
	ended := map[run.Status]int{}
	for seed := range uint64(900) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		w := &walker{story: tell(run.Options{PlanOnly: rnd.IntN(5) == 0, AutoApply: rnd.IntN(3) == 0, SavePlan: rnd.IntN(2) == 0}), rnd: rnd}
		for range 40 {
			in := w.next()
			w.given = append(w.given, in)
			before := asJSON(t, w.run)
			was := w.run
			w.give(in)
			if got := asJSON(t, was); got != before {
				t.Fatalf("seed %d: %T changed the run it was given (-before +after):\n%s", seed, in, cmp.Diff(before, got))
			}
			if problem := broken(was, w.story, in); problem != "" {
				t.Fatalf("seed %d: after %T%+v from %s to %s: %s", seed, in, in, shown(was), shown(w.run), problem)
			}
		}
		ended[w.run.Status]++
		replay(t, seed, w.story)
	}
	for _, s := range run.Statuses() {
		if ended[s] == 0 && s != run.Pending {
			t.Errorf("no random life ended %s, so the walk is not random enough: %v", s, ended)
		}
	}
}

// broken names the first rule that a step breaks.
func broken(was run.Run, s *story, in run.Input) string {
	r := s.run
	open, started := 0, 0
	for _, t := range r.Tasks() {
		for i, a := range t.Attempts {
			if a.Number != i+1 {
				return fmt.Sprintf("attempt %d of the %s has number %d", i+1, t.Phase, a.Number)
			}
			if a.Open() {
				open++
			}
			if t.Phase == messages.PhaseApply && a.StartedAt != nil {
				started++
			}
		}
		if (t.State == run.TaskClaimed || t.State == run.TaskStarted) != (t.Last() != nil && t.Last().Open()) {
			return fmt.Sprintf("the %s is %s, its attempts are %+v", t.Phase, t.State, t.Attempts)
		}
		if r.Status.Final() && t.State != run.TaskFinished {
			return fmt.Sprintf("the run is over, its %s is %s", t.Phase, t.State)
		}
	}
	late, isResult := in.(run.Finish)
	_, released := in.(run.Release)
	_, recovered := in.(run.Recover)
	resolved := was.OutcomeUnknown && !r.OutcomeUnknown && isResult && late.AttemptID == was.Apply.Last().ID
	switch {
	case open > 1:
		return fmt.Sprintf("%d attempts are open", open)
	case started > 1:
		return fmt.Sprintf("the apply started %d times", started)
	case was.Status.Final() && r.Seq != was.Seq && !resolved && !(was.OutcomeUnknown && (released || recovered)):
		return "a run that was over changed"
	case r.Holds() != (r.Exclusive() && r.Status != run.PlannedAndSaved && (!r.Status.Final() || r.OutcomeUnknown)):
		return "it holds the gate against the rule"
	case r.OutcomeUnknown && (r.Status != run.Errored || r.Apply == nil || r.Apply.Last().StartedAt == nil):
		return "an unknown outcome without an apply that started"
	case r.Seq != int64(len(s.events)):
		return "a number is missing among the events"
	}
	return brokenEffects(was, s)
}

// brokenEffects checks that the outside world is told exactly what changed.
func brokenEffects(was run.Run, s *story) string {
	want := map[string]int{}
	for _, t := range s.run.Tasks() {
		old := was.TaskByID(t.ID)
		wasQueued := old != nil && old.State == run.TaskQueued
		switch {
		case t.State == run.TaskQueued && !wasQueued:
			want["publish "+string(t.Phase)]++
		case t.State == run.TaskFinished && wasQueued:
			want["delete "+string(t.Phase)]++
		}
	}
	if was.Holds() && !s.run.Holds() {
		want["free"]++
	}
	if s.run.Status == run.Confirmed && was.Status != run.Confirmed {
		want["wait"]++
	}
	got := map[string]int{}
	for _, e := range s.effects {
		if e.Command == nil {
			got[effects([]run.Effect{e})]++
		}
	}
	return cmp.Diff(want, got)
}

// replay folds the events again, as stored: all of them, every one twice, and after an old one came again.
func replay(t *testing.T, seed uint64, s *story) {
	t.Helper()
	want := asJSON(t, s.run)
	var again run.Run
	for i, e := range s.events {
		var stored run.Event
		if err := json.Unmarshal([]byte(asJSON(t, e)), &stored); err != nil {
			t.Fatal(err)
		}
		again = run.Fold(again, stored)
		again = run.Fold(again, stored)
		again = run.Fold(again, s.events[i/2])
	}
	if got := asJSON(t, again); got != want {
		t.Fatalf("seed %d: the replayed run differs (-want +got):\n%s", seed, cmp.Diff(want, got))
	}
}
