package run_test

import (
	"strings"
	"testing"
	"time"

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
			"errored", messages.CodeRunTimedOut, []string{"The plan did not end within 2h,", "Nothing was changed", "--plan-timeout"}},
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
