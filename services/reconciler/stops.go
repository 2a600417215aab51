package reconciler

import (
	"context"
	"fmt"
	"time"

	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// stops asks attempts that passed the limit of their phase to stop, and tells those that were asked before again, because
// a command is sent on core NATS and may be lost. One that does not answer is judged as any other: by its lease.
func (r *Reconciler) stops(ctx context.Context, open []postgres.OpenAttempt) error {
	var again []postgres.OpenAttempt
	for _, a := range open {
		if a.Stopping {
			again = append(again, a)
			continue
		}
		limit := r.limit(a.Phase)
		if a.StartedAt == nil || time.Since(*a.StartedAt) <= limit {
			continue
		}
		r.log.Info("reconciler: attempt passed its limit", "run", a.RunID, "attempt", a.ID, "phase", a.Phase, "limit", limit)
		r.judge(ctx, a.RunID, a.ID, run.Timeout{AttemptID: a.ID, Limit: limit})
	}
	if len(again) == 0 || time.Since(r.told) < r.timing.RepeatStop {
		return nil
	}
	r.told = time.Now()
	if err := r.db.RepeatStop(ctx, again); err != nil {
		return fmt.Errorf("repeat commands: %w", err)
	}
	return nil
}

func (r *Reconciler) limit(p messages.Phase) time.Duration {
	if p == messages.PhaseApply {
		return r.timing.ApplyLimit
	}
	return r.timing.PlanLimit
}
