// Package executor is the contract of where a runner runs: a child process of the worker, or a Pod. A worker claims an
// attempt and hands it to an executor; from then on the runner is on its own, and the executor only knows whether it lives.
package executor

import (
	"context"

	"gantry.example/internal/telemetry"
	"gantry.example/internal/wire"
	"gantry.example/messages"
)

// Executor places runners. Every implementation passes executortest.Run.
//
// Concurrency: all methods may be called from many goroutines. Order: any; an executor that was just opened already knows
// the attempts that an earlier one on the same place started, so a restarted worker goes on where it was. Idempotency: per
// attempt, see each method. No call waits for a runner to end, and the end of a call's ctx does not end the runner.
type Executor interface {
	// StartPlan starts a runner for an attempt of a plan. If one was started before, by this or an earlier executor on the
	// same place, nothing happens and the error is nil, also when that runner is gone: an attempt is never carried out
	// twice. An error means that nothing of the attempt runs.
	StartPlan(ctx context.Context, a Attempt) error
	// StartApply does the same for an attempt of an apply.
	StartApply(ctx context.Context, a Attempt) error
	// Status tells what is known of an attempt's runner. An exited one is remembered for an hour at least.
	Status(ctx context.Context, attemptID string) (Status, error)
	// Cancel asks the runner to stop in an orderly way, which may take as long as its grace period; with force the runner and
	// everything it started are killed. Unknown and exited attempts are no error, nor is a second call.
	Cancel(ctx context.Context, attemptID string, force bool) error
}

// Watcher tells a worker what became of its runners. An implementation of Executor implements it too.
type Watcher interface {
	// Running lists the attempts whose runners live, adopted ones included, in no particular order.
	Running(ctx context.Context) ([]Ref, error)
	// Watch calls handle once for every runner that is gone, one after the other, until ctx ends, whose error it returns. An
	// exit that handle returns an error for is handed to it again after a while, and if necessary to the next executor on the
	// same place; one that it returned nil for is settled: it is never reported again. One goroutine at a time may watch.
	Watch(ctx context.Context, handle func(context.Context, Exit) error) error
}

// Attempt is a granted claim, which is all that is needed to place a runner for it. It holds the attempt's token.
type Attempt struct{ wire.Claim }

// Ref names the attempt without its secrets.
func (a Attempt) Ref() Ref {
	in := a.Inputs
	return Ref{
		AttemptID: a.AttemptID, TaskID: in.TaskID, RunID: in.RunID, WorkspaceID: in.WorkspaceID, Pool: in.Pool, Phase: in.Phase,
		Traceparent: in.Traceparent,
	}
}

// Ref names an attempt and what it belongs to.
type Ref struct {
	AttemptID   string         `json:"attempt_id"`
	TaskID      string         `json:"task_id"`
	RunID       string         `json:"run_id"`
	WorkspaceID string         `json:"workspace_id"`
	Pool        string         `json:"pool"`
	Phase       messages.Phase `json:"phase"`
	Traceparent string         `json:"traceparent,omitempty"` // of the run
}

// LogAttrs are the attributes that every log line about the attempt has.
func (r Ref) LogAttrs() []any {
	return append([]any{"run", r.RunID, "task", r.TaskID, "attempt", r.AttemptID}, telemetry.LogAttrs(r.Traceparent)...)
}

// State is whether an attempt's runner lives.
type State string

// The states.
const (
	Unknown State = "unknown" // never started here, or forgotten
	Running State = "running"
	Exited  State = "exited"
)

// CodeUnknown is the exit code of a runner that a signal ended, or whose exit code nobody saw.
const CodeUnknown = -1

// CodeDelivered is the exit code of a runner that delivered its result.
const CodeDelivered = 0

// Status is what is known of an attempt's runner. Code is set for an exited one.
type Status struct {
	State State
	Code  int
}

// Exit tells that the runner of an attempt is gone.
type Exit struct {
	Ref
	Code int
	// NotBegun tells that no apply was executed for certain, see messages.Event.
	NotBegun bool
	Message  string // why, for people, where more is known than the code
	Final    bool   // of an attempt that never started: another would end the same way, see messages.Event
}

// PlacementError is the error of a start that no repetition helps, until somebody changes what Message says.
type PlacementError struct {
	Message string // sentences for people
	Err     error  // nil if there is nothing more to know
}

func (e *PlacementError) Error() string { return e.Message }
func (e *PlacementError) Unwrap() error { return e.Err }
