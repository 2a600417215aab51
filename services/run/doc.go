// Package run is the life of a run as pure functions: no clock, no database, no network.
//
// A run is folded from its events. Transition is the only place that decides what may happen next; the API, the projector
// and the reconciler all call it under the run's row lock. Fold applies what was decided; replaying a run's events into an
// empty Run gives the same Run again. Effects says what the outside world must be told about a change.
//
//	          Queue          Claim, Start             Finish            Confirm            Claim, Start            Finish
//	pending ────────▶ plan_queued ────────▶ planning ────────▶ planned ────────▶ apply_queued ────────▶ applying ────────▶ applied
//	   │                  │    ▲ expired, lost    │               │                  │                     │
//	   │                  │    └──────────────────┤               └─▶ discarded      │                     ├─▶ errored
//	   └──────────────────┴─── Cancel ───────────▶│◀──────────────── Cancel ─────────┘                     └─▶ errored + OutcomeUnknown
//	                                canceled, force_canceled, errored, planned_and_finished                       (workspace locked)
//
// A run that only saves its plan is planned_and_saved instead of planned: it frees the gate, and when it is confirmed it waits
// for the gate anew (confirmed) before its apply is queued. If the state moved meanwhile, the apply's start is refused.
//
// An attempt that passed the limit of its phase, or was silent for too long, is asked to stop as by a cancel; its run then
// ends errored, run.timed_out or run.silent. A run that waited too long for a worker ends errored, run.queue_timed_out, and
// one that nobody approved in time discarded, run.approval_timed_out (Expire).
// An attempt is claimed, then started, then closed; contact_lost is a started attempt whose lease is gone. Only an attempt
// of a plan is ever followed by another after it started: an apply starts at most once.
package run
