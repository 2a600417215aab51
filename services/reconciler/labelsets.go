package reconciler

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// tidyEvery is between two looks at the label sets that nobody uses any more.
const tidyEvery = time.Hour

// labelSets forgets the label sets that no run has used for a day, and deletes their consumers: what costs is their number.
func (r *Reconciler) labelSets(ctx context.Context) error {
	if time.Since(r.tidied) < tidyEvery {
		return nil
	}
	r.tidied = time.Now()
	if err := r.db.ForgetLabelSets(ctx); err != nil {
		return fmt.Errorf("unused label sets: %w", err)
	}
	pools, err := r.db.AgentPools(ctx)
	if err != nil {
		return fmt.Errorf("pools of agents: %w", err)
	}
	var failed error
	for _, pool := range pools {
		n, err := r.bus.KeepTaskConsumers(ctx, pool, func(ctx context.Context) ([][]string, error) { return r.db.LabelSets(ctx, pool) })
		if n > 0 {
			r.log.Info("reconciler: deleted the consumers of label sets that nobody uses", "pool", pool, "consumers", n)
		}
		failed = errors.Join(failed, err)
	}
	return failed
}
