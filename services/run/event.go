package run

import (
	"time"

	"gantry.example/messages"
)

// EventType names a change of a run.
type EventType string

// The event types. Readers of run_events keep types they do not know and fold nothing from them.
const (
	EventCreated         EventType = "created"
	EventPlanQueued      EventType = "plan_queued"
	EventClaimed         EventType = "claimed"
	EventClaimExpired    EventType = "claim_expired"
	EventStarted         EventType = "started"
	EventBaseStale       EventType = "base_stale" // a start was refused because the state had moved
	EventProgress        EventType = "progress"
	EventPlanned         EventType = "planned"
	EventConfirmed       EventType = "confirmed"
	EventApplyQueued     EventType = "apply_queued"
	EventApplied         EventType = "applied"
	EventErrored         EventType = "errored"
	EventCancelRequested EventType = "cancel_requested"
	EventCanceled        EventType = "canceled"
	EventDiscarded       EventType = "discarded" // by a person, or because nobody approved in time
	EventRequeued        EventType = "requeued"  // the task goes back to the queue
	EventContactLost     EventType = "contact_lost"
	EventContactRegained EventType = "contact_regained"
	EventOutcomeUnknown  EventType = "outcome_unknown"
	EventReleased        EventType = "released"   // a person took the unknown outcome on and freed the workspace
	EventTimedOut        EventType = "timed_out"  // an attempt passed the limit of its phase and is asked to stop
	EventRecovering      EventType = "recovering" // a recovery began for this run, whose outcome is unknown
	EventRecovered       EventType = "recovered"  // a recovery was confirmed that has nothing to apply
)

// Event is one change of one run. Seq counts from 1 without gaps.
type Event struct {
	RunID string    `json:"run_id"`
	Seq   int64     `json:"seq"`
	Type  EventType `json:"type"`
	At    time.Time `json:"at"`
	Actor string    `json:"actor,omitempty"` // who caused it: a user, "worker …", "reconciler"
	// SourceID is the id of the message that caused the event, if one did: the same message never causes another.
	SourceID string `json:"source_id,omitempty"`
	Data     Data   `json:"data"`
}

// Data are the facts of an event; which are set depends on its type.
type Data struct {
	Spec             *Spec          `json:"spec,omitempty"` // created
	Phase            messages.Phase `json:"phase,omitempty"`
	TaskID           string         `json:"task_id,omitempty"`
	AttemptID        string         `json:"attempt_id,omitempty"`
	Number           int            `json:"number,omitempty"`
	Epoch            int64          `json:"epoch,omitempty"`
	Worker           string         `json:"worker,omitempty"`
	Nonce            string         `json:"nonce,omitempty" jsonschema:"-"` // never shown, see Public
	Continues        string         `json:"continues,omitempty"`            // the attempt whose runner goes on with the claimed one
	Base             *StateRef      `json:"base,omitempty"`
	Deadline         *time.Time     `json:"deadline,omitempty"`
	Stage            messages.Stage `json:"stage,omitempty"`
	HasChanges       bool           `json:"has_changes,omitempty"`
	Changes          *Changes       `json:"changes,omitempty"`
	State            *StateRef      `json:"state,omitempty"`
	TerraformVersion string         `json:"terraform_version,omitempty"`
	Force            bool           `json:"force,omitempty"`
	Code             messages.Code  `json:"code,omitempty"`
	Message          string         `json:"message,omitempty"`
	Reason           string         `json:"reason,omitempty"` // why an attempt was closed
	Outcome          string         `json:"outcome,omitempty"`
	Limit            string         `json:"limit,omitempty"`  // that was passed
	Silent           bool           `json:"silent,omitempty"` // what passed it is the time without output
	// RelatedRun is the recovery that begins for a run, or that took its workspace over.
	RelatedRun string `json:"related_run,omitempty"`
}

// Fold applies e to r and leaves its argument as it was. It is total: an event of an unknown type, or about a task or
// attempt the run does not have, only moves Seq, and an event that was folded before (e.Seq ≤ r.Seq) changes nothing.
func Fold(r Run, e Event) Run {
	if e.Seq <= r.Seq {
		return r
	}
	r = r.clone()
	r.Seq = e.Seq
	d := e.Data
	switch e.Type {
	case EventCreated:
		if d.Spec != nil {
			r.Spec, r.CreatedAt = *d.Spec, e.At
			r.enter(Pending, e.At)
		}
	case EventPlanQueued:
		r.Plan = newTask(d.TaskID, messages.PhasePlan, e.At)
		r.enter(PlanQueued, e.At)
	case EventApplyQueued:
		r.Apply = newTask(d.TaskID, messages.PhaseApply, e.At)
		r.enter(ApplyQueued, e.At)
	case EventConfirmed:
		r.ConfirmedBy, r.Confirmed = e.Actor, true
		if r.Status == PlannedAndSaved {
			r.enter(Confirmed, e.At)
		}
	case EventCancelRequested:
		r.CancelRequested = true
		r.ForceRequested = r.ForceRequested || d.Force
		if r.CancelAt == nil {
			r.CancelAt = &e.At
		}
	case EventTimedOut:
		r.Overrun = &Overrun{Phase: d.Phase, Limit: d.Limit, Silent: d.Silent}
	case EventDiscarded:
		if r.Code = d.Code; d.Code != "" { // by a limit; what a person says with a discard is no failure
			r.Failure = d.Message
		}
		r.enter(Discarded, e.At)
	case EventReleased:
		r.OutcomeUnknown, r.RecoveredBy = false, d.RelatedRun
	case EventRecovering:
		r.Recovery = d.RelatedRun
	case EventClaimed, EventRequeued:
		if t := r.TaskByID(d.TaskID); t != nil {
			r.foldTask(e, t)
		}
	case EventPlanned, EventApplied, EventErrored, EventCanceled, EventOutcomeUnknown, EventRecovered:
		r.foldEnd(e)
	default:
		if task, attempt := r.Attempt(d.AttemptID); attempt != nil {
			r.foldAttempt(e, task, attempt)
		}
	}
	return r
}

