package postgres

import (
	"context"
	"encoding/json"

	"gantry.example/internal/statefile"
	"gantry.example/messages"
	"gantry.example/services/run"
)

// DeleteWorkspace removes a workspace with its configurations, runs, logs, plans and states. Plan-only runs that go on are
// told to stop. With safely, it is refused when somebody locked it or its state still has resources. Errors: not_found;
// workspace.locked while a run holds the gate (or, safely, by hand); conflict (safely) for resources.
func (d *DB) DeleteWorkspace(ctx context.Context, id, by string, safely bool) error {
	return d.tx(ctx, func(tx *txn) error { return d.deleteWorkspace(ctx, tx, id, by, safely) })
}

func (d *DB) deleteWorkspace(ctx context.Context, tx *txn, id, by string, safely bool) error {
	w, _, err := lockedWorkspace(ctx, tx, id)
	if err != nil {
		return err
	}
	if err := w.heldByRun(); err != nil {
		return err
	}
	if safely {
		if err := d.safeToDelete(ctx, tx, w); err != nil {
			return err
		}
	}
	if err := stopRuns(ctx, tx, id, by); err != nil {
		return err
	}
	return deleteRows(ctx, tx, id)
}

// safeToDelete must not say "locked" of a workspace that has resources: clients of TFE tell the two apart by that word.
func (d *DB) safeToDelete(ctx context.Context, tx *txn, w Workspace) error {
	if w.Locked {
		return fail(messages.CodeWorkspaceLocked, "workspace %s is locked by User %s%s: unlock it before deleting it", w.path(), w.LockedBy, because(w.LockReason))
	}
	var stateID *string
	if err := tx.GetContext(ctx, &stateID, `SELECT state_id FROM workspaces WHERE id = $1`, w.ID); err != nil || stateID == nil {
		return err
	}
	state, err := d.state(ctx, tx, *stateID)
	if err != nil {
		return err
	}
	managed := 0
	err = statefile.Resources(state, func(dec *json.Decoder) error {
		var r struct {
			Mode      string     `json:"mode"`
			Instances []struct{} `json:"instances"`
		}
		err := dec.Decode(&r)
		if r.Mode != "data" {
			managed += len(r.Instances)
		}
		return err
	})
	if err != nil {
		return err
	}
	if managed > 0 {
		return fail(messages.CodeConflict,
			"workspace %s is not safe to delete: it still manages %d resources", w.path(), managed)
	}
	return nil
}

// stopRuns cancels the runs that are not over, so that queued messages are taken back and runners told to stop. They are
// locked in the order in which the projector locks plan-only runs: no exclusive run goes on, because none holds the gate.
func stopRuns(ctx context.Context, tx *txn, workspaceID, by string) error {
	var docs [][]byte
	if err := tx.SelectContext(ctx, &docs, `SELECT doc FROM runs WHERE workspace_id = $1 AND status IN `+openStatuses+` ORDER BY id FOR UPDATE`,
		workspaceID); err != nil {
		return err
	}
	for _, doc := range docs {
		r, err := decodeRun(doc)
		if err != nil {
			return err
		}
		l := &locked{tx: tx, run: r}
		for _, in := range []run.Input{run.Cancel{Comment: "workspace deleted"}, run.Cancel{Comment: "workspace deleted", Force: true}} {
			if l.run.Status.Final() {
				break
			}
			if _, _, err := l.apply(ctx, in, Cause{Actor: by}); err != nil {
				return err
			}
		}
	}
	return nil
}

// deleteRows removes what belongs to the workspace. Rows that only belong to a run or configuration go with it; they are
// deleted before their blobs, so that who is just storing one has done so, or finds its owner gone.
func deleteRows(ctx context.Context, tx *txn, workspaceID string) error {
	var owners []string
	if err := tx.SelectContext(ctx, &owners, `
		WITH gone AS (DELETE FROM configuration_versions WHERE workspace_id = $1 RETURNING id),
		     over AS (DELETE FROM runs WHERE workspace_id = $1 RETURNING id),
		     states AS (DELETE FROM state_versions WHERE workspace_id = $1 RETURNING id)
		SELECT id FROM gone UNION ALL SELECT id FROM over UNION ALL SELECT id FROM states`, workspaceID); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM blobs WHERE owner = ANY ($1)`, textArray(owners)); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM run_events WHERE run_id = ANY ($1)`, textArray(owners)); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM workspaces WHERE id = $1`, workspaceID)
	return err
}
