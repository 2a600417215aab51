package postgres

import (
	"context"
	"strings"
	"time"
	"unicode/utf8"

	"gantry.example/internal/variable"
	"gantry.example/messages"
)

// VariableSet is a named group of variables for all workspaces of an organization (Global) or for some.
type VariableSet struct {
	ID               string    `db:"id"`
	OrganizationID   string    `db:"organization_id"`
	OrganizationName string    `db:"organization_name"`
	Name             string    `db:"name"`
	Description      string    `db:"description"`
	Global           bool      `db:"global"`
	Priority         bool      `db:"priority"` // wins over workspaces and runs
	CreatedAt        time.Time `db:"created_at"`
	UpdatedAt        time.Time `db:"updated_at"`

	Workspaces []string // ids of those it was given to
	Projects   []string // ids; all their workspaces have it
	Variables  []string // ids
}

// NewVariableSet is what a variable set is created from.
type NewVariableSet struct {
	Organization     string // id or name
	Name             string
	Description      string
	Global, Priority bool
	Workspaces       []string // ids
	Projects         []string // ids
}

// VariableSetChange is a partial update: nil fields stay.
type VariableSetChange struct {
	Name, Description *string
	Global, Priority  *bool
	Workspaces        *[]string
	Projects          *[]string
}

// maxSetName is the longest name of a variable set in characters.
const maxSetName = 90

const selectVariableSet = `
	SELECT s.id, s.organization_id, o.name AS organization_name, s.name, s.description, s.global, s.priority, s.created_at, s.updated_at
	FROM variable_sets s JOIN organizations o ON o.id = s.organization_id`

func checkSet(name, description string) error {
	switch n := utf8.RuneCountInString(name); {
	case strings.TrimSpace(name) == "":
		return fail(messages.CodeInvalid, "field name: missing: name the variable set")
	case n > maxSetName:
		return fail(messages.CodeInvalid, "field name: longer than %d characters", maxSetName)
	case utf8.RuneCountInString(description) > variable.MaxDescription:
		return fail(messages.CodeInvalid, "field description: longer than %d characters", variable.MaxDescription)
	}
	return nil
}

// CreateVariableSet creates a variable set. Errors: not_found (organization, workspaces), invalid, name_taken.
func (d *DB) CreateVariableSet(ctx context.Context, in NewVariableSet) (VariableSet, error) {
	if err := checkSet(in.Name, in.Description); err != nil {
		return VariableSet{}, err
	}
	o, err := d.Organization(ctx, in.Organization)
	if err != nil {
		return VariableSet{}, err
	}
	var out VariableSet
	err = d.tx(ctx, func(tx *txn) error {
		id := messages.NewID("varset-")
		if _, err := tx.ExecContext(ctx, `
			INSERT INTO variable_sets (id, organization_id, name, description, global, priority, created_at, updated_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $7)`, id, o.ID, in.Name, in.Description, in.Global, in.Priority, now()); err != nil {
			return setTaken(err, in.Name)
		}
		if err := giveSet(ctx, tx, id, in.Workspaces); err != nil {
			return err
		}
		if err := giveSetToProjects(ctx, tx, o.ID, id, in.Projects); err != nil {
			return err
		}
		out, err = variableSet(ctx, tx, id, "")
		return err
	})
	return out, err
}

func setTaken(err error, name string) error {
	if uniqueViolation(err) {
		return fail(messages.CodeNameTaken, "field name: the organization already has a variable set named %q", name)
	}
	return err
}

// VariableSet returns a variable set by id. Errors: not_found.
func (d *DB) VariableSet(ctx context.Context, id string) (VariableSet, error) {
	return variableSet(ctx, d.q(ctx), id, "")
}

func variableSet(ctx context.Context, q querier, id, lock string) (VariableSet, error) {
	var sets []VariableSet
	if err := q.SelectContext(ctx, &sets, selectVariableSet+` WHERE s.id = $1`+lock, id); err != nil {
		return VariableSet{}, err
	}
	if len(sets) == 0 {
		return VariableSet{}, notFound("variable set", id)
	}
	err := addMembers(ctx, q, sets)
	return sets[0], err
}

