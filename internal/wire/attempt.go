// Package wire holds the JSON bodies of Gantry's own HTTP API (/api/gantry/v1), shared by the API and its clients. Plain
// snake_case; a field added later has a usable zero value.
package wire

import (
	"time"

	"gantry.example/messages"
)

// ClaimRequest asks for one task. POST /api/gantry/v1/claim with a pool token. Claiming again with the same nonce gives
// the same answer with a fresh attempt token; the earlier token stays good.
type ClaimRequest struct {
	V      int    `json:"v"`
	TaskID string `json:"task_id"`
	Worker string `json:"worker"` // the worker's name, for people
	Nonce  string `json:"nonce"`  // random per worker process and task
}

// Claim is a granted claim: everything a runner needs except bodies. Refusals are errors with the codes task.taken,
// task.gone (both: acknowledge the message), task.not_ready (ask again later) and attempt.canceled.
type Claim struct {
	AttemptID     string    `json:"attempt_id"`
	Number        int       `json:"number"`
	Epoch         int64     `json:"epoch"`
	Token         string    `json:"token"`          // attempt token: API bearer token and NATS token
	StartDeadline time.Time `json:"start_deadline"` // server's clock; no start by then closes the attempt
	Inputs        Inputs    `json:"inputs"`
}

// Inputs says what the attempt has to do. GET /api/gantry/v1/attempts/:id/inputs gives the same again. Bodies are fetched
// from attempts/:id/configuration (tar.gz), attempts/:id/state (404 when there is none) and attempts/:id/plan.
type Inputs struct {
	AttemptID        string             `json:"attempt_id"`
	TaskID           string             `json:"task_id"`
	RunID            string             `json:"run_id"`
	WorkspaceID      string             `json:"workspace_id"`
	WorkspaceName    string             `json:"workspace_name"`
	OrganizationID   string             `json:"organization_id"`
	OrganizationName string             `json:"organization_name"`
	Phase            messages.Phase     `json:"phase"`
	Exclusive        bool               `json:"exclusive"`
	Pool             string             `json:"pool"`
	Epoch            int64              `json:"epoch"`
	Execution        messages.Execution `json:"execution"`
	Options          RunOptions         `json:"options"` // without variables: those are in Variables
	// Variables are all the values the run gets, of its workspace, its variable sets and its own, each key of a category
	// once. Those for terraform are the same in a plan and its apply; the environment is as it was when the task was claimed.
	Variables []Variable `json:"variables,omitempty"`
	Base      StateRef   `json:"base"` // the state the attempt starts from
	// PlanAttemptID is, for an apply, the attempt whose plan the server has: what that attempt left on a host may be used there.
	PlanAttemptID   string `json:"plan_attempt_id,omitempty"`
	LeaseTTLSeconds int    `json:"lease_ttl_seconds"`
	GraceSeconds    int    `json:"grace_seconds"` // from SIGINT to SIGKILL
	Cancel          bool   `json:"cancel,omitempty"`
	// PlanLimit is the size in bytes up to which a saved plan comes with the attempt's result; 0 of a server that does not take
	// it there.
	PlanLimit int64 `json:"plan_limit,omitempty"`
	// Traceparent is the run's trace context, if it has one: every call of the attempt carries it as the header of that name.
	Traceparent string `json:"traceparent,omitempty"`
}

// Key is the exclusivity key of the attempt's lease.
func (in Inputs) Key() string {
	if in.Exclusive {
		return in.WorkspaceID
	}
	return in.RunID
}

// RunOptions are Terraform's planning options as the user asked for them.
type RunOptions = messages.RunOptions

// The categories of a variable, in TFE's words.
const (
	CategoryTerraform = "terraform" // of the root module
	CategoryEnv       = "env"       // of terraform's environment
)

// Variable is a value that a run gets.
type Variable struct {
	Key       string `json:"key"`
	Value     string `json:"value"`
	Category  string `json:"category"`
	HCL       bool   `json:"hcl,omitempty"`       // Value is an HCL expression; of no meaning for the environment
	Sensitive bool   `json:"sensitive,omitempty"` // no log may show it
}

