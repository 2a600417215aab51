package reconciler

import (
	"context"
	"fmt"
	"time"
)

// sweepEvery is between two looks for what deleted pools have left.
const sweepEvery = time.Minute

// pools deletes the queues and the leases of pools that were deleted. No run of such a pool is open, or it would still exist.
func (r *Reconciler) pools(ctx context.Context) error {
	if time.Since(r.swept) < sweepEvery {
		return nil
	}
	deleted, err := r.bus.KeepPools(ctx, r.db.AllPools)
	if len(deleted) > 0 {
		r.log.Info("reconciler: deleted the streams of pools that do not exist any more", "streams", deleted)
	}
	if err != nil {
		return fmt.Errorf("streams of deleted pools: %w", err)
	}
	r.swept = time.Now()
	return nil
}
