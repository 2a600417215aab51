package postgres

import (
	"context"
	"encoding/json"

	"gantry.example/services/run"
)

// Refold rebuilds runs, tasks and attempts from run_events, which is the truth. Organizations and workspaces must exist.
// Changes of runs wait until it is done.
func (d *DB) Refold(ctx context.Context) error {
	return d.tx(ctx, func(tx *txn) error {
		if _, err := tx.ExecContext(ctx, `LOCK TABLE runs IN SHARE ROW EXCLUSIVE MODE`); err != nil {
			return err
		}
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
			if _, err := store(ctx, tx, run.Run{}, r, nil, beside{}); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, `
			UPDATE runs r SET newest = NULL WHERE r.newest
			AND EXISTS (SELECT 1 FROM runs n WHERE n.workspace_id = r.workspace_id AND n.position > r.position)`); err != nil {
			return err
		}
		// The next run comes after all of these, also where the sequence is new.
		_, err := tx.ExecContext(ctx, `
			SELECT setval('run_positions', GREATEST((SELECT max(position) FROM runs), (SELECT last_value FROM run_positions)))`)
		return err
	})
}
