package run

import (
	"fmt"
	"time"

	"gantry.example/messages"
)

// A run whose outcome is unknown keeps its workspace locked until a person has looked. To look is a run of its own, the
// recovery: a refresh-only plan that passes the lock by reference (Spec.Recovers) and does not move the epoch, so that a late
// result or state of the lost runner still counts, and withdraws it. Its confirmation takes the lock over and moves the epoch.

// recover lets a recovery with the id in begin for the lost run, which is given up first if it is still waited for.
func (m *machine) recover(in Recover) *Refusal {
	t, a := m.run.OpenAttempt()
	switch {
	case m.run.OutcomeUnknown:
	case a == nil || t.Phase != messages.PhaseApply || a.State == AttemptClaimed:
		return m.notAllowed("recovered", "only a run whose outcome is unknown, or whose runner was lost in its apply, can be")
	case a.State != AttemptLost:
		return m.notAllowed("recovered", "its runner is alive. Cancel the run if it should stop")
	case !in.Force:
		return m.notAllowed("recovered", fmt.Sprintf("contact to its runner on %s was lost at %s and may come back. If you know that it is gone, use force", a.Worker, a.LostAt.UTC().Format(time.RFC3339)))
	default:
		m.vanished(t, a, "given up by "+m.env.Actor)
	}
	m.emit(EventRecovering, Data{RelatedRun: in.RunID})
	return nil
}

// settle ends a recovery that was confirmed and has nothing to apply.
func (m *machine) settle() {
	m.end(EventRecovered, m.run.Plan, "", Data{Outcome: Succeeded, Changes: m.run.Plan.Changes})
}

// withdraw ends a recovery that has lost its reason. One that was confirmed goes on: it has the workspace.
func (m *machine) withdraw(in Withdraw) {
	switch {
	case !m.run.Borrows() || m.run.Status.Final():
	case m.run.Status == Planned:
		m.emit(EventDiscarded, Data{Message: in.Why})
	default:
		_ = m.cancel(Cancel{Comment: in.Why}) // never refused: it is neither over nor planned
	}
}

// Borrows reports whether the run is a recovery that was not confirmed yet: it runs by the lock of the run it recovers.
func (r Run) Borrows() bool { return r.Recovers != "" && !r.Confirmed }

// ExclusiveTask reports whether the task needs the lease and the epoch of the workspace. The plan of a recovery does not: it
// writes nothing, and the lost runner may come back meanwhile.
func (r Run) ExclusiveTask(phase messages.Phase) bool {
	return r.Exclusive() && (r.Recovers == "" || phase == messages.PhaseApply)
}

// The conditions of an apply whose runner nobody hears of.
const (
	ConditionContactLost    = "contact_lost"
	ConditionOutcomeUnknown = "outcome_unknown"
)

// Condition is what a person must know about an apply whose runner is lost.
type Condition struct {
	Name        string     `json:"name"` // contact_lost or outcome_unknown
	TaskID      string     `json:"task_id"`
	AttemptID   string     `json:"attempt_id"`
	Epoch       int64      `json:"epoch"`
	Holder      string     `json:"holder"`                 // the worker whose runner it was
	LastContact *time.Time `json:"last_contact,omitempty"` // the last sign of life: of its lease, an event, a state or its log
	LostAt      *time.Time `json:"lost_at,omitempty"`      // when contact was found to be lost
	GivenUpAt   *time.Time `json:"given_up_at,omitempty"`  // when the outcome became unknown
	WaitedFor   *time.Time `json:"waited_for,omitempty"`   // until then the runner may come back by itself
	Reason      string     `json:"reason,omitempty"`       // why it was given up
	Sightings
	Recovery string `json:"recovery,omitempty"` // id of the run that recovers it
	NextStep string `json:"next_step"`
}

// Sightings are the last traces of a runner, as they are stored.
type Sightings struct {
	LastEvent   EventType  `json:"last_event,omitempty"`
	LastEventAt *time.Time `json:"last_event_at,omitempty"`
	// LastState is the newest state of the attempt that counts, and LastStateID names its version.
	LastState   *StateRef  `json:"last_state,omitempty"`
	LastStateID string     `json:"last_state_id,omitempty"`
	LastStateAt *time.Time `json:"last_state_at,omitempty"`
	PrintedAt   *time.Time `json:"printed_at,omitempty"` // when the last of its log was stored
	KeptAside   int        `json:"kept_aside,omitempty"` // its states that did not count
}

// Surrounding facts of a condition.
type Around struct {
	Workspace string        // ORG/NAME
	LeaseTTL  time.Duration // plus what the reconciler waits: contact was there this long before it was found lost
	LostAfter time.Duration // contact is waited for; zero: not known
	Recovery  *Run          // that recovers the run, if there is one
	Seen      Sightings
}

// Condition describes a run whose runner was lost in its apply; nil for any other.
func (r Run) Condition(s Around) *Condition {
	a := r.Apply.Last()
	if a == nil {
		a = &Attempt{} // of a restored server, which does not know who had it
	}
	if a.State != AttemptLost && !r.OutcomeUnknown {
		return nil
	}
	c := &Condition{
		Name: ConditionContactLost, TaskID: r.Apply.ID, AttemptID: a.ID, Epoch: a.Epoch, Holder: a.Worker, LostAt: a.LostAt,
		Reason: a.CloseReason, Sightings: s.Seen, Recovery: r.Recovery,
	}
	c.LastContact = latest(a.StartedAt, s.Seen.LastEventAt, s.Seen.LastStateAt, s.Seen.PrintedAt, before(a.LostAt, s.LeaseTTL))
	if r.OutcomeUnknown {
		c.Name, c.GivenUpAt = ConditionOutcomeUnknown, a.ClosedAt
		c.NextStep = r.recoveryStep(s)
		return c
	}
	until := "for a while"
	if s.LostAfter > 0 {
		at := a.LostAt.Add(s.LostAfter)
		c.WaitedFor, until = &at, "until "+at.UTC().Format(time.RFC3339)
	}
	c.NextStep = fmt.Sprintf("Its runner is waited for %s, then the outcome is unknown. If you know that it is gone: gantry runs recover %s --force", until, r.ID)
	return c
}

// recoveryStep says how an unknown outcome is settled.
func (r Run) recoveryStep(s Around) string {
	switch {
	case s.Recovery == nil || s.Recovery.Status.Final():
		return fmt.Sprintf("Compare the saved state with reality: gantry runs recover %s starts a refresh-only plan. Or free the workspace as it is: gantry workspaces unlock %s --force", r.ID, s.Workspace)
	case s.Recovery.Status == Planned:
		return fmt.Sprintf("Read the plan of recovery %s, then gantry runs apply %[1]s makes it the state and unlocks the workspace, and gantry runs discard %[1]s leaves it locked", s.Recovery.ID)
	default:
		return fmt.Sprintf("Recovery %s compares the saved state with reality: gantry runs logs -f %[1]s", s.Recovery.ID)
	}
}

func latest(times ...*time.Time) *time.Time {
	var out *time.Time
	for _, t := range times {
		if t != nil && (out == nil || t.After(*out)) {
			out = t
		}
	}
	return out
}

func before(t *time.Time, d time.Duration) *time.Time {
	if t == nil {
		return nil
	}
	at := t.Add(-d)
	return &at
}
