package postgres

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"gantry.example/messages"
)

// Team is some members of an organization, who together have a role in workspaces: see TeamAccess.
type Team struct {
	ID             string    `db:"id"`
	OrganizationID string    `db:"organization_id"`
	Name           string    `db:"name"`
	Kept           []byte    `db:"kept"`   // see Organization
	Access         []byte    `db:"access"` // the same, of TFE's organization-access
	CreatedAt      time.Time `db:"created_at"`
	Members        int       `db:"members"` // how many
}

// Owners is what the team is called that every organization has: its members are the organization's admins.
const Owners = "owners"

// Owners reports whether the team is that of the owners.
func (t Team) Owners() bool { return t.ID == ownersID(t.OrganizationID) }

func ownersID(organization string) string { return "team-" + strings.TrimPrefix(organization, "org-") }

// isOwners is the condition that a team t is that of the owners.
const isOwners = `t.id = 'team-' || substr(t.organization_id, 5)`

// ofTeam is the condition that a membership m is one of a member of team t.
const ofTeam = `m.organization_id = t.organization_id AND CASE WHEN ` + isOwners + ` THEN m.role = 'admin'
	ELSE EXISTS (SELECT 1 FROM team_members tm WHERE tm.team_id = t.id AND tm.user_id = m.user_id) END`

const selectTeam = `
	SELECT t.id, t.organization_id, t.name, t.kept, t.access, t.created_at, (SELECT count(*) FROM memberships m WHERE ` + ofTeam + `) AS members
	FROM teams t`

// ensureOwners makes the owners' team of an organization that has none yet. It is made when somebody looks, so that nothing
// that makes an organization needs to know.
func ensureOwners(ctx context.Context, q querier, where string, arg any) error {
	_, err := q.ExecContext(ctx, `
		INSERT INTO teams (id, organization_id, name, created_at)
		SELECT 'team-' || substr(o.id, 5), o.id, $1, o.created_at FROM organizations o
		WHERE `+where+` AND NOT EXISTS (SELECT 1 FROM teams t WHERE t.id = 'team-' || substr(o.id, 5)) ON CONFLICT DO NOTHING`, Owners, arg)
	return err
}

// TeamFilter selects teams. Empty fields select all.
type TeamFilter struct {
	Names []string // one of these
	Part  string   // of the name, in any case
	Page  Page
}

// Teams lists the teams of an organization (id) by name, and the number of all that the filter selects.
func (d *DB) Teams(ctx context.Context, organizationID string, f TeamFilter) ([]Team, int, error) {
	if err := ensureOwners(ctx, d.q(ctx), `o.id = $2`, organizationID); err != nil {
		return nil, 0, err
	}
	var c conditions
	c.add(`t.organization_id = $$`, organizationID)
	if len(f.Names) > 0 {
		c.add(`lower(t.name) = ANY (SELECT lower(n) FROM unnest($$::text[]) n)`, textArray(f.Names))
	}
	if f.Part != "" {
		c.add(`strpos(lower(t.name), lower($$)) > 0`, f.Part)
	}
	var total int
	if err := d.q(ctx).GetContext(ctx, &total, `SELECT count(*) FROM teams t`+c.where(), c.args...); err != nil {
		return nil, 0, err
	}
	var out []Team
	where := c.where()
	err := d.q(ctx).SelectContext(ctx, &out, selectTeam+where+` ORDER BY lower(t.name) LIMIT `+c.arg(f.Page.limit())+` OFFSET `+c.arg(f.Page.offset()), c.args...)
	return out, total, err
}

// Team returns a team. Errors: not_found.
func (d *DB) Team(ctx context.Context, id string) (Team, error) {
	var t Team
	if err := ensureOwners(ctx, d.q(ctx), `'team-' || substr(o.id, 5) = $2`, id); err != nil {
		return t, err
	}
	err := d.q(ctx).GetContext(ctx, &t, selectTeam+` WHERE t.id = $1`, id)
	if noRows(err) {
		return t, notFound("team", id)
	}
	return t, err
}

// TeamChange is a partial update, or what a team is created from: nil fields stay, or are empty.
type TeamChange struct {
	Name         *string
	Kept, Access json.RawMessage // merged over what is kept; see Organization
}

func (c TeamChange) check() error {
	if c.Name == nil {
		return nil
	}
	name := *c.Name
	if name == "" || len(name) > messages.MaxNameLength || strings.TrimSpace(name) != name {
		return fail(messages.CodeInvalid, "field name: %q must have 1 to %d characters, and no space at its ends", name, messages.MaxNameLength)
	}
	return nil
}

func teamNameTaken(name string) error {
	return fail(messages.CodeNameTaken, "the organization has a team named %q already", name)
}

