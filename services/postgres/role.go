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
	case t.Description != "":
		return t.Description
	default:
		return string(t.Kind)
	}
}

// RoleIn returns the holder's role in the organization (id), as it is now.
func (d *DB) RoleIn(ctx context.Context, t Token, organizationID string) (Role, error) {
	switch {
	case t.Site():
		return RoleAdmin, nil
	case t.Kind == TokenOrganization && t.OrganizationID == organizationID:
		return t.Role, nil
	case t.Kind != TokenUser:
		return RoleNone, nil
	}
	var role Role
	err := d.q(ctx).GetContext(ctx, &role, `SELECT role FROM memberships WHERE organization_id = $1 AND user_id = $2`, organizationID, t.UserID)
	if noRows(err) {
		return RoleNone, nil
	}
	return role, err
}

// OrganizationOf returns the id of the organization that an object belongs to. what is organization (id or name), workspace,
// run, configuration, state, comment, trigger, notification, membership, project, varset, variable, pool (id or number), k8s (a config's id or number) or agent. Errors: not_found, the same as for an object that does not exist at all.
func (d *DB) OrganizationOf(ctx context.Context, what, id string) (string, error) {
	query, known := map[string]string{
		"organization":  `SELECT id FROM organizations WHERE id = $1 OR lower(name) = lower($1) ORDER BY id = $1 DESC LIMIT 1`,
		"workspace":     `SELECT organization_id FROM workspaces WHERE id = $1`,
		"run":           `SELECT organization_id FROM runs WHERE id = $1`,
		"configuration": `SELECT w.organization_id FROM configuration_versions c JOIN workspaces w ON w.id = c.workspace_id WHERE c.id = $1`,
		"state":         `SELECT w.organization_id FROM state_versions s JOIN workspaces w ON w.id = s.workspace_id WHERE s.id = $1`,
		"comment":       `SELECT r.organization_id FROM run_comments c JOIN runs r ON r.id = c.run_id WHERE c.id = $1`,
		"trigger":       `SELECT w.organization_id FROM run_triggers t JOIN workspaces w ON w.id = t.workspace_id WHERE t.id = $1`,
		"notification":  `SELECT w.organization_id FROM notification_configurations c JOIN workspaces w ON w.id = c.workspace_id WHERE c.id = $1`,
		"membership":    `SELECT organization_id FROM memberships WHERE id = $1`,
		"pool":          `SELECT organization_id FROM pools WHERE organization_id IS NOT NULL AND mode = 'agent' AND (id = $1 OR number::text = $1)`,
		"k8s":           `SELECT organization_id FROM pools WHERE organization_id IS NOT NULL AND mode = 'k8s' AND (id = $1 OR number::text = $1)`,
		"agent":         `SELECT p.organization_id FROM workers w JOIN pools p ON p.id = w.pool_id WHERE w.id = $1 AND p.organization_id IS NOT NULL`,
		"project":       `SELECT organization_id FROM projects WHERE id = $1 UNION SELECT id FROM organizations WHERE 'prj-' || substr(id, 5) = $1`,
		"varset":        `SELECT organization_id FROM variable_sets WHERE id = $1`,
		"variable": `SELECT COALESCE(w.organization_id, s.organization_id) FROM variables v
			LEFT JOIN workspaces w ON w.id = v.workspace_id LEFT JOIN variable_sets s ON s.id = v.set_id WHERE v.id = $1`,
	}[what]
	if !known {
		return "", fail(messages.CodeInternal, "nobody knows to which organization a %s belongs", what)
	}
	var out string
	err := d.q(ctx).GetContext(ctx, &out, query, id)
	if noRows(err) {
		return "", notFound(what, id)
	}
	return out, err
}