// foldTask applies the events that take a task from the queue and give it back.
func (r *Run) foldTask(e Event, t *Task) {
	d := e.Data
	switch e.Type {
	case EventClaimed:
		a := Attempt{
			ID: d.AttemptID, Number: d.Number, Epoch: d.Epoch, Worker: d.Worker, Nonce: d.Nonce, State: AttemptClaimed, ClaimedAt: e.At,
			Continues: d.Continues,
		}
		if d.Base != nil {
			a.Base = *d.Base
		}
		if d.Deadline != nil {
			a.StartDeadline = *d.Deadline
		}
		t.State, t.Attempts = TaskClaimed, append(t.Attempts, a)
	case EventRequeued:
		if _, a := r.Attempt(d.AttemptID); a != nil && a.Open() {
			a.close(e)
			t.Retries++
		}
		t.State, t.QueuedAt = TaskQueued, e.At
		t.Queued++
		r.enter(queuedStatus(t.Phase), e.At)
	}
}

// foldAttempt applies the events in the life of one attempt.
func (r *Run) foldAttempt(e Event, task *Task, attempt *Attempt) {
	d := e.Data
	switch e.Type {
	case EventStarted:
		attempt.State, attempt.StartedAt, attempt.RunnerNonce = AttemptStarted, &e.At, d.Nonce
		task.State, task.Unstart = TaskStarted, 0
		r.enter(runningStatus(task.Phase), e.At)
	case EventProgress:
		attempt.Stage = d.Stage
	case EventContactLost:
		attempt.State, attempt.LostAt = AttemptLost, &e.At
	case EventContactRegained:
		attempt.State, attempt.LostAt = AttemptStarted, nil
	case EventClaimExpired:
		attempt.close(e)
		task.Unstart++
	case EventBaseStale:
		attempt.close(e)
		task.Stale++
	}
}

// foldEnd closes whatever is open and enters the status the end leads to.
func (r *Run) foldEnd(e Event) {
	d := e.Data
	if _, a := r.Attempt(d.AttemptID); a != nil {
		a.close(e)
		a.LastState = d.State
	}
	task := r.TaskByID(d.TaskID)
	if task != nil {
		task.Outcome, task.Changes = d.Outcome, d.Changes
	}
	for _, t := range r.Tasks() {
		if e.Type != EventPlanned || t == task {
			t.State = TaskFinished
		}
	}
	r.Code, r.Failure = d.Code, d.Message
	r.OutcomeUnknown = e.Type == EventOutcomeUnknown
	switch e.Type {
	case EventPlanned:
		r.HasChanges = d.HasChanges
		switch {
		case r.Options.PlanOnly || (!d.HasChanges && r.Recovers == ""): // a recovery is for a person to judge
			r.enter(PlannedAndFinished, e.At)
		case r.Options.SavePlan:
			r.enter(PlannedAndSaved, e.At)
		default:
			r.enter(Planned, e.At)
		}
	case EventRecovered:
		r.enter(PlannedAndFinished, e.At)
	case EventApplied:
		r.enter(Applied, e.At)
	case EventCanceled:
		if d.Force {
			r.enter(ForceCanceled, e.At)
		} else {
			r.enter(Canceled, e.At)
		}
	default:
		r.enter(Errored, e.At)
	}
}

func newTask(id string, phase messages.Phase, at time.Time) *Task {
	return &Task{ID: id, Phase: phase, State: TaskQueued, QueuedAt: at, Queued: 1}
}

func (a *Attempt) close(e Event) {
	if a.State == AttemptClosed && a.ClosedAt != nil {
		a.CloseReason = e.Data.Reason // a late result corrects why, not when
		return
	}
	a.State, a.ClosedAt, a.CloseReason = AttemptClosed, &e.At, e.Data.Reason
	if e.Type != EventOutcomeUnknown { // people want to know since when
		a.LostAt = nil
	}
}

func (r *Run) enter(s Status, at time.Time) {
	r.Status = s
	r.Timestamps[s] = at
}

func runningStatus(p messages.Phase) Status {
	if p == messages.PhaseApply {
		return Applying
	}
	return Planning
}

func queuedStatus(p messages.Phase) Status {
	if p == messages.PhaseApply {
		return ApplyQueued
	}
	return PlanQueued
}

// clone copies what Fold changes in place, so that callers keep their own value.
func (r Run) clone() Run {
	stamps := make(map[Status]time.Time, len(r.Timestamps)+1)
	for k, v := range r.Timestamps {
		stamps[k] = v
	}
	r.Timestamps = stamps
	r.Plan, r.Apply = r.Plan.clone(), r.Apply.clone()
	return r
}

func (t *Task) clone() *Task {
	if t == nil {
		return nil
	}
	c := *t
	c.Attempts = append([]Attempt(nil), t.Attempts...)
	return &c
}