// VariableSets lists the variable sets of an organization whose name has the part in it, by name, and the number of all.
func (d *DB) VariableSets(ctx context.Context, organization, part string, p Page) ([]VariableSet, int, error) {
	o, err := d.Organization(ctx, organization)
	if err != nil {
		return nil, 0, err
	}
	return d.listSets(ctx, ` WHERE s.organization_id = $1 AND strpos(lower(s.name), lower($2)) > 0`, p, o.ID, part)
}

// WorkspaceVariableSets lists the variable sets that a workspace has variables from, by name, and the number of all.
func (d *DB) WorkspaceVariableSets(ctx context.Context, w Workspace, p Page) ([]VariableSet, int, error) {
	return d.listSets(ctx, ` WHERE s.organization_id = $1
		AND (s.global OR EXISTS (SELECT 1 FROM variable_set_workspaces m WHERE m.set_id = s.id AND m.workspace_id = $2)
		     OR EXISTS (SELECT 1 FROM variable_set_projects m JOIN workspaces w ON w.id = $2 AND COALESCE(w.project_id, 'prj-' || substr(w.organization_id, 5)) = m.project_id
		                WHERE m.set_id = s.id))`, p, w.OrganizationID, w.ID)
}

// ProjectVariableSets lists the variable sets that all workspaces of a project have, by name, and the number of all.
func (d *DB) ProjectVariableSets(ctx context.Context, of Project, p Page) ([]VariableSet, int, error) {
	return d.listSets(ctx, ` WHERE s.organization_id = $1
		AND (s.global OR EXISTS (SELECT 1 FROM variable_set_projects m WHERE m.set_id = s.id AND m.project_id = $2))`, p, of.OrganizationID, of.ID)
}

// listSets lists what where, with two arguments, selects.
func (d *DB) listSets(ctx context.Context, where string, p Page, one, two string) ([]VariableSet, int, error) {
	var total int
	if err := d.q(ctx).GetContext(ctx, &total, `SELECT count(*) FROM variable_sets s`+where, one, two); err != nil {
		return nil, 0, err
	}
	var out []VariableSet
	if err := d.q(ctx).SelectContext(ctx, &out, selectVariableSet+where+` ORDER BY lower(s.name) LIMIT $3 OFFSET $4`, one, two, p.limit(), p.offset()); err != nil {
		return nil, 0, err
	}
	return out, total, addMembers(ctx, d.q(ctx), out)
}

// addMembers fills in the workspaces and variables of the sets.
func addMembers(ctx context.Context, q querier, sets []VariableSet) error {
	ids, byID := make([]string, len(sets)), map[string]*VariableSet{}
	for i := range sets {
		ids[i], byID[sets[i].ID] = sets[i].ID, &sets[i]
	}
	var members []struct {
		Set  string `db:"set_id"`
		ID   string `db:"id"`
		What string `db:"what"`
	}
	if err := q.SelectContext(ctx, &members, `
		SELECT set_id, workspace_id AS id, 'workspace' AS what FROM variable_set_workspaces WHERE set_id = ANY ($1)
		UNION ALL SELECT set_id, project_id, 'project' FROM variable_set_projects WHERE set_id = ANY ($1)
		UNION ALL SELECT set_id, id, 'variable' FROM variables WHERE set_id = ANY ($1) ORDER BY id`, textArray(ids)); err != nil {
		return err
	}
	for _, m := range members {
		switch s := byID[m.Set]; m.What {
		case "workspace":
			s.Workspaces = append(s.Workspaces, m.ID)
		case "project":
			s.Projects = append(s.Projects, m.ID)
		default:
			s.Variables = append(s.Variables, m.ID)
		}
	}
	return nil
}

// UpdateVariableSet changes a variable set. Runs that were planned keep their values. Errors: not_found, invalid, name_taken.
func (d *DB) UpdateVariableSet(ctx context.Context, id string, c VariableSetChange) (VariableSet, error) {
	var out VariableSet
	err := d.tx(ctx, func(tx *txn) error {
		s, err := variableSet(ctx, tx, id, ` FOR UPDATE OF s`)
		if err != nil {
			return err
		}
		if c.Name != nil {
			s.Name = *c.Name
		}
		if c.Description != nil {
			s.Description = *c.Description
		}
		if err := checkSet(s.Name, s.Description); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `
			UPDATE variable_sets SET name = $2, description = $3, global = COALESCE($4, global), priority = COALESCE($5, priority), updated_at = $6
			WHERE id = $1`, id, s.Name, s.Description, c.Global, c.Priority, now()); err != nil {
			return setTaken(err, s.Name)
		}
		if c.Workspaces != nil {
			if _, err := tx.ExecContext(ctx, `DELETE FROM variable_set_workspaces WHERE set_id = $1`, id); err != nil {
				return err
			}
			if err := giveSet(ctx, tx, id, *c.Workspaces); err != nil {
				return err
			}
		}
		if c.Projects != nil {
			if _, err := tx.ExecContext(ctx, `DELETE FROM variable_set_projects WHERE set_id = $1`, id); err != nil {
				return err
			}
			if err := giveSetToProjects(ctx, tx, s.OrganizationID, id, *c.Projects); err != nil {
				return err
			}
		}
		out, err = variableSet(ctx, tx, id, "")
		return err
	})
	return out, err
}

