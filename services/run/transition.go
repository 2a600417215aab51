package run

import (
	"fmt"

	"gantry.example/messages"
)

// Transition decides what in means for r: the events to append, in order, and the refusal to answer with, if any. No
// events and no refusal means "nothing to do", as for a repeated or late input. It changes nothing itself.
func Transition(r Run, in Input, env Env) ([]Event, *Refusal) {
	if _, create := in.(Create); create != (r.Seq == 0) {
		return nil, nil // a run begins once, and nothing happens to one that did not begin
	}
	m := machine{run: r, env: env}
	var refusal *Refusal
	switch in := in.(type) {
	case Create:
		spec := in.Spec
		m.emit(EventCreated, Data{Spec: &spec})
	case Queue:
		switch r.Status {
		case Pending:
			m.emit(EventPlanQueued, Data{TaskID: env.NewID("task-")})
		case Confirmed:
			m.emit(EventApplyQueued, Data{TaskID: env.NewID("task-")})
		}
	case Claim:
		refusal = m.claim(in)
	case Start:
		refusal = m.start(in)
	case Release:
		if !r.OutcomeUnknown {
			return nil, m.notAllowed("released", "only a run whose outcome is unknown keeps its workspace after its end")
		}
		m.emit(EventReleased, Data{Message: in.Comment, RelatedRun: in.By})
	case Restored:
		m.restored(in)
	case Recover:
		refusal = m.recover(in)
	case Withdraw:
		m.withdraw(in)
	case Confirm:
		refusal = m.confirm(in)
	case Discard:
		refusal = m.discard(in)
	case Cancel:
		refusal = m.cancel(in)
	case Expire:
		m.expire(in)
	default:
		m.attemptInput(in)
	}
	return m.events, refusal
}

// machine collects the events of one transition, folding each so that the next decision sees it.
type machine struct {
	run    Run
	env    Env
	events []Event
}

func (m *machine) emit(t EventType, d Data) {
	e := Event{RunID: m.run.ID, Seq: m.run.Seq + 1, Type: t, At: m.env.Now, Actor: m.env.Actor, Data: d}
	if len(m.events) == 0 {
		e.SourceID = m.env.SourceID
	}
	if d.Spec != nil {
		e.RunID = d.Spec.ID
	}
	m.run = Fold(m.run, e)
	m.events = append(m.events, e)
}

func (m *machine) claim(in Claim) *Refusal {
	t := m.run.TaskByID(in.TaskID)
	if t == nil || m.run.Status.Final() {
		return &Refusal{messages.CodeTaskGone, fmt.Sprintf("task %s is over: run %s is %s", in.TaskID, m.run.ID, m.run.Status)}
	}
	if a := t.Last(); a != nil && a.Open() {
		if a.Nonce == in.Nonce {
			return nil // the same worker asks again: same attempt
		}
		return &Refusal{messages.CodeTaskTaken, fmt.Sprintf("task %s was claimed by worker %s", t.ID, a.Worker)}
	}
	if t.State != TaskQueued {
		return &Refusal{messages.CodeTaskGone, fmt.Sprintf("task %s is %s", t.ID, t.State)}
	}
	base := in.Base
	if t.Phase == messages.PhaseApply {
		base = m.run.Plan.Last().Base // an apply continues from what its plan saw
	}
	m.emit(EventClaimed, Data{
		TaskID: t.ID, Phase: t.Phase, AttemptID: m.env.NewID("att-"), Number: len(t.Attempts) + 1, Epoch: in.Epoch,
		Worker: in.Worker, Nonce: in.Nonce, Base: &base, Deadline: &in.Deadline,
	})
	return nil
}

// start is the only way from a claimed attempt to an executing one. Whatever it refuses never executes terraform.
func (m *machine) start(in Start) *Refusal {
	t, a := m.run.Attempt(in.AttemptID)
	switch {
	case a == nil || !a.Open():
		if m.run.Status == Canceled || m.run.Status == ForceCanceled {
			return &Refusal{messages.CodeAttemptCanceled, fmt.Sprintf("run %s was canceled", m.run.ID)}
		}
		return &Refusal{messages.CodeAttemptClosed, fmt.Sprintf("attempt %s is closed", in.AttemptID)}
	case a.State != AttemptClaimed:
		if a.RunnerNonce == in.Nonce {
			return nil // the answer to the first start was lost
		}
		return &Refusal{messages.CodeAttemptDuplicate, fmt.Sprintf("attempt %s was started by another runner", a.ID)}
	}
	if m.run.Exclusive() && (in.Base != a.Base || in.Current != a.Base) {
		return m.refuseStale(t, a, in)
	}
	m.emit(EventStarted, Data{TaskID: t.ID, Phase: t.Phase, AttemptID: a.ID, Nonce: in.Nonce})
	return nil
}

