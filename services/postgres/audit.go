package postgres

import (
	"context"
	"encoding/json"
	"time"

	"gantry.example/services/run"
)

// Act is something that a person did by the API or a page and that is no change of a run.
type Act struct {
	OrganizationID string    `db:"organization_id"` // "" for what is of the whole installation
	At             time.Time `db:"at"`
	Actor          string    `db:"actor"`
	Action         string    `db:"action"`  // method and pattern of the call
	Summary        string    `db:"summary"` // the same for people
	Object         string    `db:"object"`  // the path that was called, and what it made
}

// RecordAct keeps an act. One that is lost with a power failure a moment later is not worth everybody's waiting for the disk.
func (d *DB) RecordAct(ctx context.Context, a Act) error {
	return d.once(ctx, func(tx *txn) error {
		if _, err := tx.ExecContext(ctx, `SET LOCAL synchronous_commit = off`); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO audit (at, organization_id, actor, action, summary, object) VALUES ($1, $2, $3, $4, $5, $6)`,
			now(), a.OrganizationID, a.Actor, a.Action, a.Summary, a.Object)
		return err
	})
}

// Acts lists the newest acts of an organization (id), "" for those of the whole installation, before a time.
func (d *DB) Acts(ctx context.Context, organizationID string, before time.Time, limit int) ([]Act, error) {
	var out []Act
	err := d.q(ctx).SelectContext(ctx, &out, `
		SELECT organization_id, at, actor, action, summary, object FROM audit WHERE organization_id = $1 AND at < $2 ORDER BY id DESC LIMIT $3`,
		organizationID, before, limit)
	return out, err
}

// RunAct is what somebody did to a run.
type RunAct struct {
	run.Event
	Workspace string // its name
}

// RunActs lists the newest things that people did to runs of an organization (id), before a time. What a worker or the server
// itself did is not among them.
func (d *DB) RunActs(ctx context.Context, organizationID string, before time.Time, limit int) ([]RunAct, error) {
	var rows []struct {
		Event     []byte `db:"event"`
		Workspace string `db:"workspace"`
	}
	if err := d.q(ctx).SelectContext(ctx, &rows, `
		SELECT e.event, w.name AS workspace FROM run_events e JOIN workspaces w ON w.id = e.workspace_id
		WHERE e.organization_id = $1 AND e.type IN ('created', 'confirmed', 'discarded', 'cancel_requested', 'released', 'recovering')
		  AND e.at < $2 ORDER BY e.id DESC LIMIT $3`, organizationID, before, limit); err != nil {
		return nil, err
	}
	out := make([]RunAct, len(rows))
	for i, row := range rows {
		out[i].Workspace = row.Workspace
		if err := json.Unmarshal(row.Event, &out[i].Event); err != nil {
			return nil, err
		}
	}
	return out, nil
}