// GiveVariableSet gives a set to workspaces of its organization; those that have it already keep it. Errors: not_found.
func (d *DB) GiveVariableSet(ctx context.Context, id string, workspaces []string) error {
	return d.tx(ctx, func(tx *txn) error {
		if _, err := variableSet(ctx, tx, id, ` FOR UPDATE OF s`); err != nil {
			return err
		}
		return giveSet(ctx, tx, id, workspaces)
	})
}

func giveSet(ctx context.Context, tx *txn, id string, workspaces []string) error {
	for _, workspace := range workspaces {
		var known bool
		if err := tx.GetContext(ctx, &known, `
			SELECT EXISTS (SELECT 1 FROM workspaces w JOIN variable_sets s ON s.organization_id = w.organization_id WHERE w.id = $1 AND s.id = $2)`,
			workspace, id); err != nil {
			return err
		}
		if !known {
			return fail(messages.CodeNotFound, "workspace %q does not exist in the organization of variable set %s", workspace, id)
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO variable_set_workspaces (set_id, workspace_id) VALUES ($1, $2) ON CONFLICT DO NOTHING`,
			id, workspace); err != nil {
			return err
		}
	}
	return nil
}

// TakeVariableSet takes a set from workspaces; those that do not have it are no error. Errors: not_found (set).
func (d *DB) TakeVariableSet(ctx context.Context, id string, workspaces []string) error {
	if _, err := d.VariableSet(ctx, id); err != nil {
		return err
	}
	_, err := d.q(ctx).ExecContext(ctx, `DELETE FROM variable_set_workspaces WHERE set_id = $1 AND workspace_id = ANY ($2)`, id, textArray(workspaces))
	return err
}

// GiveVariableSetToProjects gives a set to projects of its organization; those that have it already keep it. Errors: not_found,
// invalid naming the project.
func (d *DB) GiveVariableSetToProjects(ctx context.Context, id string, projects []string) error {
	return d.tx(ctx, func(tx *txn) error {
		s, err := variableSet(ctx, tx, id, ` FOR UPDATE OF s`)
		if err != nil {
			return err
		}
		return giveSetToProjects(ctx, tx, s.OrganizationID, id, projects)
	})
}

func giveSetToProjects(ctx context.Context, tx *txn, organization, id string, projects []string) error {
	for _, p := range projects {
		if p == DefaultProjectID(organization) { // there may be no row yet
			if _, err := project(ctx, tx, p, ""); err != nil {
				return err
			}
		}
		if err := checkProject(ctx, tx, organization, p); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO variable_set_projects (set_id, project_id) VALUES ($1, $2) ON CONFLICT DO NOTHING`, id, p); err != nil {
			return err
		}
	}
	return nil
}

// TakeVariableSetFromProjects takes a set from projects; those that do not have it are no error. Errors: not_found (set).
func (d *DB) TakeVariableSetFromProjects(ctx context.Context, id string, projects []string) error {
	if _, err := d.VariableSet(ctx, id); err != nil {
		return err
	}
	_, err := d.q(ctx).ExecContext(ctx, `DELETE FROM variable_set_projects WHERE set_id = $1 AND project_id = ANY ($2)`, id, textArray(projects))
	return err
}

// DeleteVariableSet deletes a set with its variables. Runs that were planned keep their values. Errors: not_found.
func (d *DB) DeleteVariableSet(ctx context.Context, id string) error {
	res, err := d.q(ctx).ExecContext(ctx, `DELETE FROM variable_sets WHERE id = $1`, id)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return firstError(err, notFound("variable set", id))
	}
	return nil
}
