package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"gantry.example/messages"
)

// Project is a group of workspaces of an organization.
type Project struct {
	ID               string    `db:"id"`
	OrganizationID   string    `db:"organization_id"`
	OrganizationName string    `db:"organization_name"`
	Name             string    `db:"name"`
	Description      string    `db:"description"`
	TagsJSON         []byte    `db:"tags"` // its workspaces inherit them
	Kept             []byte    `db:"kept"` // see Organization
	CreatedAt        time.Time `db:"created_at"`
	Workspaces       int       `db:"workspaces"` // how many are in it
}

// DefaultProject is what the project of an organization is called at first that has the workspaces nobody chose one for.
const DefaultProject = "Default Project"

// DefaultProjectID is the id of an organization's (id) default project.
func DefaultProjectID(organization string) string {
	return "prj-" + strings.TrimPrefix(organization, "org-")
}

// Tags are the project's tags by key.
func (p Project) Tags() (map[string]string, error) {
	tags := map[string]string{}
	if err := json.Unmarshal(p.TagsJSON, &tags); err != nil {
		return nil, fmt.Errorf("tags of project %s: %w", p.ID, err)
	}
	return tags, nil
}

const selectProject = `
	SELECT p.id, p.organization_id, o.name AS organization_name, p.name, p.description, p.tags, p.kept, p.created_at,
	       (SELECT count(*) FROM workspaces w WHERE w.project_id = p.id) +
	       CASE WHEN p.id = 'prj-' || substr(o.id, 5)
	         THEN (SELECT count(*) FROM workspaces w WHERE w.organization_id = o.id AND w.project_id IS NULL) ELSE 0 END AS workspaces
	FROM projects p JOIN organizations o ON o.id = p.organization_id`

// ensureDefaultProjects makes the default projects of organizations that have none yet. They are made when somebody looks, so
// that nothing else that makes an organization needs to know.
func ensureDefaultProjects(ctx context.Context, q querier, where string, arg any) error {
	_, err := q.ExecContext(ctx, `
		INSERT INTO projects (id, organization_id, name, created_at)
		SELECT 'prj-' || substr(o.id, 5), o.id, $1, o.created_at FROM organizations o
		WHERE `+where+` AND NOT EXISTS (SELECT 1 FROM projects p WHERE p.id = 'prj-' || substr(o.id, 5)) ON CONFLICT DO NOTHING`, DefaultProject, arg)
	return err
}

// ProjectFilter selects projects. Empty fields select all.
type ProjectFilter struct {
	Names []string          // one of these
	Part  string            // of the name, in any case
	Keys  []string          // has all of these tags
	Tags  map[string]string // has all of these tags with these values
}

// Projects lists the projects of an organization (id or name) by name, and the number of all that the filter selects.
func (d *DB) Projects(ctx context.Context, organization string, f ProjectFilter, p Page) ([]Project, int, error) {
	o, err := d.Organization(ctx, organization)
	if err != nil {
		return nil, 0, err
	}
	if err := ensureDefaultProjects(ctx, d.q(ctx), `o.id = $2`, o.ID); err != nil {
		return nil, 0, err
	}
	if f.Tags == nil {
		f.Tags = map[string]string{}
	}
	pairs, err := json.Marshal(f.Tags)
	if err != nil {
		return nil, 0, err
	}
	const where = ` WHERE p.organization_id = $1 AND (cardinality($2::text[]) = 0 OR p.name = ANY ($2)) AND strpos(lower(p.name), lower($3)) > 0
		AND p.tags ?& $4::text[] AND p.tags @> $5::jsonb`
	args := []any{o.ID, textArray(nonNil(f.Names)), f.Part, textArray(nonNil(f.Keys)), string(pairs)}
	var total int
	if err := d.q(ctx).GetContext(ctx, &total, `SELECT count(*) FROM projects p`+where, args...); err != nil {
		return nil, 0, err
	}
	var out []Project
	err = d.q(ctx).SelectContext(ctx, &out, selectProject+where+` ORDER BY lower(p.name) LIMIT $6 OFFSET $7`, append(args, p.limit(), p.offset())...)
	return out, total, err
}

// ProjectByID returns a project. Errors: not_found.
func (d *DB) ProjectByID(ctx context.Context, id string) (Project, error) {
	return project(ctx, d.q(ctx), id, "")
}

func project(ctx context.Context, q querier, id, lock string) (Project, error) {
	var p Project
	if err := ensureDefaultProjects(ctx, q, `'prj-' || substr(o.id, 5) = $2`, id); err != nil {
		return p, err
	}
	err := q.GetContext(ctx, &p, selectProject+` WHERE p.id = $1`+lock, id)
	if noRows(err) {
		return p, notFound("project", id)
	}
	return p, err
}

// ProjectChange is a partial update, or what a project is created from: nil fields stay, or are empty.
type ProjectChange struct {
	Name, Description *string
	Tags              *TagChange
	Kept              json.RawMessage // see Organization
}

