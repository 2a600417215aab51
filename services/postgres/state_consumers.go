package postgres

import (
	"context"

	"gantry.example/messages"
)

// StateConsumers lists the workspaces that a workspace names as readers of its state, by name, and the number of all.
func (d *DB) StateConsumers(ctx context.Context, id string, p Page) ([]Workspace, int, error) {
	const where = ` WHERE w.id IN (SELECT consumer_id FROM state_consumers WHERE workspace_id = $1)`
	var total int
	if err := d.q(ctx).GetContext(ctx, &total, `SELECT count(*) FROM workspaces w`+where, id); err != nil {
		return nil, 0, err
	}
	var out []Workspace
	err := d.q(ctx).SelectContext(ctx, &out, selectWorkspace+where+` ORDER BY lower(w.name) LIMIT $2 OFFSET $3`, id, p.limit(), p.offset())
	return out, total, err
}

// SetStateConsumers adds readers of a workspace's state, or replaces those there are. Errors: not_found, naming the workspace.
func (d *DB) SetStateConsumers(ctx context.Context, id string, consumers []string, replace bool) error {
	return d.tx(ctx, func(tx *txn) error {
		w, _, err := lockedWorkspace(ctx, tx, id)
		if err != nil {
			return err
		}
		if replace {
			if _, err := tx.ExecContext(ctx, `DELETE FROM state_consumers WHERE workspace_id = $1`, id); err != nil {
				return err
			}
		}
		for _, consumer := range consumers {
			res, err := tx.ExecContext(ctx, `
				INSERT INTO state_consumers (workspace_id, consumer_id)
				SELECT $1, id FROM workspaces WHERE id = $2 AND organization_id = $3
				ON CONFLICT (workspace_id, consumer_id) DO UPDATE SET consumer_id = EXCLUDED.consumer_id`, id, consumer, w.OrganizationID)
			if err != nil {
				return err
			}
			if n, err := res.RowsAffected(); err != nil || n == 0 {
				return firstError(err, fail(messages.CodeNotFound, "workspace %q does not exist in the organization of workspace %s", consumer, w.Name))
			}
		}
		return nil
	})
}

// DropStateConsumers takes readers of a workspace's state away; those that were none are no error.
func (d *DB) DropStateConsumers(ctx context.Context, id string, consumers []string) error {
	_, err := d.q(ctx).ExecContext(ctx, `DELETE FROM state_consumers WHERE workspace_id = $1 AND consumer_id = ANY ($2)`, id, textArray(consumers))
	return err
}
