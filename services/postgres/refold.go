package postgres

import (
	"context"
	"encoding/json"

	"github.com/jmoiron/sqlx"

	"gantry.example/services/run"
)

// Refold rebuilds runs, tasks and attempts from run_events, which is the truth. Organizations and workspaces must exist.
func (d *DB) Refold(ctx context.Context) error {
	return d.tx(ctx, func(tx *sqlx.Tx) error {
		var ids []string
		if err := tx.SelectContext(ctx, &ids, `SELECT run_id FROM run_events WHERE type = 'created' ORDER BY id`); err != nil {
			return err
		}
		for _, id := range ids {
			var docs [][]byte
			if err := tx.SelectContext(ctx, &docs, `SELECT event FROM run_events WHERE run_id = $1 ORDER BY seq`, id); err != nil {
				return err
			}
			var r run.Run
			for _, doc := range docs {
				var e run.Event
				if err := json.Unmarshal(doc, &e); err != nil {
					return err
				}
				r = run.Fold(r, e)
			}
			if err := storeRun(ctx, tx, r); err != nil {
				return err
			}
		}
		return nil
	})
}
