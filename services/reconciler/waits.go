package reconciler

import (
	"context"
	"fmt"
	"time"

	"gantry.example/services/run"
)

// waits ends the runs that waited for a worker or for approval for longer than they may.
func (r *Reconciler) waits(ctx context.Context) error {
	if time.Since(r.waited) < r.timing.Waits {
		return nil
	}
	r.waited = time.Now()
	limits := r.timing.Limits
	waiting, err := r.db.WaitingRuns(ctx, limits.Queue > 0 || limits.Approval > 0)
	if err != nil {
		return fmt.Errorf("runs that wait: %w", err)
	}
	for _, w := range waiting {
		at, limit := w.Expiry(limits)
		if at.IsZero() || time.Now().Before(at) {
			continue
		}
		r.log.Info("reconciler: run waited past its limit", "run", w.ID, "status", w.Status, "limit", limit)
		r.judge(ctx, w.ID, "", run.Expire{Defaults: limits})
	}
	return nil
}
