package postgres

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"gantry.example/services/run"
)

// ListedWorkspace is a workspace among many: with its newest run, and what keeps others from running.
type ListedWorkspace struct {
	Workspace
	Newest *run.Run // nil where there was none
}

// StatusNone selects workspaces that never had a run.
const StatusNone run.Status = "none"

// WorkspaceQuery selects workspaces of all organizations that somebody may see. Empty fields select all.
type WorkspaceQuery struct {
	Organization string       // name
	Name         string       // a part of the name, in any case
	Label        string       // a tag by key or key=value, or a label that its runs require of an agent
	Statuses     []run.Status // of the newest run
	Locked       bool         // by a person, or by a run whose outcome is unknown
	// After is the place of the last workspace of the page before, as ListedWorkspace.Place says it; "" begins.
	After string
	Limit int
}

// Place is where the workspace stands in the list.
func (w ListedWorkspace) Place() string {
	return strings.ToLower(w.OrganizationName) + "/" + strings.ToLower(w.Name)
}

// where are the conditions on workspaces w of an organization o, after the place.
func (q WorkspaceQuery) where() (c *conditions, err error) {
	c = &conditions{}
	c.add(`w.organization_id = o.id`)
	if organization, name, later := strings.Cut(q.After, "/"); later {
		c.add(`lower(w.name) > CASE WHEN lower(o.name) = $$ THEN $$ ELSE '' END`, organization, name)
	}
	if q.Name != "" {
		c.named(q.Name)
	}
	if q.Label != "" {
		key, value, _ := strings.Cut(q.Label, "=")
		pair, err := json.Marshal(map[string]string{key: value})
		if err != nil {
			return nil, err
		}
		c.add(`(w.tags ? $$ OR w.tags @> $$::jsonb OR w.execution -> 'required_labels' ? $$)`, q.Label, string(pair), q.Label)
	}
	if q.Locked {
		// Each of the two has an index of its few.
		c.add(`w.id IN (SELECT l.id FROM workspaces l WHERE l.locked
			UNION ALL SELECT l.id FROM runs g JOIN workspaces l ON l.id = g.workspace_id AND l.gate_run_id = g.id WHERE g.holds AND g.status = 'errored')`)
	}
	if len(q.Statuses) > 0 {
		statuses := make([]string, len(q.Statuses))
		for i, s := range q.Statuses {
			statuses[i] = string(s)
		}
		const newest = `EXISTS (SELECT 1 FROM runs r WHERE r.workspace_id = w.id AND r.newest`
		switch {
		case len(q.Statuses) == 1 && q.Statuses[0] == StatusNone:
			c.add(`NOT ` + newest + `)`)
		case slices.Contains(q.Statuses, StatusNone):
			c.add(`(`+newest+` AND r.status = ANY ($$)) OR NOT `+newest+`))`, textArray(statuses))
		default:
			c.add(newest+` AND r.status = ANY ($$))`, textArray(statuses))
		}
	}
	return c, nil
}

// ListWorkspaces lists workspaces by organization and name, for the holder of a token. more tells that others follow.
func (d *DB) ListWorkspaces(ctx context.Context, t Token, q WorkspaceQuery) (out []ListedWorkspace, more bool, err error) {
	c, err := q.where()
	if err != nil {
		return nil, false, err
	}
	organization, _, _ := strings.Cut(q.After, "/")
	// Each organization gives the head of its index by name, so that a page of many reads not much more than it shows. The newest
	// run of a workspace is looked up for those of the page only, or, where its status counts, in an index.
	limit := c.arg(q.Limit + 1)
	query := `
		SELECT w.id FROM organizations o, LATERAL (SELECT w.id, lower(w.name) AS name FROM workspaces w` + c.where() + ` ORDER BY lower(w.name) LIMIT ` + limit + `) AS w
		WHERE ` + strings.NewReplacer("$1", c.arg(t.Site()), "$2", c.arg(t.OrganizationID), "$3", c.arg(t.UserID)).Replace(visible) + `
		  AND lower(o.name) >= ` + c.arg(organization)
	if q.Organization != "" {
		query += ` AND lower(o.name) = lower(` + c.arg(q.Organization) + `)`
	}
	var ids []string
	if err := d.planned(ctx, func(tx *txn) error {
		return tx.SelectContext(ctx, &ids, query+` ORDER BY lower(o.name), w.name LIMIT `+limit, c.args...)
	}); err != nil {
		return nil, false, err
	}
	if more = len(ids) > q.Limit; more {
		ids = ids[:q.Limit]
	}
	out, err = d.listed(ctx, ids)
	return out, more, err
}

// listed reads the workspaces with their newest runs.
func (d *DB) listed(ctx context.Context, ids []string) ([]ListedWorkspace, error) {
	var out []ListedWorkspace
	err := d.read(ctx, func(tx *txn) error {
		var all []Workspace
		if err := tx.SelectContext(ctx, &all, selectWorkspace+` WHERE w.id = ANY ($1) ORDER BY lower(o.name), lower(w.name)`, textArray(nonNil(ids))); err != nil {
			return err
		}
		var docs [][]byte
		if err := tx.SelectContext(ctx, &docs, `
			SELECT r.doc FROM unnest($1::text[]) AS w (id), LATERAL (SELECT doc FROM runs WHERE workspace_id = w.id ORDER BY position DESC LIMIT 1) AS r`,
			textArray(nonNil(ids))); err != nil {
			return err
		}
		runs, err := decodeRuns(docs)
		if err != nil {
			return err
		}
		newest := map[string]*run.Run{}
		for i := range runs {
			newest[runs[i].WorkspaceID] = &runs[i]
		}
		for _, w := range all {
			out = append(out, ListedWorkspace{w, newest[w.ID]})
		}
		return nil
	})
	return out, err
}
