package postgres

import (
	"context"
	"encoding/json"
	"time"

	"github.com/lib/pq"

	"gantry.example/messages"
)

// Workspace is configuration + variables + state + its execution document.
type Workspace struct {
	ID               string    `db:"id"`
	OrganizationID   string    `db:"organization_id"`
	OrganizationName string    `db:"organization_name"`
	Name             string    `db:"name"`
	Description      string    `db:"description"`
	AutoApply        bool      `db:"auto_apply"`
	Execution        []byte    `db:"execution"` // the workspace's own document, JSON
	Defaults         []byte    `db:"defaults"`  // the organization's
	Locked           bool      `db:"locked"`
	LockReason       string    `db:"lock_reason"`
	LockedBy         string    `db:"locked_by"`
	GateRunID        *string   `db:"gate_run_id"`
	OutcomeUnknown   bool      `db:"outcome_unknown"` // the gate's run ended without a known outcome
	NextRunID        *string   `db:"next_run_id"`     // the run that gets the gate next
	StateID          *string   `db:"state_id"`        // its current state version
	LastRunID        *string   `db:"last_run_id"`     // the newest of its runs that are not plan-only
	RunsElsewhere    bool      `db:"runs_elsewhere"`  // its runs are the users' own: only its state is kept here
	TagsJSON         []byte    `db:"tags"`            // see Tags
	ProjectID        string    `db:"project_id"`
	ProjectTagsJSON  []byte    `db:"project_tags"` // those that the workspace inherits
	Kept             []byte    `db:"kept"`         // see Organization
	CreatedAt        time.Time `db:"created_at"`
	UpdatedAt        time.Time `db:"updated_at"`

	VariableIDs pq.StringArray `db:"variable_ids"` // of its own variables
}

const selectWorkspace = `
	SELECT w.id, w.organization_id, o.name AS organization_name, w.name, w.description, w.auto_apply, w.execution,
	       o.execution AS defaults, w.locked, w.lock_reason, w.locked_by, w.gate_run_id, w.state_id, w.runs_elsewhere, w.tags,
	       COALESCE(w.project_id, 'prj-' || substr(o.id, 5)) AS project_id, w.kept,
	       COALESCE((SELECT p.tags FROM projects p WHERE p.id = COALESCE(w.project_id, 'prj-' || substr(o.id, 5))), '{}') AS project_tags,
	       (SELECT n.id FROM runs n WHERE n.workspace_id = w.id AND n.status IN ('pending', 'confirmed') AND n.exclusive
	        ORDER BY n.position LIMIT 1) AS next_run_id,
	       (SELECT n.id FROM runs n WHERE n.workspace_id = w.id AND n.exclusive ORDER BY n.position DESC LIMIT 1) AS last_run_id,
	       COALESCE(r.status = 'errored', false) AS outcome_unknown, w.created_at, w.updated_at,
	       ARRAY(SELECT v.id FROM variables v WHERE v.workspace_id = w.id ORDER BY v.key) AS variable_ids
	FROM workspaces w JOIN organizations o ON o.id = w.organization_id LEFT JOIN runs r ON r.id = w.gate_run_id`

// NewWorkspace is what a workspace is created from.
type NewWorkspace struct {
	Organization string // id or name
	Name         string
	Description  string
	AutoApply    bool
	Execution    messages.Execution
	// RunsElsewhere and Tags: see Workspace.
	RunsElsewhere bool
	Tags          map[string]string
	Project       string          // id; empty for the organization's default project
	Kept          json.RawMessage // see Organization
}

// CreateWorkspace creates a workspace. Errors: not_found (organization), invalid, name_taken, execution.*.
func (d *DB) CreateWorkspace(ctx context.Context, in NewWorkspace) (Workspace, error) {
	if err := checkName("workspace", in.Name); err != nil {
		return Workspace{}, err
	}
	if err := in.Execution.Validate(); err != nil {
		return Workspace{}, err
	}
	o, err := d.Organization(ctx, in.Organization)
	if err != nil {
		return Workspace{}, err
	}
	id := messages.NewID("ws-")
	at := place{organization: o.ID, name: in.Name}
	if in.Execution.AgentPool != "" { // a default that is not for this workspace is refused to its runs
		at.workspace = id
	}
	target, err := d.usableTarget(ctx, d.q(ctx), at, in.Execution, o.Execution)
	if err != nil {
		return Workspace{}, err
	}
	doc, err := json.Marshal(settle(in.Execution, target))
	if err != nil {
		return Workspace{}, err
	}
	tags, err := tagsDocument(in.Tags)
	if err != nil {
		return Workspace{}, err
	}
	if err := checkProject(ctx, d.q(ctx), o.ID, in.Project); err != nil {
		return Workspace{}, err
	}
	_, err = d.q(ctx).ExecContext(ctx, `
		INSERT INTO workspaces (id, organization_id, name, description, auto_apply, execution, runs_elsewhere, tags, project_id, kept, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)`, id, o.ID, in.Name, in.Description, in.AutoApply, doc, in.RunsElsewhere, tags,
		storedProject(o.ID, in.Project), keptDocument(in.Kept), now())
	if uniqueViolation(err) {
		return Workspace{}, fail(messages.CodeNameTaken, "organization %s already has a workspace named %q", o.Name, in.Name)
	}
	if err != nil {
		return Workspace{}, err
	}
	return d.Workspace(ctx, id)
}

