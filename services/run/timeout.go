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
	o := Overrun{Phase: t.Phase, Limit: shortDuration(in.Limit), Silent: in.Silent}
	m.emit(EventTimedOut, Data{
		TaskID: t.ID, Phase: t.Phase, AttemptID: a.ID, Limit: o.Limit, Silent: in.Silent,
		Message: fmt.Sprintf("%s, its limit, and is asked to stop.", o.what()),
	})
}

// what says what happened, up to the limit.
func (o Overrun) what() string {
	if o.Silent {
		return fmt.Sprintf("The %s printed nothing for %s", o.Phase, o.Limit)
	}
	return fmt.Sprintf("The %s did not end within %s", o.Phase, o.Limit)
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
	o, field := m.run.Overrun, string(t.Phase)
	if d.Code = messages.CodeRunTimedOut; o.Silent {
		d.Code, field = messages.CodeRunSilent, "silence"
	}
	d.Message = fmt.Sprintf("%s, its limit, and was stopped. %s Start a new run, %s if the work needs longer.",
		o.what(), said, raise(field))
	m.end(EventErrored, t, a.ID, d)
}

// raise says where a limit is set.
func raise(field string) string {
	return fmt.Sprintf("and raise timeouts.%s of the workspace's execution document (or the server's --%s-timeout)", field, field)
}

// expire ends a run that has waited for too long, judged anew under the run's lock: it may have gone on.
func (m *machine) expire(in Expire) {
	at, limit := m.run.Expiry(in.Defaults)
	if at.IsZero() || m.env.Now.Before(at) {
		return
	}
	short := shortDuration(limit)
	if m.run.AsksApproval() {
		m.emit(EventDiscarded, Data{Code: messages.CodeRunApprovalTimedOut, Limit: short, Message: fmt.Sprintf(
			"Nobody approved the plan within %s, its limit, so it was discarded. Start a new run, %s if approval takes longer.", short, raise("approval"))})
		return
	}
	var t *Task // the one that waits: none while the workspace is not free
	what, check := "run", "Its workspace was not free: see what it is busy with"
	if tasks := m.run.Tasks(); len(tasks) > 0 && !m.run.AtGate() {
		t = tasks[len(tasks)-1]
		what, check = string(t.Phase), fmt.Sprintf("Check the workers of pool %s", m.run.Pool)
	}
	m.end(EventErrored, t, "", Data{Code: messages.CodeRunQueueTimedOut, Outcome: Stopped, Limit: short, Message: fmt.Sprintf(
		"The %s was not begun within %s, its limit in the queue, and nothing was changed. %s, then start a new run, %s.", what, short, check, raise("queue"))})
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
