package run_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gantry.example/messages"
	"gantry.example/services/run"
)

// state is a place in the life of a run, by the shortest way there.
type state struct {
	name string
	get  func() *story
}

func states() []state {
	full := func(f func(*story) *story) func() *story {
		return func() *story { return f(tell(run.Options{}).give(run.Queue{})) }
	}
	planOnly := func(f func(*story) *story) func() *story {
		return func() *story { return f(tell(run.Options{PlanOnly: true}).give(run.Queue{})) }
	}
	saved := func(f func(*story) *story) func() *story {
		return func() *story { return f(tell(run.Options{SavePlan: true}).give(run.Queue{}).planned()) }
	}
	recovery := func(f func(*story) *story) func() *story {
		return func() *story { return f(tellOf(run.Options{RefreshOnly: true}, "run-0").give(run.Queue{})) }
	}
	same := func(s *story) *story { return s }
	cancel, force := run.Cancel{}, run.Cancel{Force: true}
	return []state{
		{"not begun", func() *story { return &story{ids: map[string]int{}} }},
		{"pending", func() *story { return tell(run.Options{}) }},
		{"plan_queued", full(same)},
		{"plan_queued, claimed", full((*story).claimed)},
		{"plan_queued again after a claim expired", full(func(s *story) *story {
			return s.claimed().give(run.ExpireClaim{AttemptID: "att-1"})
		})},
		{"planning", full((*story).started)},
		{"planning, auto-apply", func() *story { return tell(run.Options{AutoApply: true}).give(run.Queue{}).started() }},
		{"planning, cancel requested", full(func(s *story) *story { return s.started().give(cancel) })},
		{"plan_queued again after contact was lost", full(func(s *story) *story { return s.started().lost() })},
		{"planning, third retry", full(func(s *story) *story {
			return s.started().lost().started().lost().started().lost().started()
		})},
		{"planned", full((*story).planned)},
		{"apply_queued", full(func(s *story) *story { return s.planned().give(run.Confirm{}) })},
		{"apply_queued, claimed", full(func(s *story) *story { return s.planned().give(run.Confirm{}).claimed() })},
		{"applying", full((*story).applying)},
		{"applying, cancel requested", full(func(s *story) *story { return s.applying().give(cancel) })},
		{"applying, force requested", full(func(s *story) *story { return s.applying().give(cancel).give(force) })},
		{"applying, contact_lost", full(func(s *story) *story { return s.applying().lost() })},
		{"applying, contact_lost, cancel requested", full(func(s *story) *story { return s.applying().lost().give(cancel) })},
		{"planning, timed out", full(func(s *story) *story { return s.started().timedOut() })},
		{"applying, timed out", full(func(s *story) *story { return s.applying().timedOut() })},
		{"applying, timed out, contact_lost", full(func(s *story) *story { return s.applying().timedOut().lost() })},
		{"applying, timed out, cancel requested", full(func(s *story) *story { return s.applying().timedOut().give(cancel) })},
		{"applied", full(func(s *story) *story { return s.applying().give(s.finish(run.Succeeded, false)) })},
		{"planned_and_finished", full(func(s *story) *story { return s.started().give(s.finish(run.Succeeded, false)) })},
		{"discarded", full(func(s *story) *story { return s.planned().give(run.Discard{}) })},
		{"errored plan", full(func(s *story) *story { return s.started().give(s.finish(run.Failed, false)) })},
		{"errored apply", full(func(s *story) *story { return s.applying().give(s.finish(run.Failed, false)) })},
		{"errored, outcome_unknown", full((*story).unknown)},
		{"errored, outcome_unknown, cancel requested", full(func(s *story) *story {
			return s.applying().give(cancel).give(run.Exit{AttemptID: s.attempt().ID})
		})},
		{"errored, outcome_unknown, recovering", full(func(s *story) *story {
			return s.unknown().give(run.Recover{RunID: "run-2"})
		})},
		{"errored, outcome was unknown, recovered", full(func(s *story) *story {
			return s.unknown().give(run.Recover{RunID: "run-2"}).give(run.Release{By: "run-2"})
		})},
		{"recovery plan_queued", recovery(same)},
		{"recovery planning", recovery((*story).started)},
		{"recovery planned", recovery((*story).planned)},
		{"recovery planned, no changes", recovery(func(s *story) *story { return s.started().give(s.finish(run.Succeeded, false)) })},
		{"recovery applying", recovery((*story).applying)},
		{"recovery without changes, confirmed", recovery(func(s *story) *story {
			return s.started().give(s.finish(run.Succeeded, false)).give(run.Confirm{})
		})},
		{"canceled", full(func(s *story) *story { return s.give(cancel) })},
		{"canceled, was claimed", full(func(s *story) *story { return s.claimed().give(cancel) })},
		{"force_canceled", full(func(s *story) *story { return s.started().give(cancel).give(force) })},
		{"planned_and_saved", saved(same)},
		{"confirmed", saved(func(s *story) *story { return s.give(run.Confirm{}) })},
		{"confirmed, canceled", saved(func(s *story) *story { return s.give(run.Confirm{}).give(cancel) })},
		{"saved plan, apply_queued, claimed", saved(func(s *story) *story { return s.give(run.Confirm{}).give(run.Queue{}).claimed() })},
		{"plan-only plan_queued, claimed", planOnly((*story).claimed)},
		{"plan-only planning", planOnly((*story).started)},
		{"plan-only planning, cancel requested", planOnly(func(s *story) *story { return s.started().give(cancel) })},
		{"plan-only planned_and_finished", planOnly((*story).planned)},
	}
}

