package run

import (
	"fmt"
	"slices"

	"gantry.example/messages"
)

// attemptInput handles what is reported about one attempt. An attempt that is unknown or closed changes nothing, with one
// exception: the late result of an apply whose outcome is unknown.
func (m *machine) attemptInput(in Input) {
	id := attemptID(in)
	t, a := m.run.Attempt(id)
	if a == nil {
		return
	}
	if f, ok := in.(Finish); ok && (a.Open() || m.resolves(t, a)) {
		m.finish(t, a, f)
		return
	}
	if exit, gone := in.(Exit); gone && !a.Open() {
		m.exitOfNext(a, exit)
		return
	}
	if !a.Open() {
		return
	}
	switch in := in.(type) {
	case Progress:
		if advances(a.Stage, in.Stage) {
			m.emit(EventProgress, Data{TaskID: t.ID, AttemptID: a.ID, Stage: in.Stage})
		}
	case ExpireClaim:
		if a.State == AttemptClaimed {
			m.neverStarted(t, a, "not started in time")
		}
	case Exit:
		switch {
		case a.State != AttemptClaimed:
			m.exited(t, a, in)
		case in.Final:
			m.end(EventErrored, t, a.ID, Data{
				Code: messages.CodeRunNotPlaced, Outcome: Failed, Reason: "not placed",
				Message: fmt.Sprintf("This %s could not be started: %s Nothing was executed.", t.Phase, in.Detail),
			})
		default:
			m.neverStarted(t, a, in.Detail)
		}
	case LoseContact:
		if a.State == AttemptStarted {
			m.emit(EventContactLost, Data{TaskID: t.ID, AttemptID: a.ID})
			if t.Phase == messages.PhasePlan {
				m.vanished(t, a, "contact lost")
			}
		}
	case RegainContact:
		if a.State == AttemptLost {
			m.emit(EventContactRegained, Data{TaskID: t.ID, AttemptID: a.ID})
		}
	case Timeout:
		m.timeout(t, a, in)
	case GiveUp:
		if a.State == AttemptLost {
			m.vanished(t, a, "contact lost")
		}
	}
}

// advances reports whether a report of stage next says something new after one of stage now: reports may be late. A stage
// of a newer runner, which has no place in the order, is taken as it comes.
func advances(now, next messages.Stage) bool {
	order := []messages.Stage{messages.StageFetch, messages.StageInit, messages.StagePlan, messages.StageApply, messages.StageUpload}
	at, to := slices.Index(order, now), slices.Index(order, next)
	return now != next && (at < 0 || to < 0 || to > at)
}

func attemptID(in Input) string {
	switch in := in.(type) {
	case ExpireClaim:
		return in.AttemptID
	case Progress:
		return in.AttemptID
	case Finish:
		return in.AttemptID
	case Exit:
		return in.AttemptID
	case LoseContact:
		return in.AttemptID
	case RegainContact:
		return in.AttemptID
	case Timeout:
		return in.AttemptID
	case GiveUp:
		return in.AttemptID
	default:
		return ""
	}
}

// resolves reports whether a late result of the closed attempt settles an unknown outcome: it must be the apply's only
// started attempt, and nobody may have released the workspace since (which moves the epoch and clears the mark).
func (m *machine) resolves(t *Task, a *Attempt) bool {
	return m.run.OutcomeUnknown && t.Phase == messages.PhaseApply && t.Last().ID == a.ID
}

func (m *machine) finish(t *Task, a *Attempt, in Finish) {
	d := Data{
		Outcome: in.Outcome, Changes: in.Changes, State: in.State, TerraformVersion: in.TerraformVersion, Reason: "result",
		Code: in.Code, Message: in.Message, HasChanges: in.HasChanges,
	}
	switch {
	case a.State == AttemptClaimed && in.Outcome != Failed:
		m.neverStarted(t, a, "stopped before it started") // whatever it says, it executed nothing
	case in.Outcome == Succeeded && t.Phase == messages.PhaseApply:
		m.end(EventApplied, t, a.ID, d) // it was applied, whether or not a cancel came too late
	case in.Outcome == Lost && t.Phase == messages.PhaseApply:
		m.killed(t, a, d)
	case m.run.CancelRequested:
		d.Code, d.Force = messages.CodeRunCanceled, m.run.ForceRequested
		m.end(EventCanceled, t, a.ID, d)
	case in.Outcome == Succeeded:
		m.end(EventPlanned, t, a.ID, d) // a plan that ended well in spite of its limit is as good as any
		m.autoApply()
		m.carryOn(a, in.CarryOn)
	case m.run.overran(t):
		m.timedOut(t, a, d)
	case in.Outcome == Stopped && t.Phase == messages.PhasePlan:
		m.retry(t, a, "interrupted on its host") // somebody stopped the host, not the run
	default:
		if d.Code == "" {
			d.Code = messages.CodeRunTerraformFailed
		}
		m.end(EventErrored, t, a.ID, d)
	}
}

// killed ends an apply whose terraform was killed under its runner. Nobody can know how far it came since it last saved.
func (m *machine) killed(t *Task, a *Attempt, d Data) {
	if m.run.OutcomeUnknown {
		return // as the run says already
	}
	d.Code, d.Reason = messages.CodeRunOutcomeUnknown, "terraform was killed"
	d.Message = fmt.Sprintf("%s The workspace stays locked. Compare the saved state with reality: gantry runs recover %s.", d.Message, m.run.ID)
	m.end(EventOutcomeUnknown, t, a.ID, d)
}

