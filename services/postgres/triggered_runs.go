package postgres

import (
	"context"
	"errors"
	"fmt"

	"gantry.example/services/run"
)

const (
	triggerLock   = 0x74726967 // "trig"
	triggerCursor = "trigger_cursor"
	sourceTrigger = "tfe-run-trigger"
)

// NoteTriggers notes which runs are to begin because runs of their workspaces' sources were applied since it was last called,
// by whichever server. The first call ever starts from now.
func (d *DB) NoteTriggers(ctx context.Context) error {
	return d.weighed(ctx, func(tx *txn) error {
		c, ok, err := eventStep(ctx, tx, triggerLock, triggerCursor)
		if err != nil || !ok {
			return err
		}
		res, err := tx.ExecContext(ctx, `
			INSERT INTO triggered_runs (workspace_id, source_run, source_name)
			SELECT t.workspace_id, e.run_id, s.name
			FROM run_events e JOIN run_triggers t ON t.source_id = e.workspace_id JOIN workspaces s ON s.id = e.workspace_id
			WHERE e.type = 'applied' AND e.xid >= pg_snapshot_xmin($1::pg_snapshot) AND NOT pg_visible_in_snapshot(e.xid, $1::pg_snapshot)
			  AND pg_visible_in_snapshot(e.xid, $2::pg_snapshot)
			ON CONFLICT DO NOTHING`, c.From, c.To)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 && snapshotMax(c.To)-snapshotMax(c.From) < cursorStep {
			return err // an idle server writes nothing
		}
		return saveCursor(ctx, tx, triggerCursor, Cursor{From: c.To, To: c.To})
	})
}

// Triggered is what became of a trigger that went off.
type Triggered struct {
	Run                                run.Run
	WorkspaceID, SourceRun, SourceName string
	Refused                            error // why there is no run; it is not tried again
}

// BeginTriggered makes the run of one trigger that went off; ok is false when none waits. A run that its workspace refuses (it
// has no configuration, or runs elsewhere) is given up.
func (d *DB) BeginTriggered(ctx context.Context) (out Triggered, ok bool, err error) {
	err = d.once(ctx, func(tx *txn) error {
		var next struct {
			ID         int64  `db:"id"`
			Workspace  string `db:"workspace_id"`
			SourceRun  string `db:"source_run"`
			SourceName string `db:"source_name"`
			AutoApply  bool   `db:"auto_apply"`
		}
		err := tx.GetContext(ctx, &next, `
			SELECT t.id, t.workspace_id, t.source_run, t.source_name, COALESCE(w.kept ->> 'auto-apply-run-trigger' = 'true', false) AS auto_apply
			FROM triggered_runs t JOIN workspaces w ON w.id = t.workspace_id ORDER BY t.id LIMIT 1 FOR UPDATE OF t SKIP LOCKED`)
		if noRows(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM triggered_runs WHERE id = $1`, next.ID); err != nil {
			return err
		}
		out, ok = Triggered{WorkspaceID: next.Workspace, SourceRun: next.SourceRun, SourceName: next.SourceName}, true
		if _, err := tx.ExecContext(ctx, `SAVEPOINT creating`); err != nil {
			return err
		}
		out.Run, out.Refused = d.CreateRun(context.WithValue(ctx, txKey{}, tx), NewRun{
			WorkspaceID: next.Workspace, Options: run.Options{AutoApply: next.AutoApply}, Source: sourceTrigger, CreatedBy: "run trigger",
			Message: fmt.Sprintf("Triggered by run %s of workspace %s", next.SourceRun, next.SourceName),
		})
		var coded *Error
		switch {
		case out.Refused == nil:
			return nil
		case !errors.As(out.Refused, &coded):
			return out.Refused
		}
		_, err = tx.ExecContext(ctx, `ROLLBACK TO SAVEPOINT creating`)
		return err
	})
	return out, ok && err == nil, err
}