type input struct {
	name string
	get  func(*story) run.Input
}

func inputs() []input {
	plain := func(in run.Input) func(*story) run.Input { return func(*story) run.Input { return in } }
	claim := func(edit func(*story, *run.Claim)) func(*story) run.Input {
		return func(s *story) run.Input {
			c := s.claim()
			edit(s, &c)
			return c
		}
	}
	start := func(edit func(*run.Start)) func(*story) run.Input {
		return func(s *story) run.Input {
			in := s.start()
			edit(&in)
			return in
		}
	}
	finish := func(outcome string, changes bool) func(*story) run.Input {
		return func(s *story) run.Input { return s.finish(outcome, changes) }
	}
	moved := run.StateRef{Serial: 5, Lineage: "lin"}
	return []input{
		{"create", plain(run.Create{Spec: run.Spec{ID: "run-1", WorkspaceID: "ws-1"}})},
		{"queue", plain(run.Queue{})},
		{"claim", claim(func(*story, *run.Claim) {})},
		{"claim, same nonce", claim(func(s *story, c *run.Claim) { c.Nonce = s.attempt().Nonce })},
		{"claim, unknown task", claim(func(_ *story, c *run.Claim) { c.TaskID = "task-none" })},
		{"claim, plan task", claim(func(_ *story, c *run.Claim) { c.TaskID = "task-1" })},
		{"expire claim", func(s *story) run.Input { return run.ExpireClaim{AttemptID: s.attempt().ID} }},
		{"start", start(func(*run.Start) {})},
		{"start, other runner", start(func(in *run.Start) { in.Nonce = "other" })},
		{"start, state moved", start(func(in *run.Start) { in.Current = moved })},
		{"start, wrong folder", start(func(in *run.Start) { in.Base = moved })},
		{"progress", func(s *story) run.Input { return run.Progress{AttemptID: s.attempt().ID, Stage: messages.StageInit} }},
		{"finish succeeded, changes", finish(run.Succeeded, true)},
		{"finish succeeded", finish(run.Succeeded, false)},
		{"finish lost", finish(run.Lost, false)},
		{"finish failed", finish(run.Failed, false)},
		{"finish canceled", finish(run.Stopped, false)},
		{"finish of att-1", func(s *story) run.Input {
			in := s.finish(run.Succeeded, true)
			in.AttemptID = "att-1"
			return in
		}},
		{"exit", func(s *story) run.Input { return run.Exit{AttemptID: s.attempt().ID, Detail: "killed"} }},
		{"exit, not begun", func(s *story) run.Input {
			return run.Exit{AttemptID: s.attempt().ID, Detail: "killed", NotBegun: true}
		}},
		{"exit, final", func(s *story) run.Input {
			return run.Exit{AttemptID: s.attempt().ID, Detail: "The image is not there.", Final: true}
		}},
		{"exit of att-1", plain(run.Exit{AttemptID: "att-1", Detail: "killed"})},
		{"lose contact", func(s *story) run.Input { return run.LoseContact{AttemptID: s.attempt().ID} }},
		{"regain contact", func(s *story) run.Input { return run.RegainContact{AttemptID: s.attempt().ID} }},
		{"give up", func(s *story) run.Input { return run.GiveUp{AttemptID: s.attempt().ID} }},
		{"time out", func(s *story) run.Input { return run.Timeout{AttemptID: s.attempt().ID, Limit: time.Hour} }},
		{"time out of output", func(s *story) run.Input {
			return run.Timeout{AttemptID: s.attempt().ID, Limit: time.Minute, Silent: true}
		}},
		{"expire", plain(run.Expire{Defaults: run.Patience{Queue: time.Nanosecond, Approval: time.Nanosecond}})},
		{"expire, without limits", plain(run.Expire{})},
		{"confirm", plain(run.Confirm{})},
		{"discard", plain(run.Discard{})},
		{"release", plain(run.Release{})},
		{"restored", plain(run.Restored{At: time.Unix(0, 0)})},
		{"release, by a recovery", plain(run.Release{By: "run-2"})},
		{"recover", plain(run.Recover{RunID: "run-2"})},
		{"recover by force", plain(run.Recover{RunID: "run-2", Force: true})},
		{"withdraw", plain(run.Withdraw{Why: "it is known"})},
		{"cancel", plain(run.Cancel{})},
		{"force cancel", plain(run.Cancel{Force: true})},
	}
}