// RunVariable is a root-module variable given with the run.
type RunVariable = messages.RunVariable

// StateRef names a state by what decides whether it is the same: serial and lineage. The zero value is "no state".
type StateRef struct {
	Serial  int64  `json:"serial"`
	Lineage string `json:"lineage,omitempty"`
}

// StartRequest asks for permission to execute terraform. POST attempts/:id/start. Idempotent for the same runner nonce.
type StartRequest struct {
	V     int      `json:"v"`
	Nonce string   `json:"nonce"` // random per runner process
	Base  StateRef `json:"base"`  // the state in the work folder
}

// StartAnswer is a positive answer. Refusals are errors with the codes attempt.closed, attempt.canceled,
// attempt.duplicate and attempt.stale_base: none of them may execute terraform.
type StartAnswer struct {
	StartedAt time.Time `json:"started_at"`
}

// Outcome is how an attempt ended.
type Outcome string

// The outcomes.
const (
	OutcomeSucceeded Outcome = "succeeded"
	OutcomeFailed    Outcome = "failed"
	OutcomeCanceled  Outcome = "canceled" // terraform stopped on our SIGINT and saved its state
	OutcomeLost      Outcome = "lost"     // terraform was killed in an apply, not by us: what it did last may be in no state
)

// Result is the end of an attempt. POST attempts/:id/result, idempotent: the first result stands, a repeated one gets the
// same answer. It may arrive late; it counts while the attempt's epoch stands.
type Result struct {
	V       int           `json:"v"`
	Outcome Outcome       `json:"outcome"`
	Code    messages.Code `json:"code,omitempty"`    // why, unless succeeded
	Message string        `json:"message,omitempty"` // one or a few lines for people, unless succeeded

	HasChanges bool     `json:"has_changes,omitempty"` // plan
	Changes    *Changes `json:"changes,omitempty"`     // plan: intended, apply: done

	// Plan is the saved plan, if it is not larger than Inputs.PlanLimit; a larger one was stored before.
	Plan []byte `json:"plan,omitempty"`

	State            *StateRef `json:"state,omitempty"` // last state stored, if any
	TerraformVersion string    `json:"terraform_version,omitempty"`
	LogSize          int64     `json:"log_size"` // bytes of the attempt's log
	LogSHA256        string    `json:"log_sha256,omitempty"`

	// Phases says where the time went: milliseconds per stage of the attempt.
	Phases map[messages.Stage]int64 `json:"phases,omitempty"`

	// CarryOn is the nonce of a plan's runner that is ready to carry out the apply too, if it follows at once.
	CarryOn string `json:"carry_on,omitempty"`
}

// ResultAnswer is the answer to a result that was taken. With Next the runner goes on at once: that attempt is claimed and
// started for it. It gets the same attempt, with a fresh token, whenever it sends its result again.
type ResultAnswer struct {
	Next *Claim `json:"next,omitempty"`
}

// What comes before the start is no stage of an event; Result.Phases alone says how long it took.
const (
	StageConnect messages.Stage = "connect" // to NATS
	StageLease   messages.Stage = "lease"   // waiting for the lease
	StageStart   messages.Stage = "start"   // asking for the start
)

// Changes counts resources.
type Changes struct {
	Add     int `json:"add"`
	Change  int `json:"change"`
	Destroy int `json:"destroy"`
	Import  int `json:"import"`
}

// AttemptStatus is in every answer to an attempt's calls as header HeaderCancel, and the body where there is nothing else.
type AttemptStatus struct {
	Open   bool `json:"open"`
	Cancel bool `json:"cancel"`
	Force  bool `json:"force"`
}

// HeaderCancel carries "cancel" or "force" on every answer to an attempt whose run was asked to stop.
const HeaderCancel = "Gantry-Cancel"

// Headers and query parameters of a state upload: PUT attempts/:id/state with the raw state file as body.
const (
	HeaderStateMD5 = "Content-MD5" // base64, optional; checked when present
)