// exitOfNext handles the end of a runner whose attempt was over: it had gone on with the next one, which ends with it.
func (m *machine) exitOfNext(a *Attempt, in Exit) {
	if t, next := m.run.OpenAttempt(); next != nil && next.Continues == a.ID {
		m.exited(t, next, in)
	}
}

// exited ends a started attempt whose runner is gone. An apply that it did not come to is no unknown outcome, but it is not
// tried again either: an apply starts once.
func (m *machine) exited(t *Task, a *Attempt, in Exit) {
	switch {
	case t.Phase == messages.PhasePlan || !in.NotBegun:
		m.vanished(t, a, in.Detail)
	case m.run.CancelRequested:
		m.end(EventCanceled, t, a.ID, Data{Outcome: Stopped, Reason: in.Detail, Code: messages.CodeRunCanceled, Force: m.run.ForceRequested})
	default:
		m.end(EventErrored, t, a.ID, Data{
			Code: messages.CodeRunNeverStarted, Outcome: Lost, Reason: in.Detail,
			Message: fmt.Sprintf("The runner of this apply on %s is gone (%s) and had executed nothing, so nothing was changed. Start a new run.", a.Worker, in.Detail),
		})
	}
}

// carryOn gives the apply that was just queued to the runner that made its plan: it is claimed and started at once.
func (m *machine) carryOn(plan *Attempt, in *CarryOn) {
	t := m.run.Apply
	if in == nil || m.run.Status != ApplyQueued || in.Current != plan.Base {
		return
	}
	base, id := plan.Base, m.env.NewID("att-")
	m.env.Actor = "worker " + plan.Worker
	m.emit(EventClaimed, Data{
		TaskID: t.ID, Phase: t.Phase, AttemptID: id, Number: 1, Epoch: in.Epoch, Worker: plan.Worker, Nonce: in.Nonce,
		Base: &base, Deadline: &in.Deadline, Continues: plan.ID,
	})
	m.env.Actor = "runner"
	m.emit(EventStarted, Data{TaskID: t.ID, Phase: t.Phase, AttemptID: id, Nonce: in.Nonce})
}

func (m *machine) autoApply() {
	if m.run.Status == Planned && m.run.Options.AutoApply {
		m.env.Actor = "auto-apply"
		m.emit(EventConfirmed, Data{})
		m.emit(EventApplyQueued, Data{TaskID: m.env.NewID("task-")})
	}
}

// neverStarted closes an attempt that executed nothing. It is outside the retry limit, but not for ever.
func (m *machine) neverStarted(t *Task, a *Attempt, why string) {
	m.emit(EventClaimExpired, Data{TaskID: t.ID, AttemptID: a.ID, Reason: why})
	if n := m.run.TaskByID(t.ID).Unstart; n >= MaxUnstarted {
		m.end(EventErrored, t, "", Data{
			Code: messages.CodeRunNeverStarted, Outcome: Lost,
			Message: fmt.Sprintf("%d workers in a row took this %s and did not start it (last: %s, %s). Nothing was executed. Check the workers of pool %s, then start a new run.",
				n, t.Phase, a.Worker, why, m.run.Pool),
		})
		return
	}
	m.emit(EventRequeued, Data{TaskID: t.ID, Phase: t.Phase, Reason: why})
}

// vanished ends an attempt whose runner is gone after it started: a plan is tried again, an apply never is.
func (m *machine) vanished(t *Task, a *Attempt, why string) {
	if m.run.CancelRequested && t.Phase == messages.PhasePlan {
		m.end(EventCanceled, t, a.ID, Data{Outcome: Lost, Reason: why, Code: messages.CodeRunCanceled, Force: m.run.ForceRequested})
		return
	}
	if t.Phase == messages.PhasePlan && m.run.overran(t) {
		m.timedOut(t, a, Data{Outcome: Lost, Reason: why})
		return
	}
	if t.Phase == messages.PhasePlan {
		m.retry(t, a, why)
		return
	}
	m.end(EventOutcomeUnknown, t, a.ID, Data{
		Code: messages.CodeRunOutcomeUnknown, Outcome: Lost, Reason: why,
		Message: fmt.Sprintf("The runner of this apply on %s is gone (%s) and left no result, so what it changed is unknown. The workspace stays locked. Compare the last saved state with reality: gantry runs recover %s.",
			a.Worker, why, m.run.ID),
	})
}

func (m *machine) retry(t *Task, a *Attempt, why string) {
	if t.Retries >= MaxRetries {
		m.end(EventErrored, t, a.ID, Data{
			Code: messages.CodeRunLost, Outcome: Lost, Reason: why,
			Message: fmt.Sprintf("The runner of this plan was lost %d times (last: %s, %s). Nothing was changed. Check the workers of pool %s, then start a new run.",
				t.Retries+1, a.Worker, why, m.run.Pool),
		})
		return
	}
	m.emit(EventRequeued, Data{TaskID: t.ID, Phase: t.Phase, AttemptID: a.ID, Reason: why})
}

// TakesResult reports whether a result of the attempt would count: it is open, or the late one that settles an unknown
// outcome.
func (r *Run) TakesResult(attemptID string) bool {
	t, a := r.Attempt(attemptID)
	if a == nil {
		return false
	}
	m := machine{run: *r}
	return a.Open() || m.resolves(t, a)
}