// check refuses names that TFE's clients could not write either.
func (c ProjectChange) check() error {
	if c.Name == nil {
		return nil
	}
	name := *c.Name
	switch n := utf8.RuneCountInString(name); {
	case n < 3 || n > 40:
		return fail(messages.CodeInvalid, "field name: %q must have 3 to 40 characters", name)
	case strings.Trim(name, " ") != name, strings.ContainsFunc(name, func(r rune) bool {
		return !strings.ContainsRune(" _-", r) && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}):
		return fail(messages.CodeInvalid, "field name: %q must be of A-Z a-z 0-9 _ - and spaces, with none at its ends", name)
	}
	return nil
}

// CreateProject creates a project of an organization (id or name). Errors: not_found (organization), invalid, name_taken.
func (d *DB) CreateProject(ctx context.Context, organization string, c ProjectChange) (Project, error) {
	if c.Name == nil {
		return Project{}, fail(messages.CodeInvalid, "field name: missing: name the project")
	}
	if err := c.check(); err != nil {
		return Project{}, err
	}
	o, err := d.Organization(ctx, organization)
	if err != nil {
		return Project{}, err
	}
	if err := ensureDefaultProjects(ctx, d.q(ctx), `o.id = $2`, o.ID); err != nil {
		return Project{}, err
	}
	var tags map[string]string
	if c.Tags != nil {
		tags = c.Tags.Set
	}
	doc, err := tagsDocument(tags)
	if err != nil {
		return Project{}, err
	}
	id := messages.NewID("prj-")
	_, err = d.q(ctx).ExecContext(ctx, `
		INSERT INTO projects (id, organization_id, name, description, tags, kept, created_at) VALUES ($1, $2, $3, COALESCE($4, ''), $5, $6, $7)`,
		id, o.ID, *c.Name, c.Description, doc, keptDocument(c.Kept), now())
	if uniqueViolation(err) {
		return Project{}, fail(messages.CodeNameTaken, "organization %s already has a project named %q", o.Name, *c.Name)
	}
	if err != nil {
		return Project{}, err
	}
	return d.ProjectByID(ctx, id)
}

// UpdateProject changes a project. Errors: not_found, invalid, name_taken.
func (d *DB) UpdateProject(ctx context.Context, id string, c ProjectChange) (Project, error) {
	if err := c.check(); err != nil {
		return Project{}, err
	}
	var out Project
	err := d.tx(ctx, func(tx *txn) error {
		p, err := project(ctx, tx, id, ` FOR UPDATE OF p`)
		if err != nil {
			return err
		}
		tags, err := p.Tags()
		if err != nil {
			return err
		}
		doc, err := tagsDocument(c.Tags.over(tags))
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `
			UPDATE projects SET name = COALESCE($2, name), description = COALESCE($3, description), tags = $4, kept = kept || $5 WHERE id = $1`,
			id, c.Name, c.Description, doc, keptDocument(c.Kept)); err != nil {
			return err
		}
		out, err = project(ctx, tx, id, "")
		return err
	})
	if uniqueViolation(err) {
		return out, fail(messages.CodeNameTaken, "the organization already has a project named %q", *c.Name)
	}
	return out, err
}

// DeleteProject deletes a project without workspaces. Errors: not_found; conflict for one that has some, and for the default one.
func (d *DB) DeleteProject(ctx context.Context, id string) error {
	return d.tx(ctx, func(tx *txn) error {
		p, err := project(ctx, tx, id, ` FOR UPDATE OF p`)
		switch {
		case err != nil:
			return err
		case p.ID == DefaultProjectID(p.OrganizationID):
			return fail(messages.CodeConflict, "project %q is the default project of organization %s: it stays", p.Name, p.OrganizationName)
		case p.Workspaces > 0:
			return fail(messages.CodeConflict, "project %q has %d workspaces: move them to another project, or delete them, first", p.Name, p.Workspaces)
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM projects WHERE id = $1`, id)
		return err
	})
}

// checkProject refuses a project that is not of the organization, and keeps the one that is from being deleted until the
// transaction ends.
func checkProject(ctx context.Context, q querier, organization, id string) error {
	if id == "" || id == DefaultProjectID(organization) {
		return nil
	}
	var owner string
	err := q.GetContext(ctx, &owner, `SELECT organization_id FROM projects WHERE id = $1 FOR KEY SHARE`, id)
	if noRows(err) || err == nil && owner != organization {
		return fail(messages.CodeInvalid, "relationship project: the organization has no project %q", id)
	}
	return err
}

// storedProject is what a workspace's row has for a project: nothing for the default one.
func storedProject(organization, id string) *string {
	if id == "" || id == DefaultProjectID(organization) {
		return nil
	}
	return &id
}

// moveTo moves the workspace, which is under its row lock, to another project.
func (c WorkspaceChange) moveTo(ctx context.Context, tx *txn, w Workspace) error {
	if c.Project == nil {
		return nil
	}
	if err := checkProject(ctx, tx, w.OrganizationID, *c.Project); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `UPDATE workspaces SET project_id = $2 WHERE id = $1`, w.ID, storedProject(w.OrganizationID, *c.Project))
	return err
}
