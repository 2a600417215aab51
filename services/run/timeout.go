package run

import (
	"fmt"
	"strings"
	"time"

	"gantry.example/messages"
)

// timeout asks a started attempt that passed its limit to stop. One that was asked before is not asked again.
func (m *machine) timeout(t *Task, a *Attempt, in Timeout) {
	if asked, _ := m.run.StopAsked(a.ID); asked || a.State == AttemptClaimed {
		return
	}
	limit := shortDuration(in.Limit)
	m.emit(EventTimedOut, Data{
		TaskID: t.ID, Phase: t.Phase, AttemptID: a.ID, Limit: limit,
		Message: fmt.Sprintf("The %s did not end within %s, its limit, and is asked to stop.", t.Phase, limit),
	})
}

// timedOut ends a run whose attempt was stopped for its limit. d has what its result said, if there is one.
func (m *machine) timedOut(t *Task, a *Attempt, d Data) {
	said := "Nothing was changed."
	if t.Phase == messages.PhaseApply {
		said = "What it had changed by then is in the state."
		if d.Outcome == Failed {
			said = d.Message // how it ended: perhaps it had to be killed
		}
	}
	d.Code = messages.CodeRunTimedOut
	d.Message = fmt.Sprintf("The %s did not end within %s, its limit, and was stopped. %s Start a new run, and raise the server's --%s-timeout if the work needs longer.",
		t.Phase, m.run.Overrun.Limit, said, t.Phase)
	m.end(EventErrored, t, a.ID, d)
}

// overran reports whether the task was asked to stop for its limit.
func (r *Run) overran(t *Task) bool { return r.Overrun != nil && r.Overrun.Phase == t.Phase }

// StopAsked reports whether the attempt was asked to stop, by a cancel of its run or for its limit, and whether by force.
func (r *Run) StopAsked(attemptID string) (asked, force bool) {
	t, _ := r.Attempt(attemptID)
	return r.CancelRequested || (t != nil && r.overran(t)), r.ForceRequested
}

// shortDuration is the duration without the zeros that time.Duration ends with: "2h", not "2h0m0s".
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
