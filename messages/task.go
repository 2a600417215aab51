package messages

import (
	"fmt"
	"time"
)

// Phase is the part of a run that one task carries out.
type Phase string

// The phases.
const (
	PhasePlan  Phase = "plan"
	PhaseApply Phase = "apply"
)

// Task announces one queued task of a run. It is a doorbell: whoever receives it claims the task over HTTPS, and only the
// claim says whether there is still anything to do. Duplicates, late and reordered copies are therefore harmless.
type Task struct {
	V              int       `json:"v"`
	ID             string    `json:"id"`              // task-…
	RunID          string    `json:"run_id"`          // run-…
	WorkspaceID    string    `json:"workspace_id"`    // ws-…
	OrganizationID string    `json:"organization_id"` // org-…
	Phase          Phase     `json:"phase"`
	Mode           Mode      `json:"mode"`
	Pool           string    `json:"pool"`               // pool id, or LocalPool
	Labels         []string  `json:"labels,omitempty"`   // canonical label set the task requires
	Strategy       Strategy  `json:"strategy,omitempty"` // how an agent is chosen, as the run has it
	Exclusive      bool      `json:"exclusive"`          // false for plan-only runs, which may run beside others
	QueuedAt       time.Time `json:"queued_at"`
	Traceparent    string    `json:"traceparent,omitempty"` // the run's trace context, also the message's header of that name
}

// Key is the exclusivity key of the task: what at most one attempt at a time may hold the lease of. It is also the last
// token of the task's subject, so that a newer task of the same key replaces an older message.
func (t Task) Key() string {
	if t.Exclusive {
		return t.WorkspaceID
	}
	return t.RunID
}

// Subject is where the task is published.
func (t Task) Subject() string {
	return TaskSubject(t.Mode, t.Pool, LabelSetToken(t.Labels), t.Key())
}

// Validate reports the first field that makes the message unusable. Such a message can never be carried out, so a reader
// terminates it instead of asking for redelivery.
func (t Task) Validate() error {
	for _, f := range []struct{ name, id, prefix string }{
		{"id", t.ID, "task-"}, {"run_id", t.RunID, "run-"}, {"workspace_id", t.WorkspaceID, "ws-"},
	} {
		if !ValidID(f.id, f.prefix) {
			return fmt.Errorf("task message: field %s: %q is not a %s… id", f.name, f.id, f.prefix)
		}
	}
	if t.Phase != PhasePlan && t.Phase != PhaseApply {
		return fmt.Errorf("task message: field phase: unknown phase %q", t.Phase)
	}
	if t.Pool == "" {
		return fmt.Errorf("task message: field pool: empty")
	}
	return nil
}
