package postgres

import (
	"context"
	"slices"

	"gantry.example/messages"
)

// Role is what somebody may do in an organization. Each role includes those before it in Roles.
type Role string

// The roles.
const (
	RoleNone  Role = ""      // not a member: the organization does not exist for them
	RoleRead  Role = "read"  // look at everything
	RolePlan  Role = "plan"  // ask for runs, which somebody else approves
	RoleWrite Role = "write" // apply; lock; change workspaces, variables and states
	RoleAdmin Role = "admin" // members, tokens and settings; where runs execute; delete; force
)

// Roles lists the roles, least first.
func Roles() []Role { return []Role{RoleRead, RolePlan, RoleWrite, RoleAdmin} }

// Covers reports whether r includes need. RoleNone covers nothing but itself.
func (r Role) Covers(need Role) bool {
	all := append([]Role{RoleNone}, Roles()...)
	at := slices.Index(all, r)
	return at >= 0 && at >= slices.Index(all, need) && slices.Contains(all, need)
}

func checkRole(r Role) error {
	if slices.Contains(Roles(), r) {
		return nil
	}
	return fail(messages.CodeInvalid, "field role: %q is not one of read, plan, write, admin", r)
}

// Site reports whether the holder administrates the whole installation: a site admin among the users, or an admin token.
func (t Token) Site() bool { return t.Kind == TokenAdmin || t.Kind == TokenUser && t.SiteAdmin }

// Actor is the name under which people see what the holder does.
func (t Token) Actor() string {
	switch {
	case t.Kind == TokenUser:
		return t.Username
	case t.Kind == TokenOrganization: // no user can have a name with a space in it
		return "token " + t.Description
	case t.Kind == TokenTeam:
		return "team " + t.Team
	case t.Description != "":
		return t.Description
	default:
		return string(t.Kind)
	}
}

// RoleIn returns the holder's role in the organization (id), as it is now.
func (d *DB) RoleIn(ctx context.Context, t Token, organizationID string) (Role, error) {
	return d.RoleAt(ctx, t, Place{OrganizationID: organizationID})
}

// Place is where an object is.
type Place struct {
	OrganizationID string `db:"organization_id"`
	WorkspaceID    string `db:"workspace_id"` // "" for what is in no workspace
}

// RoleAt returns the holder's role in the place, as it is now: the one in the organization or, in a workspace, the one of a
// team there if that is more. Teams give nothing to who is not in the organization.
func (d *DB) RoleAt(ctx context.Context, t Token, at Place) (Role, error) {
	var roles []Role
	switch {
	case t.Site():
		return RoleAdmin, nil
	case t.OrganizationID != "" && t.OrganizationID == at.OrganizationID:
		roles = []Role{t.Role}
	case t.Kind == TokenUser:
		if err := d.q(ctx).SelectContext(ctx, &roles, `SELECT role FROM memberships WHERE organization_id = $1 AND user_id = $2`, at.OrganizationID, t.UserID); err != nil {
			return RoleNone, err
		}
	}
	if len(roles) == 0 || at.WorkspaceID == "" || roles[0] == RoleAdmin || t.UserID == "" && t.TeamID == "" {
		return most(roles), nil
	}
	var ofTeams []Role
	err := d.q(ctx).SelectContext(ctx, &ofTeams, `
		SELECT a.role FROM team_workspaces a JOIN teams t ON t.id = a.team_id
		WHERE a.workspace_id = $1 AND t.organization_id = $2
		  AND (t.id = NULLIF($3, '') OR EXISTS (SELECT 1 FROM team_members m WHERE m.team_id = t.id AND m.user_id = NULLIF($4, '')))`,
		at.WorkspaceID, at.OrganizationID, t.TeamID, t.UserID)
	return most(append(roles, ofTeams...)), err
}

// most is the greatest of the roles, RoleNone of none.
func most(roles []Role) Role {
	out := RoleNone
	for _, r := range roles {
		if r.Covers(out) {
			out = r
		}
	}
	return out
}

