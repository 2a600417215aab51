package run

import (
	"time"

	"gantry.example/messages"
)

// Status is the status of a run, in TFE's words.
type Status string

// The statuses. See doc.go for the order.
const (
	Pending            Status = "pending"
	PlanQueued         Status = "plan_queued"
	Planning           Status = "planning"
	Planned            Status = "planned"
	PlannedAndSaved    Status = "planned_and_saved" // a saved plan: like planned, but others go on meanwhile
	Confirmed          Status = "confirmed"         // a saved plan that is to be applied and waits for its turn
	ApplyQueued        Status = "apply_queued"
	Applying           Status = "applying"
	Applied            Status = "applied"
	PlannedAndFinished Status = "planned_and_finished"
	Discarded          Status = "discarded"
	Errored            Status = "errored"
	Canceled           Status = "canceled"
	ForceCanceled      Status = "force_canceled"
)

// Statuses lists all statuses in the order of a run's life.
func Statuses() []Status {
	return []Status{
		Pending, PlanQueued, Planning, Planned, PlannedAndSaved, Confirmed, ApplyQueued, Applying,
		Applied, PlannedAndFinished, Discarded, Errored, Canceled, ForceCanceled,
	}
}

// Final reports whether no further change is expected. (A late result may still correct an unknown outcome.)
func (s Status) Final() bool {
	switch s {
	case Applied, PlannedAndFinished, Discarded, Errored, Canceled, ForceCanceled:
		return true
	default:
		return false
	}
}

// Options are what the user asked for. Values of run variables are not here: they may be secret and events are not.
type Options struct {
	PlanOnly     bool     `json:"plan_only,omitempty"`
	AutoApply    bool     `json:"auto_apply,omitempty"`
	Destroy      bool     `json:"destroy,omitempty"`
	RefreshOnly  bool     `json:"refresh_only,omitempty"`
	SkipRefresh  bool     `json:"skip_refresh,omitempty"`
	SavePlan     bool     `json:"save_plan,omitempty"` // keep the plan for later, without keeping others from running
	TargetAddrs  []string `json:"target_addrs,omitempty"`
	ReplaceAddrs []string `json:"replace_addrs,omitempty"`
}

// Spec is what is fixed when a run is created.
type Spec struct {
	ID                     string             `json:"id"`
	Position               int64              `json:"position"` // order of creation, for FIFO per workspace
	OrganizationID         string             `json:"organization_id"`
	WorkspaceID            string             `json:"workspace_id"`
	ConfigurationVersionID string             `json:"configuration_version_id"`
	Options                Options            `json:"options"`
	Execution              messages.Execution `json:"execution"`         // the frozen target
	Pool                   string             `json:"pool"`              // the pool the target resolves to
	Note                   string             `json:"message,omitempty"` // the user's words
	Source                 string             `json:"source,omitempty"`  // "tfe-api", "gantry-cli", …
	CreatedBy              string             `json:"created_by,omitempty"`
	// Recovers is the run whose unknown outcome this one looks into, see recover.go.
	Recovers string `json:"recovers,omitempty"`
	// Traceparent is the run's place in a trace (W3C Trace Context), where one was wanted: what the run does is below this
	// span. TraceParentSpan is the span of whoever asked for the run, in the same trace.
	Traceparent     string `json:"traceparent,omitempty"`
	TraceParentSpan string `json:"trace_parent_span,omitempty"`
}

// Run is a run with its tasks and attempts: the fold of its events.
type Run struct {
	Spec
	Status     Status               `json:"status"`
	Seq        int64                `json:"seq"` // number of the last event folded
	CreatedAt  time.Time            `json:"created_at"`
	Timestamps map[Status]time.Time `json:"timestamps,omitempty"` // when each status was entered last
	Plan       *Task                `json:"plan,omitempty"`
	Apply      *Task                `json:"apply,omitempty"`

	HasChanges      bool          `json:"has_changes,omitempty"`
	CancelRequested bool          `json:"cancel_requested,omitempty"`
	CancelAt        *time.Time    `json:"cancel_at,omitempty"` // when a cancel was first asked for
	ForceRequested  bool          `json:"force_requested,omitempty"`
	ConfirmedBy     string        `json:"confirmed_by,omitempty"`
	Confirmed       bool          `json:"confirmed,omitempty"`
	Code            messages.Code `json:"code,omitempty"`    // why the run errored or was canceled
	Failure         string        `json:"failure,omitempty"` // the same for people
	// OutcomeUnknown marks an apply whose runner is gone without a result: the workspace stays locked until a late result
	// arrives or a person releases it.
	OutcomeUnknown bool   `json:"outcome_unknown,omitempty"`
	Recovery       string `json:"recovery,omitempty"`     // the newest run that recovers this one
	RecoveredBy    string `json:"recovered_by,omitempty"` // the recovery that took the workspace over
	// Overrun is set when a phase passed its limit, whose attempt is then asked to stop.
	Overrun *Overrun `json:"overrun,omitempty"`
}

// Overrun is a phase that ran, or was silent, for too long.
type Overrun struct {
	Phase  messages.Phase `json:"phase"`
	Limit  string         `json:"limit"` // as people read it, such as "2h"
	Silent bool           `json:"silent,omitempty"`
}

// Exclusive reports whether the run needs the workspace's gate. Plan-only runs may run beside others.
func (r Run) Exclusive() bool { return !r.Options.PlanOnly }

// Holds reports whether the run keeps the gate once it has it: until it is final with a known outcome, or its plan is saved.
// A recovery has it from its confirmation on.
func (r Run) Holds() bool {
	return r.Seq > 0 && r.Exclusive() && r.Status != PlannedAndSaved && !r.Borrows() && (!r.Status.Final() || r.OutcomeUnknown)
}