// shown is a run's status with the conditions that are not in it.
func shown(r run.Run) string {
	out := string(r.Status)
	if _, a := r.OpenAttempt(); a != nil {
		out += " (" + string(a.State) + ")"
	}
	if r.OutcomeUnknown {
		out += " (outcome_unknown)"
	}
	return out
}

// table says for every state and every input what follows. Inputs that change nothing and are not refused share a line.
func table() string {
	var b strings.Builder
	for _, st := range states() {
		fmt.Fprintf(&b, "== %s\n", st.name)
		var nothing []string
		for _, in := range inputs() {
			s := st.get()
			before := len(s.events)
			s.give(in.get(s))
			got := s.events[before:]
			if len(got) == 0 && s.refusal == nil && len(s.effects) == 0 {
				nothing = append(nothing, in.name)
				continue
			}
			line := fmt.Sprintf("%-26s", in.name)
			if len(got) > 0 {
				line += " → " + shown(s.run) + "  [" + types(got) + "]"
			}
			if len(s.effects) > 0 {
				line += "  {" + effects(s.effects) + "}"
			}
			if s.refusal != nil {
				line += "  refused: " + string(s.refusal.Code)
			}
			fmt.Fprintln(&b, line)
		}
		fmt.Fprintf(&b, "nothing: %s\n\n", strings.Join(nothing, "; "))
	}
	return b.String()
}

// TestEveryInputInEveryState compares the whole machine with testdata/transitions.golden, which is to be read by people:
// GANTRY_UPDATE_GOLDEN=1 go test ./services/run writes it anew, and the diff is what to review.
func TestEveryInputInEveryState(t *testing.T) {
	t.Parallel()
	const golden = "testdata/transitions.golden"
	got := table()
	if os.Getenv("GANTRY_UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("the machine differs from %s (-want +got):\n%s", golden, diff)
	}
}

// TestStatesAreAllReached makes sure that the table leaves no status out.
func TestStatesAreAllReached(t *testing.T) {
	t.Parallel()
	seen := map[run.Status]bool{}
	for _, st := range states() {
		seen[st.get().run.Status] = true
	}
	for _, want := range run.Statuses() {
		if !seen[want] {
			t.Errorf("no state of the table has status %s", want)
		}
	}
}
