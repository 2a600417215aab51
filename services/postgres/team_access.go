package postgres

import (
	"context"
	"time"

	"gantry.example/messages"
)

// TeamAccess is the role that a team has in a workspace. RoleAt is where it counts.
type TeamAccess struct {
	ID          string    `db:"id"`
	TeamID      string    `db:"team_id"`
	WorkspaceID string    `db:"workspace_id"`
	Role        Role      `db:"role"`
	CreatedAt   time.Time `db:"created_at"`
}

const selectTeamAccess = `SELECT a.id, a.team_id, a.workspace_id, a.role, a.created_at FROM team_workspaces a`

// TeamAccesses lists who has a role in a workspace, by the teams' names, and the number of them.
func (d *DB) TeamAccesses(ctx context.Context, workspace string, p Page) ([]TeamAccess, int, error) {
	var total int
	if err := d.q(ctx).GetContext(ctx, &total, `SELECT count(*) FROM team_workspaces WHERE workspace_id = $1`, workspace); err != nil {
		return nil, 0, err
	}
	var out []TeamAccess
	err := d.q(ctx).SelectContext(ctx, &out, selectTeamAccess+`
		JOIN teams t ON t.id = a.team_id WHERE a.workspace_id = $1 ORDER BY lower(t.name) LIMIT $2 OFFSET $3`, workspace, p.limit(), p.offset())
	return out, total, err
}

// TeamAccess returns one by id. Errors: not_found.
func (d *DB) TeamAccess(ctx context.Context, id string) (TeamAccess, error) {
	var a TeamAccess
	err := d.q(ctx).GetContext(ctx, &a, selectTeamAccess+` WHERE a.id = $1`, id)
	if noRows(err) {
		return a, notFound("team access", id)
	}
	return a, err
}

// GiveAccess gives a team of the workspace's organization a role in it. Errors: not_found (team, of another organization too),
// invalid; conflict where the team has one already, and for the owners, who may do everything.
func (d *DB) GiveAccess(ctx context.Context, team, workspace string, role Role) (TeamAccess, error) {
	if err := checkAccess(role); err != nil {
		return TeamAccess{}, err
	}
	t, err := d.Team(ctx, team)
	if err != nil {
		return TeamAccess{}, err
	}
	if t.Owners() {
		return TeamAccess{}, fail(messages.CodeConflict, "the owners may do everything in every workspace of their organization")
	}
	a := TeamAccess{ID: messages.NewID("tws-"), TeamID: t.ID, WorkspaceID: workspace, Role: role, CreatedAt: now()}
	res, err := d.q(ctx).ExecContext(ctx, `
		INSERT INTO team_workspaces (id, team_id, workspace_id, role, created_at)
		SELECT $1, $2, id, $4, $5 FROM workspaces WHERE id = $3 AND organization_id = $6`, a.ID, a.TeamID, a.WorkspaceID, a.Role, a.CreatedAt, t.OrganizationID)
	if uniqueViolation(err) {
		return a, fail(messages.CodeConflict, "team %q has a role in the workspace already: change that", t.Name)
	}
	if err != nil {
		return a, err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return a, firstError(err, notFound("team", team))
	}
	return a, nil
}

// ChangeAccess changes the role. Errors: not_found, invalid.
func (d *DB) ChangeAccess(ctx context.Context, id string, role Role) (TeamAccess, error) {
	if err := checkAccess(role); err != nil {
		return TeamAccess{}, err
	}
	if _, err := d.q(ctx).ExecContext(ctx, `UPDATE team_workspaces SET role = $2 WHERE id = $1`, id, role); err != nil {
		return TeamAccess{}, err
	}
	return d.TeamAccess(ctx, id)
}

// EndAccess takes the role away. Errors: not_found.
func (d *DB) EndAccess(ctx context.Context, id string) error {
	res, err := d.q(ctx).ExecContext(ctx, `DELETE FROM team_workspaces WHERE id = $1`, id)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return firstError(err, notFound("team access", id))
	}
	return nil
}

func checkAccess(r Role) error {
	if checkRole(r) == nil {
		return nil
	}
	return fail(messages.CodeInvalid, "field access: %q is not one of read, plan, write, admin", r)
}