// AtGate reports whether the run waits for the gate: to plan, or to apply a plan that was saved.
func (r Run) AtGate() bool { return r.Status == Pending || r.Status == Confirmed }

// AsksApproval reports whether the run goes on when somebody confirms it.
func (r Run) AsksApproval() bool { return r.Status == Planned || r.Status == PlannedAndSaved }

// TaskState is where a task is.
type TaskState string

// The task states. A requeued task is queued again.
const (
	TaskQueued   TaskState = "queued"
	TaskClaimed  TaskState = "claimed"
	TaskStarted  TaskState = "started"
	TaskFinished TaskState = "finished"
)

// Task is one phase of a run.
type Task struct {
	ID       string         `json:"id"`
	Phase    messages.Phase `json:"phase"`
	State    TaskState      `json:"state"`
	QueuedAt time.Time      `json:"queued_at"`
	Queued   int            `json:"queued"` // how often it was queued; tells a requeue from the first time
	Retries  int            `json:"retries,omitempty"`
	Unstart  int            `json:"unstarted,omitempty"` // claims in a row that never started
	Stale    int            `json:"stale,omitempty"`     // starts refused because the state had moved
	Outcome  string         `json:"outcome,omitempty"`   // succeeded, failed, canceled, lost
	Changes  *Changes       `json:"changes,omitempty"`
	Attempts []Attempt      `json:"attempts,omitempty"`
}

// Changes counts resources.
type Changes struct {
	Add     int `json:"add"`
	Change  int `json:"change"`
	Destroy int `json:"destroy"`
	Import  int `json:"import"`
}

// AttemptState is where an attempt is.
type AttemptState string

// The attempt states.
const (
	AttemptClaimed AttemptState = "claimed"
	AttemptStarted AttemptState = "started"
	AttemptLost    AttemptState = "contact_lost"
	AttemptClosed  AttemptState = "closed"
)

// Attempt is one try of a task.
type Attempt struct {
	ID            string         `json:"id"`
	Number        int            `json:"number"` // from 1, within its task
	Epoch         int64          `json:"epoch"`
	Worker        string         `json:"worker"`
	Nonce         string         `json:"nonce,omitempty" jsonschema:"-"` // of the claim; never shown, see Public
	State         AttemptState   `json:"state"`
	Base          StateRef       `json:"base"`
	ClaimedAt     time.Time      `json:"claimed_at"`
	StartDeadline time.Time      `json:"start_deadline"`
	StartedAt     *time.Time     `json:"started_at,omitempty"`
	RunnerNonce   string         `json:"runner_nonce,omitempty" jsonschema:"-"` // never shown either
	Continues     string         `json:"continues,omitempty"`                   // the plan's attempt whose runner carries out this apply too
	Stage         messages.Stage `json:"stage,omitempty"`
	LostAt        *time.Time     `json:"lost_at,omitempty"`
	ClosedAt      *time.Time     `json:"closed_at,omitempty"`
	CloseReason   string         `json:"close_reason,omitempty"`
	LastState     *StateRef      `json:"last_state,omitempty"` // from its result
}

// Open reports whether the attempt may still write.
func (a Attempt) Open() bool { return a.State != AttemptClosed }

// StateRef names a state by serial and lineage. The zero value is "no state".
type StateRef struct {
	Serial  int64  `json:"serial"`
	Lineage string `json:"lineage,omitempty"`
}

// Task returns the task of the phase, or nil.
func (r *Run) Task(p messages.Phase) *Task {
	if p == messages.PhaseApply {
		return r.Apply
	}
	return r.Plan
}

// TaskByID returns the task with the id, or nil.
func (r *Run) TaskByID(id string) *Task {
	for _, t := range r.Tasks() {
		if t.ID == id {
			return t
		}
	}
	return nil
}

// Tasks returns the tasks that exist, plan first.
func (r *Run) Tasks() []*Task {
	var out []*Task
	for _, t := range []*Task{r.Plan, r.Apply} {
		if t != nil {
			out = append(out, t)
		}
	}
	return out
}

// Attempt returns the attempt with the id and its task, or nil.
func (r *Run) Attempt(id string) (*Task, *Attempt) {
	for _, t := range r.Tasks() {
		for i := range t.Attempts {
			if t.Attempts[i].ID == id {
				return t, &t.Attempts[i]
			}
		}
	}
	return nil, nil
}

// Last returns the newest attempt of the task, or nil.
func (t *Task) Last() *Attempt {
	if t == nil || len(t.Attempts) == 0 {
		return nil
	}
	return &t.Attempts[len(t.Attempts)-1]
}

// OpenAttempt returns the attempt that may write now, or nil. At most one is open at a time.
func (r *Run) OpenAttempt() (*Task, *Attempt) {
	for _, t := range r.Tasks() {
		if a := t.Last(); a != nil && a.Open() {
			return t, a
		}
	}
	return nil, nil
}

// Message is the task message for the queue.
func (r *Run) Message(t *Task) messages.Task {
	labels, _ := messages.CanonicalLabels(r.Execution.RequiredLabels) // validated when the run was created
	return messages.Task{
		V: messages.Version, ID: t.ID, RunID: r.ID, WorkspaceID: r.WorkspaceID, OrganizationID: r.OrganizationID,
		Phase: t.Phase, Mode: r.Execution.Mode, Pool: r.Pool, Labels: labels, Strategy: r.Execution.Strategy, Exclusive: r.ExclusiveTask(t.Phase), QueuedAt: t.QueuedAt,
		Traceparent: r.Traceparent,
	}
}