// CreateTeam creates a team of an organization (id), without members. Errors: invalid, name_taken.
func (d *DB) CreateTeam(ctx context.Context, organizationID string, c TeamChange) (Team, error) {
	if c.Name == nil {
		return Team{}, fail(messages.CodeInvalid, "field name: missing: name the team")
	}
	if err := c.check(); err != nil {
		return Team{}, err
	}
	if err := ensureOwners(ctx, d.q(ctx), `o.id = $2`, organizationID); err != nil {
		return Team{}, err
	}
	id := messages.NewID("team-")
	_, err := d.q(ctx).ExecContext(ctx, `INSERT INTO teams (id, organization_id, name, kept, access, created_at) VALUES ($1, $2, $3, $4, $5, $6)`,
		id, organizationID, *c.Name, keptDocument(c.Kept), keptDocument(c.Access), now())
	switch {
	case uniqueViolation(err):
		return Team{}, teamNameTaken(*c.Name)
	case refersToNothing(err):
		return Team{}, notFound("organization", organizationID)
	case err != nil:
		return Team{}, err
	}
	return d.Team(ctx, id)
}

// UpdateTeam changes a team. Errors: not_found, invalid, name_taken; conflict for another name of the owners.
func (d *DB) UpdateTeam(ctx context.Context, id string, c TeamChange) (Team, error) {
	if err := c.check(); err != nil {
		return Team{}, err
	}
	t, err := d.Team(ctx, id)
	if err != nil {
		return t, err
	}
	if t.Owners() && c.Name != nil && *c.Name != t.Name {
		return t, fail(messages.CodeConflict, "the team of the owners keeps its name: every organization has one")
	}
	_, err = d.q(ctx).ExecContext(ctx, `UPDATE teams SET name = COALESCE($2, name), kept = kept || $3, access = access || $4 WHERE id = $1`,
		t.ID, c.Name, keptDocument(c.Kept), keptDocument(c.Access))
	if uniqueViolation(err) {
		return t, teamNameTaken(*c.Name)
	}
	if err != nil {
		return t, err
	}
	return d.Team(ctx, id)
}

// DeleteTeam deletes a team with its tokens and what it may do; its members stay in the organization. Errors: not_found;
// conflict for the owners.
func (d *DB) DeleteTeam(ctx context.Context, id string) error {
	t, err := d.Team(ctx, id)
	if err != nil {
		return err
	}
	if t.Owners() {
		return fail(messages.CodeConflict, "the team of the owners cannot be deleted: every organization has one")
	}
	_, err = d.q(ctx).ExecContext(ctx, `DELETE FROM teams WHERE id = $1`, id)
	return err
}

// TeamMembers lists the members of a team by name.
func (d *DB) TeamMembers(ctx context.Context, team string) ([]Membership, error) {
	var out []Membership
	err := d.q(ctx).SelectContext(ctx, &out, selectMembership+` JOIN teams t ON `+ofTeam+` WHERE t.id = $1 ORDER BY lower(u.username)`, team)
	return out, err
}

// AddToTeam makes members of the organization (their users' ids) members of the team, all or none. Who becomes an owner becomes
// an admin of the organization. Errors: not_found (team, and user for who is no member).
func (d *DB) AddToTeam(ctx context.Context, team string, users []string) error {
	return d.changeMembers(ctx, team, users, RoleAdmin, `
		INSERT INTO team_members (team_id, organization_id, user_id)
		SELECT $1, organization_id, user_id FROM memberships WHERE organization_id = $2 AND user_id = $3 ON CONFLICT DO NOTHING`)
}

// RemoveFromTeam ends that; who is not in the team stays out of it. Who was an owner still reads the organization. Errors:
// not_found (team, and user for who is no member of the organization); conflict for the last owner.
func (d *DB) RemoveFromTeam(ctx context.Context, team string, users []string) error {
	return d.changeMembers(ctx, team, users, RoleRead, `DELETE FROM team_members WHERE team_id = $1 AND organization_id = $2 AND user_id = $3`)
}

// changeMembers carries out the statement for each user, or, for the owners, gives them the role.
func (d *DB) changeMembers(ctx context.Context, team string, users []string, owner Role, statement string) error {
	t, err := d.Team(ctx, team)
	if err != nil {
		return err
	}
	return d.tx(ctx, func(tx *txn) error {
		for _, user := range users {
			var member bool
			if err := tx.GetContext(ctx, &member, `SELECT EXISTS (SELECT 1 FROM memberships WHERE organization_id = $1 AND user_id = $2)`, t.OrganizationID, user); err != nil {
				return err
			}
			if !member {
				return fail(messages.CodeNotFound, "user %q is no member of the organization of team %q: make them a member first", user, t.Name)
			}
			if t.Owners() {
				err = setMember(ctx, tx, t.OrganizationID, user, owner)
			} else {
				_, err = tx.ExecContext(ctx, statement, t.ID, t.OrganizationID, user)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}
