package postgres

import (
	"context"
	"time"

	"gantry.example/messages"
)

// RunTrigger says that an applied run of a workspace, the source, begins a run in another one.
type RunTrigger struct {
	ID             string    `db:"id"`
	OrganizationID string    `db:"organization_id"`
	WorkspaceID    string    `db:"workspace_id"`
	WorkspaceName  string    `db:"workspace_name"`
	SourceID       string    `db:"source_id"`
	SourceName     string    `db:"source_name"`
	CreatedAt      time.Time `db:"created_at"`
}

// maxTriggers bounds the sources of one workspace, as TFE does.
const maxTriggers = 20

const selectTrigger = `
	SELECT t.id, w.organization_id, t.workspace_id, w.name AS workspace_name, t.source_id, s.name AS source_name, t.created_at
	FROM run_triggers t JOIN workspaces w ON w.id = t.workspace_id JOIN workspaces s ON s.id = t.source_id`

// CreateRunTrigger makes a source of a workspace. Errors: not_found, invalid (another organization's, itself, a circle of
// two, too many), name_taken for one there is.
func (d *DB) CreateRunTrigger(ctx context.Context, workspaceID, sourceID string) (RunTrigger, error) {
	var out RunTrigger
	err := d.tx(ctx, func(tx *txn) error {
		w, _, err := lockedWorkspace(ctx, tx, workspaceID)
		if err != nil {
			return err
		}
		var have struct {
			Source  bool `db:"source"`
			Circle  bool `db:"circle"`
			Sources int  `db:"sources"`
		}
		if err := tx.GetContext(ctx, &have, `
			SELECT EXISTS (SELECT 1 FROM workspaces WHERE id = $2 AND organization_id = $3) AS source,
			       EXISTS (SELECT 1 FROM run_triggers WHERE workspace_id = $2 AND source_id = $1) AS circle,
			       (SELECT count(*) FROM run_triggers WHERE workspace_id = $1) AS sources`, workspaceID, sourceID, w.OrganizationID); err != nil {
			return err
		}
		switch {
		case sourceID == workspaceID:
			return fail(messages.CodeInvalid, "relationship sourceable: workspace %s cannot begin its own runs", w.Name)
		case !have.Source:
			return fail(messages.CodeInvalid, "relationship sourceable: the organization has no workspace %q", sourceID)
		case have.Circle:
			return fail(messages.CodeInvalid, "relationship sourceable: the runs of %s begin runs of that workspace, so they would never end", w.Name)
		case have.Sources >= maxTriggers:
			return fail(messages.CodeInvalid, "workspace %s has %d sources already, which is as many as there can be", w.Name, have.Sources)
		}
		id := messages.NewID("rt-")
		if _, err := tx.ExecContext(ctx, `INSERT INTO run_triggers (id, workspace_id, source_id, created_at) VALUES ($1, $2, $3, $4)`,
			id, workspaceID, sourceID, now()); err != nil {
			return err
		}
		return tx.GetContext(ctx, &out, selectTrigger+` WHERE t.id = $1`, id)
	})
	if uniqueViolation(err) {
		return out, fail(messages.CodeNameTaken, "relationship sourceable: workspace %s begins runs here already", sourceID)
	}
	return out, err
}

// RunTriggers lists the triggers of a workspace: those that begin its runs, or, outbound, those that its runs set off.
func (d *DB) RunTriggers(ctx context.Context, workspaceID string, outbound bool, p Page) ([]RunTrigger, int, error) {
	where := ` WHERE t.workspace_id = $1`
	if outbound {
		where = ` WHERE t.source_id = $1`
	}
	var total int
	if err := d.q(ctx).GetContext(ctx, &total, `SELECT count(*) FROM run_triggers t`+where, workspaceID); err != nil {
		return nil, 0, err
	}
	var out []RunTrigger
	err := d.q(ctx).SelectContext(ctx, &out, selectTrigger+where+` ORDER BY t.created_at DESC, t.id LIMIT $2 OFFSET $3`, workspaceID, p.limit(), p.offset())
	return out, total, err
}

// RunTrigger returns a trigger by id. Errors: not_found.
func (d *DB) RunTrigger(ctx context.Context, id string) (RunTrigger, error) {
	var t RunTrigger
	err := d.q(ctx).GetContext(ctx, &t, selectTrigger+` WHERE t.id = $1`, id)
	if noRows(err) {
		return t, notFound("run trigger", id)
	}
	return t, err
}

// DeleteRunTrigger deletes a trigger. Errors: not_found.
func (d *DB) DeleteRunTrigger(ctx context.Context, id string) error {
	res, err := d.q(ctx).ExecContext(ctx, `DELETE FROM run_triggers WHERE id = $1`, id)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return firstError(err, notFound("run trigger", id))
	}
	return nil
}
