package run_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gantry.example/messages"
	"gantry.example/services/run"
)

func TestARunPastItsLimit(t *testing.T) {
	t.Parallel()
	plan := func() *story { return tell(run.Options{AutoApply: true}).give(run.Queue{}).started().timedOut() }
	apply := func() *story { return tell(run.Options{}).give(run.Queue{}).applying().timedOut() }
	for _, c := range []struct {
		name  string
		story *story
		in    func(*story) run.Input
		want  string
		code  messages.Code
		says  []string
	}{
		{"a plan that stopped", plan(), func(s *story) run.Input { return s.finish(run.Stopped, false) },
			"errored", messages.CodeRunTimedOut, []string{"The plan did not end within 2h,", "Nothing was changed", "timeouts.plan", "--plan-timeout"}},
		{"a plan that failed", plan(), func(s *story) run.Input { return s.finish(run.Failed, false) },
			"errored", messages.CodeRunTimedOut, []string{"2h"}},
		{"a plan that was done all the same goes on", plan(), func(s *story) run.Input { return s.finish(run.Succeeded, true) }, "apply_queued", "", nil},
		{"a plan whose runner is gone is not tried again", plan(), func(s *story) run.Input { return run.LoseContact{AttemptID: s.attempt().ID} },
			"errored", messages.CodeRunTimedOut, []string{"2h"}},
		{"an apply that stopped", apply(), func(s *story) run.Input { return s.finish(run.Stopped, false) },
			"errored", messages.CodeRunTimedOut, []string{"The apply did not end within 2h,", "in the state", "--apply-timeout"}},
		{"an apply that had to be killed says so", apply(), func(s *story) run.Input {
			in := s.finish(run.Failed, false)
			in.Code, in.Message = messages.CodeRunCanceled, "It was killed."
			return in
		}, "errored", messages.CodeRunTimedOut, []string{"It was killed."}},
		{"an apply that was done all the same", apply(), func(s *story) run.Input { return s.finish(run.Succeeded, false) }, "applied", "", nil},
		{"an apply whose runner is gone", apply(), func(s *story) run.Input { return run.Exit{AttemptID: s.attempt().ID} },
			"errored (outcome_unknown)", messages.CodeRunOutcomeUnknown, nil},
		{"a cancel is a cancel", apply().give(run.Cancel{}), func(s *story) run.Input { return s.finish(run.Stopped, false) }, "canceled", messages.CodeRunCanceled, nil},
	} {
		s := c.story
		s.give(c.in(s))
		if got := shown(s.run); got != c.want || s.run.Code != c.code {
			t.Errorf("%s: got %s with code %q, want %s with %q", c.name, got, s.run.Code, c.want, c.code)
		}
		for _, words := range c.says {
			if !strings.Contains(s.run.Failure, words) {
				t.Errorf("%s: got failure %q, want it to say %q", c.name, s.run.Failure, words)
			}
		}
	}
}

func TestARunThatPrintsNothing(t *testing.T) {
	t.Parallel()
	s := tell(run.Options{}).give(run.Queue{}).applying()
	s.give(run.Timeout{AttemptID: s.attempt().ID, Limit: 10 * time.Minute, Silent: true})
	if got, want := effects(s.effects), "command cancel"; got != want {
		t.Errorf("got effects %q, want %q", got, want)
	}
	s.give(s.finish(run.Stopped, false))
	if s.run.Status != run.Errored || s.run.Code != messages.CodeRunSilent {
		t.Errorf("got %s with %s, want errored with %s", shown(s.run), s.run.Code, messages.CodeRunSilent)
	}
	want := "The apply printed nothing for 10m, its limit, and was stopped. What it had changed by then is in the state. " +
		"Start a new run, and raise timeouts.silence of the workspace's execution document (or the server's --silence-timeout) if the work needs longer."
	if diff := cmp.Diff(want, s.run.Failure); diff != "" {
		t.Errorf("failure (-want +got):\n%s", diff)
	}
}

