package messages

// Code is a machine-readable error code. The list is closed and append-only: a code is never renamed or reused.
type Code string

// The codes, each with when it is given.
const (
	// CodeInternal: the server failed; the log has the cause under the request's id.
	CodeInternal Code = "internal"
	// CodeUnavailable: a part the server needs (database, queue) does not answer; try again.
	CodeUnavailable Code = "unavailable"
	// CodeUnauthorized: no token, or one that is unknown, expired or revoked.
	CodeUnauthorized Code = "unauthorized"
	// CodeForbidden: the token is valid but may not do this.
	CodeForbidden Code = "forbidden"
	// CodeNotFound: no such object, or none the caller may see.
	CodeNotFound Code = "not_found"
	// CodeInvalid: a field of the request is missing or wrong; the detail names it.
	CodeInvalid Code = "invalid"
	// CodeMethodNotAllowed: the path is one of the API, with other methods; the detail names them.
	CodeMethodNotAllowed Code = "method_not_allowed"
	// CodeTooLarge: the body is larger than the server accepts.
	CodeTooLarge Code = "too_large"
	// CodeConflict: the object is not in a state that admits the request.
	CodeConflict Code = "conflict"
	// CodeNameTaken: an object of that name exists already.
	CodeNameTaken Code = "name_taken"
	// CodeTooManyRequests: too many tries within a short time; wait and try again.
	CodeTooManyRequests Code = "too_many_requests"
	// CodeIdempotencyMismatch: the Idempotency-Key was used before with another request.
	CodeIdempotencyMismatch Code = "idempotency.mismatch"

	// CodeExecutionInvalid: a field of the execution document has a wrong value or does not belong to its mode.
	CodeExecutionInvalid Code = "execution.invalid"
	// CodeExecutionUnknownField: the execution document has a field Gantry does not know.
	CodeExecutionUnknownField Code = "execution.unknown_field"
	// CodeExecutionUnsupported: the execution mode is known but not available on this server.
	CodeExecutionUnsupported Code = "execution.unsupported"

	// CodeConfigurationMissing: the workspace has no uploaded configuration version to run.
	CodeConfigurationMissing Code = "configuration.missing"
	// CodeConfigurationInvalid: the uploaded archive is not a usable configuration (traversal, links, size, format, nothing to plan).
	CodeConfigurationInvalid Code = "configuration.invalid"

	// CodeWorkspaceLocked: a person or an unresolved run holds the workspace's lock.
	CodeWorkspaceLocked Code = "workspace.locked"

	// CodeRunNotAllowed: the run's status does not admit the action.
	CodeRunNotAllowed Code = "run.not_allowed"
	// CodeRunTerraformFailed: terraform ended with an error; its log says why.
	CodeRunTerraformFailed Code = "run.terraform_failed"
	// CodeRunSetupFailed: the runner could not prepare the work (inputs, folder, disk).
	CodeRunSetupFailed Code = "run.setup_failed"
	// CodeRunEngineMissing: the wanted engine version is neither on the machine nor installable.
	CodeRunEngineMissing Code = "run.engine_missing"
	// CodeRunPlanStale: the state changed between the plan and its apply.
	CodeRunPlanStale Code = "run.plan_stale"
	// CodeRunNeverStarted: five attempts in a row were claimed and never started.
	CodeRunNeverStarted Code = "run.never_started"
	// CodeRunLost: the runner of a plan was lost more often than a plan is retried.
	CodeRunLost Code = "run.lost"
	// CodeRunOutcomeUnknown: the runner of an apply is gone and left no result, or its terraform was killed; the workspace stays locked.
	CodeRunOutcomeUnknown Code = "run.outcome_unknown"
	// CodeRunCanceled: the run was canceled on request.
	CodeRunCanceled Code = "run.canceled"
	// CodeRunInterrupted: the apply was stopped in an orderly way because the worker or agent that carried it out was stopped.
	CodeRunInterrupted Code = "run.interrupted"
	// CodeRunTimedOut: the plan or apply did not end within its limit and was stopped; the failure names phase and limit.
	CodeRunTimedOut Code = "run.timed_out"
	// CodeRunSilent: the plan or apply printed nothing for as long as its limit and was stopped.
	CodeRunSilent Code = "run.silent"
	// CodeRunOffline: the apply was stopped because its host was cut off from the server for longer than the offline limit.
	CodeRunOffline Code = "run.offline"
	// CodeRunQueueTimedOut: no worker took the plan or apply within the limit of the queue; it was not begun.
	CodeRunQueueTimedOut Code = "run.queue_timed_out"
	// CodeRunApprovalTimedOut: nobody applied or discarded the planned run within its limit, so it was discarded.
	CodeRunApprovalTimedOut Code = "run.approval_timed_out"
	// CodeRunRestored: the run was not over when the backup was taken that the server was restored from; it was not carried on.
	CodeRunRestored Code = "run.restored"
	// CodeRunNotPlaced: there was no way to start the run where it was to be carried out; the failure says what to change.
	CodeRunNotPlaced Code = "run.not_placed"

	// CodeTaskTaken: another worker claimed the task.
	CodeTaskTaken Code = "task.taken"
	// CodeTaskGone: the task is finished, canceled, superseded or unknown; its message can go.
	CodeTaskGone Code = "task.gone"
	// CodeTaskNotReady: the task is not claimable now; ask again later.
	CodeTaskNotReady Code = "task.not_ready"
	// CodeAttemptClosed: the attempt was closed (superseded, expired or ended); stop working on it.
	CodeAttemptClosed Code = "attempt.closed"
	// CodeAttemptCanceled: the run was canceled before the attempt started; do not start.
	CodeAttemptCanceled Code = "attempt.canceled"
	// CodeAttemptStaleBase: the state moved since the inputs were fixed; the attempt is over, the task may be queued anew.
	CodeAttemptStaleBase Code = "attempt.stale_base"
	// CodeAttemptDuplicate: another runner started this attempt; do not start.
	CodeAttemptDuplicate Code = "attempt.duplicate"

	// CodeStateConflict: the serial or lineage does not follow the workspace's current state.
	CodeStateConflict Code = "state.conflict"
	// CodeStateStaleEpoch: the write belongs to a superseded attempt; it was kept aside, not applied.
	CodeStateStaleEpoch Code = "state.stale_epoch"
)

// Codes lists every code in the order of the documentation.
func Codes() []Code {
	return []Code{
		CodeInternal, CodeUnavailable, CodeUnauthorized, CodeForbidden, CodeNotFound, CodeInvalid, CodeMethodNotAllowed, CodeTooLarge, CodeConflict,
		CodeNameTaken, CodeTooManyRequests, CodeIdempotencyMismatch, CodeExecutionInvalid, CodeExecutionUnknownField, CodeExecutionUnsupported,
		CodeConfigurationMissing, CodeConfigurationInvalid, CodeWorkspaceLocked, CodeRunNotAllowed, CodeRunTerraformFailed,
		CodeRunSetupFailed, CodeRunEngineMissing, CodeRunPlanStale, CodeRunNeverStarted, CodeRunLost, CodeRunOutcomeUnknown,
		CodeRunCanceled, CodeRunInterrupted, CodeRunTimedOut, CodeRunSilent, CodeRunOffline, CodeRunQueueTimedOut, CodeRunApprovalTimedOut, CodeRunRestored, CodeRunNotPlaced, CodeTaskTaken, CodeTaskGone, CodeTaskNotReady, CodeAttemptClosed, CodeAttemptCanceled,
		CodeAttemptStaleBase, CodeAttemptDuplicate, CodeStateConflict, CodeStateStaleEpoch,
	}
}