// Locate returns where an object is. what is organization (id or name), workspace, named (a workspace's: organization/name),
// run, configuration, state, comment, trigger, notification, access (of a team in a workspace), membership, team, project, varset,
// variable, pool (id or number), k8s (a config's id or number) or agent. Errors: not_found, the same as for an object that does
// not exist at all; a workspace that is named and does not exist is in its organization.
func (d *DB) Locate(ctx context.Context, what, id string) (Place, error) {
	query, known := places()[what]
	if !known {
		return Place{}, fail(messages.CodeInternal, "nobody knows to which organization a %s belongs", what)
	}
	var out Place
	err := d.q(ctx).GetContext(ctx, &out, query, id)
	if noRows(err) {
		return out, notFound(what, id)
	}
	return out, err
}

func places() map[string]string {
	const inWorkspace = `SELECT w.organization_id, w.id AS workspace_id FROM workspaces w`
	const inOrganization = `SELECT x.organization_id, '' AS workspace_id FROM `
	return map[string]string{
		"organization": `SELECT id AS organization_id, '' AS workspace_id FROM organizations WHERE id = $1 OR lower(name) = lower($1) ORDER BY id = $1 DESC LIMIT 1`,
		"named": `SELECT o.id AS organization_id, COALESCE(w.id, '') AS workspace_id FROM organizations o
			LEFT JOIN workspaces w ON w.organization_id = o.id AND lower(w.name) = lower(split_part($1, '/', 2))
			WHERE o.id = split_part($1, '/', 1) OR lower(o.name) = lower(split_part($1, '/', 1)) ORDER BY o.id = split_part($1, '/', 1) DESC LIMIT 1`,
		"workspace":     inWorkspace + ` WHERE w.id = $1`,
		"run":           `SELECT organization_id, workspace_id FROM runs WHERE id = $1`,
		"configuration": inWorkspace + ` JOIN configuration_versions c ON w.id = c.workspace_id WHERE c.id = $1`,
		"state":         inWorkspace + ` JOIN state_versions s ON w.id = s.workspace_id WHERE s.id = $1`,
		"comment":       `SELECT r.organization_id, r.workspace_id FROM run_comments c JOIN runs r ON r.id = c.run_id WHERE c.id = $1`,
		"trigger":       inWorkspace + ` JOIN run_triggers t ON w.id = t.workspace_id WHERE t.id = $1`,
		"notification":  inWorkspace + ` JOIN notification_configurations c ON w.id = c.workspace_id WHERE c.id = $1`,
		"access":        inWorkspace + ` JOIN team_workspaces a ON w.id = a.workspace_id WHERE a.id = $1`,
		"membership":    inOrganization + `memberships x WHERE x.id = $1`,
		"team":          inOrganization + `teams x WHERE x.id = $1 UNION SELECT id, '' FROM organizations WHERE 'team-' || substr(id, 5) = $1`,
		"pool":          inOrganization + `pools x WHERE x.organization_id IS NOT NULL AND x.mode = 'agent' AND (x.id = $1 OR x.number::text = $1)`,
		"k8s":           inOrganization + `pools x WHERE x.organization_id IS NOT NULL AND x.mode = 'k8s' AND (x.id = $1 OR x.number::text = $1)`,
		"agent":         inOrganization + `workers a JOIN pools x ON x.id = a.pool_id WHERE a.id = $1 AND x.organization_id IS NOT NULL`,
		"project":       inOrganization + `projects x WHERE x.id = $1 UNION SELECT id, '' FROM organizations WHERE 'prj-' || substr(id, 5) = $1`,
		"varset":        inOrganization + `variable_sets x WHERE x.id = $1`,
		"variable": `SELECT COALESCE(w.organization_id, s.organization_id) AS organization_id, COALESCE(w.id, '') AS workspace_id FROM variables v
			LEFT JOIN workspaces w ON w.id = v.workspace_id LEFT JOIN variable_sets s ON s.id = v.set_id WHERE v.id = $1`,
	}
}