// TestARunThatWaitsTooLong has the clock of a story, which moves a second with each input.
func TestARunThatWaitsTooLong(t *testing.T) {
	t.Parallel()
	limits := run.Patience{Queue: time.Minute, Approval: time.Hour}
	for _, c := range []struct {
		name  string
		story *story
		waits time.Duration
		want  string
		code  messages.Code
		says  string
	}{
		{"behind another run", tell(run.Options{}), 2 * time.Minute, "errored", messages.CodeRunQueueTimedOut, "workspace was not free"},
		{"for a worker", tell(run.Options{}).give(run.Queue{}), 2 * time.Minute, "errored", messages.CodeRunQueueTimedOut, "The plan was not begun within 1m"},
		{"not that long", tell(run.Options{}).give(run.Queue{}), 50 * time.Second, "plan_queued", "", ""},
		{"not at all", tell(run.Options{}).give(run.Queue{}).started(), 2 * time.Hour, "planning (started)", "", ""},
		{"with a worker that has not begun", tell(run.Options{}).give(run.Queue{}).claimed(), time.Hour, "plan_queued (claimed)", "", ""},
		{"approved, for a worker", tell(run.Options{}).give(run.Queue{}).planned().give(run.Confirm{}), 2 * time.Minute,
			"errored", messages.CodeRunQueueTimedOut, "The apply was not begun within 1m"},
		{"for approval", tell(run.Options{}).give(run.Queue{}).planned(), 2 * time.Hour, "discarded", messages.CodeRunApprovalTimedOut, "Nobody approved the plan within 1h"},
		{"for approval, not that long", tell(run.Options{}).give(run.Queue{}).planned(), 59 * time.Minute, "planned", "", ""},
	} {
		s := c.story
		s.at = s.at.Add(c.waits)
		s.give(run.Expire{Defaults: limits})
		if got := shown(s.run); got != c.want || s.run.Code != c.code || !strings.Contains(s.run.Failure, c.says) {
			t.Errorf("%s: got %s, %q: %s\nwant %s, %q, saying %q", c.name, got, s.run.Code, s.run.Failure, c.want, c.code, c.says)
		}
	}
}

func TestTheDocumentGoesOverTheServersLimits(t *testing.T) {
	t.Parallel()
	server := run.Patience{Plan: 2 * time.Hour, Apply: 24 * time.Hour, Queue: time.Minute}
	got := server.Over(messages.Timeouts{Plan: "10m", Queue: messages.NoTimeout, Silence: "90s", Apply: "unreadable"})
	want := run.Patience{Plan: 10 * time.Minute, Apply: 24 * time.Hour, Silence: 90 * time.Second}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestALimitIsWrittenShort(t *testing.T) {
	t.Parallel()
	for limit, want := range map[time.Duration]string{
		2 * time.Hour: "2h", 90 * time.Minute: "1h30m", 10 * time.Minute: "10m", 30 * time.Second: "30s", 90 * time.Second: "1m30s",
	} {
		s := tell(run.Options{}).give(run.Queue{}).started()
		s.give(run.Timeout{AttemptID: s.attempt().ID, Limit: limit})
		if got := s.run.Overrun.Limit; got != want {
			t.Errorf("%d s: got %q, want %q", int(limit.Seconds()), got, want)
		}
	}
}

func TestWhatPeopleSeeHasNoNonce(t *testing.T) {
	t.Parallel()
	s := tell(run.Options{}).give(run.Queue{}).applying()
	before := asJSON(t, s.run)
	seen := asJSON(t, s.run.Public())
	for _, e := range s.events {
		seen += asJSON(t, e.Public())
	}
	if strings.Contains(seen, "nonce") {
		t.Errorf("got %s, want no nonce", seen)
	}
	if !strings.Contains(before, `"nonce":"nonce-`) || !strings.Contains(before, `"runner_nonce":"runner"`) || asJSON(t, s.run) != before {
		t.Error("the run itself must keep its nonces")
	}
}
