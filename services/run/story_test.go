package run_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"gantry.example/messages"
	"gantry.example/services/run"
)

// story drives one run as the API, the projector and the reconciler do, and keeps what they would keep: its events.
// Ids are counted and the clock is its own, so that the same story is always the same.
type story struct {
	run     run.Run
	events  []run.Event
	effects []run.Effect // of the last input
	refusal *run.Refusal // of the last input
	at      time.Time
	ids     map[string]int
	epoch   int64
}

func tell(o run.Options) *story { return tellOf(o, "") }

// tellOf is the story of a run that recovers another one, or of an ordinary one.
func tellOf(o run.Options, recovers string) *story {
	s := &story{at: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), ids: map[string]int{}}
	s.give(run.Create{Spec: run.Spec{
		ID: "run-1", Position: 7, OrganizationID: "org-1", WorkspaceID: "ws-1", ConfigurationVersionID: "cv-1",
		Options: o, Execution: messages.Execution{Mode: messages.ModeLocal}, Pool: messages.LocalPool, CreatedBy: "ada",
		Recovers: recovers,
	}})
	return s
}

// env counts ids only when Transition takes them, and moves the clock.
func (s *story) env() run.Env {
	s.at = s.at.Add(time.Second)
	return run.Env{Now: s.at, Actor: "ada", NewID: func(prefix string) string {
		s.ids[prefix]++
		return fmt.Sprintf("%s%d", prefix, s.ids[prefix])
	}}
}

// give carries out one input.
func (s *story) give(in run.Input) *story {
	before := s.run
	var events []run.Event
	events, s.refusal = run.Transition(before, in, s.env())
	for _, e := range events {
		s.run = run.Fold(s.run, e)
	}
	s.events = append(s.events, events...)
	s.effects = run.Effects(before, s.run)
	return s
}

func base() run.StateRef { return run.StateRef{Serial: 4, Lineage: "lin"} }

// task is the newest task.
func (s *story) task() *run.Task {
	tasks := s.run.Tasks()
	if len(tasks) == 0 {
		return nil
	}
	return tasks[len(tasks)-1]
}

func (s *story) taskID() string {
	if t := s.task(); t != nil {
		return t.ID
	}
	return "task-none"
}

// attempt is the newest attempt there was.
func (s *story) attempt() run.Attempt {
	for _, t := range []*run.Task{s.run.Apply, s.run.Plan} {
		if a := t.Last(); a != nil {
			return *a
		}
	}
	return run.Attempt{ID: "att-none"}
}

// claim is a claim of the newest task by a worker that asks for the first time.
func (s *story) claim() run.Claim {
	s.epoch++
	return run.Claim{
		TaskID: s.taskID(), Worker: "w", Nonce: fmt.Sprint("nonce-", s.epoch), Epoch: s.epoch, Base: base(), Deadline: s.at.Add(time.Minute),
	}
}

func (s *story) start() run.Start {
	return run.Start{AttemptID: s.attempt().ID, Nonce: "runner", Base: base(), Current: base()}
}

func (s *story) finish(outcome string, changes bool) run.Finish {
	return run.Finish{AttemptID: s.attempt().ID, Outcome: outcome, HasChanges: changes, Message: "", State: &run.StateRef{Serial: 5, Lineage: "lin"}}
}

// The chapters of a life, each ending where its name says.

func (s *story) claimed() *story { return s.give(s.claim()) }
func (s *story) started() *story { return s.claimed().give(s.start()) }
func (s *story) planned() *story { return s.started().give(s.finish(run.Succeeded, true)) }
func (s *story) applying() *story {
	return s.planned().give(run.Confirm{}).started()
}
func (s *story) lost() *story { return s.give(run.LoseContact{AttemptID: s.attempt().ID}) }
func (s *story) timedOut() *story {
	return s.give(run.Timeout{AttemptID: s.attempt().ID, Limit: 2 * time.Hour})
}
func (s *story) unknown() *story {
	return s.applying().give(run.Exit{AttemptID: s.attempt().ID, Detail: "killed"})
}

func types(events []run.Event) string {
	var out []string
	for _, e := range events {
		out = append(out, string(e.Type))
	}
	return strings.Join(out, " ")
}

func effects(list []run.Effect) string {
	var out []string
	for _, e := range list {
		switch {
		case e.Publish != nil:
			out = append(out, "publish "+string(e.Publish.Phase))
		case e.Delete != nil:
			out = append(out, "delete "+string(e.Delete.Phase))
		case e.Command != nil && e.Command.Force:
			out = append(out, "command force")
		case e.Command != nil:
			out = append(out, "command cancel")
		case e.TakeOver != "":
			out = append(out, "take over "+e.TakeOver)
		case e.Withdraw != "":
			out = append(out, "withdraw "+e.Withdraw)
		case e.Free:
			out = append(out, "free")
		case e.Wait:
			out = append(out, "wait")
		}
	}
	return strings.Join(out, ", ")
}

func asJSON(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
