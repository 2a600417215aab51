package run

import (
	"time"

	"gantry.example/messages"
)

// Patience says how long a run may take where. Zero is no limit.
type Patience struct {
	Plan     time.Duration // from the start of the plan to its end
	Apply    time.Duration // the same of the apply
	Silence  time.Duration // of a started plan or apply without output
	Queue    time.Duration // from creation, or from approval, until a worker takes the work
	Approval time.Duration // of a planned run until somebody decides
}

// Over returns p with what the execution document says in place of its own. A document holds only timeouts that can be
// read: one that can't, from a newer server, says nothing.
func (p Patience) Over(t messages.Timeouts) Patience {
	for _, f := range []struct {
		said string
		to   *time.Duration
	}{
		{t.Plan, &p.Plan}, {t.Apply, &p.Apply}, {t.Silence, &p.Silence}, {t.Queue, &p.Queue}, {t.Approval, &p.Approval},
	} {
		if limit, said, err := messages.ParseTimeout(f.said); err == nil && said {
			*f.to = limit
		}
	}
	return p
}

// Phase is the limit of a plan or an apply.
func (p Patience) Phase(phase messages.Phase) time.Duration {
	if phase == messages.PhaseApply {
		return p.Apply
	}
	return p.Plan
}

// Expiry is when the run has waited for too long, for a worker or for approval, and the limit it passes then. The zero time
// means never: it does not wait, or has no limit. defaults are the server's.
func (r Run) Expiry(defaults Patience) (at time.Time, limit time.Duration) {
	p := defaults.Over(r.Execution.Timeouts)
	since := r.waitingSince()
	if limit = p.Queue; r.AsksApproval() {
		limit = p.Approval
	}
	if limit == 0 || since.IsZero() {
		return time.Time{}, 0
	}
	return since.Add(limit), limit
}

// waitingSince is when the run began to wait for a worker or for approval; zero if it does not. The queue is waited in from
// the creation of the run, because the user does not care behind what; a task that came back waits anew.
func (r Run) waitingSince() time.Time {
	if _, open := r.OpenAttempt(); open != nil || r.CancelRequested {
		return time.Time{}
	}
	switch r.Status {
	case Pending:
		return r.CreatedAt
	case PlanQueued:
		if r.Plan.Queued > 1 {
			return r.Plan.QueuedAt
		}
		return r.CreatedAt
	case ApplyQueued:
		return r.Apply.QueuedAt
	case Confirmed:
		return r.Timestamps[Confirmed]
	case Planned, PlannedAndSaved:
		return r.Timestamps[r.Status]
	default:
		return time.Time{}
	}
}