func (m *machine) refuseStale(t *Task, a *Attempt, in Start) *Refusal {
	why := fmt.Sprintf("attempt %s was to start from state serial %d, its folder has serial %d and the workspace serial %d",
		a.ID, a.Base.Serial, in.Base.Serial, in.Current.Serial)
	m.emit(EventBaseStale, Data{TaskID: t.ID, AttemptID: a.ID, Reason: "stale base", Message: why})
	switch {
	case t.Phase == messages.PhaseApply:
		m.end(EventErrored, t, "", Data{
			Code: messages.CodeRunPlanStale, Outcome: Failed,
			Message: "The state changed after this run was planned, so its plan is stale and was not applied. Start a new run.",
		})
	case m.run.TaskByID(t.ID).Stale > MaxStale:
		m.end(EventErrored, t, "", Data{
			Code: messages.CodeRunPlanStale, Outcome: Failed,
			Message: fmt.Sprintf("The state changed before the plan could start, %d times in a row. Start a new run when nothing else writes the state.", MaxStale+1),
		})
	default:
		m.emit(EventRequeued, Data{TaskID: t.ID, Phase: t.Phase, Reason: "stale base"})
	}
	return &Refusal{messages.CodeAttemptStaleBase, why}
}

func (m *machine) confirm(in Confirm) *Refusal {
	if !m.run.AsksApproval() {
		return m.notAllowed("applied", "only a planned run can be applied")
	}
	m.emit(EventConfirmed, Data{Message: in.Comment})
	switch {
	case !m.run.HasChanges: // only a recovery waits for approval without
		m.settle()
	case m.run.Status != Confirmed: // it holds the gate already
		m.emit(EventApplyQueued, Data{TaskID: m.env.NewID("task-")})
	}
	return nil
}

func (m *machine) discard(in Discard) *Refusal {
	if !m.run.AsksApproval() && m.run.Status != Pending {
		return m.notAllowed("discarded", "only a planned or pending run can be discarded")
	}
	m.emit(EventDiscarded, Data{Message: in.Comment})
	return nil
}

func (m *machine) cancel(in Cancel) *Refusal {
	r := m.run
	switch {
	case r.Status.Final(), r.AsksApproval():
		return m.notAllowed("canceled", "only a pending, queued or running run can be canceled")
	case in.Force && !r.CancelRequested:
		return m.notAllowed("force-canceled", "cancel it first, and give terraform the time to stop")
	case r.CancelRequested && (!in.Force || r.ForceRequested):
		return nil // asked before
	}
	m.emit(EventCancelRequested, Data{Force: in.Force, Message: in.Comment})
	t, a := m.run.OpenAttempt()
	if a == nil && len(r.Tasks()) > 0 && r.Status != Confirmed {
		t = r.Tasks()[len(r.Tasks())-1] // queued: the plan, or the apply that follows it
	}
	started := a != nil && a.State != AttemptClaimed
	if started && (t.Phase == messages.PhaseApply || !in.Force) {
		return nil // the runner is told, and its result ends the run; only a plan can be given up without proof
	}
	attempt := ""
	if a != nil {
		attempt = a.ID
	}
	m.end(EventCanceled, t, attempt, Data{Outcome: Stopped, Force: in.Force, Reason: "canceled", Code: messages.CodeRunCanceled})
	return nil
}

func (m *machine) notAllowed(verb, hint string) *Refusal {
	return &Refusal{messages.CodeRunNotAllowed, fmt.Sprintf("run %s is %s and can't be %s: %s", m.run.ID, m.run.Status, verb, hint)}
}

// end emits an event that ends the run, naming the task and attempt it ends with.
func (m *machine) end(t EventType, task *Task, attemptID string, d Data) {
	d.AttemptID = attemptID
	if task != nil {
		d.TaskID, d.Phase = task.ID, task.Phase
	}
	m.emit(t, d)
}
