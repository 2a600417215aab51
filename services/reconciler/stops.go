package reconciler

import (
	"context"
	"fmt"
	"time"

	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// stops asks attempts that passed a limit to stop, and tells those that were asked before again, because a command is sent
// on core NATS and may be lost. One that does not answer is judged as any other: by its lease. leases are those of
// each pool of which they could be read.
func (r *Reconciler) stops(ctx context.Context, open []postgres.OpenAttempt, leases map[string]map[string]messages.Lease) error {
	var again []postgres.OpenAttempt
	for _, a := range open {
		if a.Stopping {
			again = append(again, a)
			continue
		}
		if verdict := r.overdue(a, leases[a.Pool][a.Key].AttemptID == a.ID); verdict != nil {
			r.log.Info("reconciler: attempt passed its limit", "run", a.RunID, "task", a.TaskID, "attempt", a.ID, "phase", a.Phase, "limit", verdict.Limit, "silent", verdict.Silent)
			r.judge(ctx, a.RunID, a.ID, *verdict)
		}
	}
	if len(again) == 0 || time.Since(r.told) < r.timing.RepeatStop {
		return nil
	}
	r.told = time.Now()
	r.metrics.actions.WithLabelValues("repeat_stop").Add(float64(len(again)))
	if err := r.db.RepeatStop(ctx, again); err != nil {
		return fmt.Errorf("repeat commands: %w", err)
	}
	return nil
}

// overdue is the limit that the attempt passed, or nil. Silence counts only while we would have heard something: the runner
// has its lease, and neither we nor what we depend on was away a moment ago.
func (r *Reconciler) overdue(a postgres.OpenAttempt, connected bool) *run.Timeout {
	if a.StartedAt == nil {
		return nil
	}
	limits, now := r.timing.Limits.Over(a.Timeouts()), time.Now()
	if limit := limits.Phase(a.Phase); limit > 0 && now.Sub(*a.StartedAt) > limit {
		return &run.Timeout{AttemptID: a.ID, Limit: limit}
	}
	heard := *a.StartedAt
	if a.PrintedAt != nil && a.PrintedAt.After(heard) {
		heard = *a.PrintedAt
	}
	if limits.Silence > 0 && now.Sub(heard) > limits.Silence && connected && now.After(r.settledIn(a.Pool)) {
		return &run.Timeout{AttemptID: a.ID, Limit: limits.Silence, Silent: true}
	}
	return nil
}