// Workspace returns a workspace by id.
func (d *DB) Workspace(ctx context.Context, id string) (Workspace, error) {
	var w Workspace
	err := d.q(ctx).GetContext(ctx, &w, selectWorkspace+` WHERE w.id = $1`, id)
	if noRows(err) {
		return w, notFound("workspace", id)
	}
	return w, err
}

// WorkspaceByName returns a workspace of an organization (id or name). Errors: not_found naming what is missing.
func (d *DB) WorkspaceByName(ctx context.Context, organization, name string) (Workspace, error) {
	o, err := d.Organization(ctx, organization)
	if err != nil {
		return Workspace{}, err
	}
	var w Workspace
	err = d.q(ctx).GetContext(ctx, &w, selectWorkspace+` WHERE w.organization_id = $1 AND lower(w.name) = lower($2)`, o.ID, name)
	if noRows(err) {
		return w, notFound("workspace", o.Name+"/"+name)
	}
	return w, err
}

// Workspaces lists the workspaces of an organization by name and the number of all.
func (d *DB) Workspaces(ctx context.Context, organization string, p Page) ([]Workspace, int, error) {
	return d.FindWorkspaces(ctx, organization, WorkspaceFilter{}, p)
}

// WorkspaceChange is a partial update: nil fields stay.
type WorkspaceChange struct {
	Name        *string
	Description *string
	AutoApply   *bool
	Execution   *messages.Execution
	// RunsElsewhere and Tags: see Workspace.
	RunsElsewhere *bool
	Tags          *TagChange
	Project       *string         // id
	Kept          json.RawMessage // merged over what is kept
	// Revise computes the execution document from the workspace as it is under its row lock, so that two changes of
	// different fields of the document keep both. It may be called more than once.
	Revise func(Workspace) (messages.Execution, error)
}

// UpdateWorkspace changes a workspace. Runs that exist keep the target frozen into them. Errors: not_found, invalid,
// name_taken, execution.*, and those of Revise.
func (d *DB) UpdateWorkspace(ctx context.Context, id string, c WorkspaceChange) (Workspace, error) {
	if c.Name != nil {
		if err := checkName("workspace", *c.Name); err != nil {
			return Workspace{}, err
		}
	}
	var out Workspace
	err := d.tx(ctx, func(tx *txn) error {
		w, _, err := lockedWorkspace(ctx, tx, id)
		if err != nil {
			return err
		}
		doc, err := c.execution(ctx, tx, d, w)
		if err != nil {
			return err
		}
		if err := c.Tags.store(ctx, tx, w); err != nil {
			return err
		}
		if err := c.moveTo(ctx, tx, w); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `
			UPDATE workspaces SET name = COALESCE($2, name), description = COALESCE($3, description),
			       auto_apply = COALESCE($4, auto_apply), execution = COALESCE($5::jsonb, execution),
			       runs_elsewhere = COALESCE($6, runs_elsewhere), kept = kept || $8, updated_at = $7
			WHERE id = $1`, id, c.Name, c.Description, c.AutoApply, nullJSON(doc), c.RunsElsewhere, now(), keptDocument(c.Kept)); err != nil {
			return err
		}
		return tx.GetContext(ctx, &out, selectWorkspace+` WHERE w.id = $1`, id)
	})
	if uniqueViolation(err) {
		return Workspace{}, fail(messages.CodeNameTaken, "the organization already has a workspace named %q", *c.Name)
	}
	return out, err
}

// execution is the document to store, or nil when it stays.
func (c WorkspaceChange) execution(ctx context.Context, tx *txn, d *DB, w Workspace) ([]byte, error) {
	doc := c.Execution
	if c.Revise != nil {
		revised, err := c.Revise(w)
		if err != nil {
			return nil, err
		}
		doc = &revised
	}
	if doc == nil {
		return nil, nil
	}
	if err := doc.Validate(); err != nil {
		return nil, err
	}
	target, err := d.usableTarget(ctx, tx, place{w.OrganizationID, w.ID, w.Name}, *doc, w.Defaults)
	if err != nil {
		return nil, err
	}
	return json.Marshal(settle(*doc, target))
}

func nullJSON(b []byte) any {
	if b == nil {
		return nil
	}
	return string(b)
}
