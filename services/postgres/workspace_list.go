package postgres

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/jmoiron/sqlx"

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

// ListWorkspaces lists workspaces by organization and name, for the holder of a token. more tells that others follow.
func (d *DB) ListWorkspaces(ctx context.Context, t Token, q WorkspaceQuery) (out []ListedWorkspace, more bool, err error) {
	statuses := make([]string, len(q.Statuses))
	for i, s := range q.Statuses {
		statuses[i] = string(s)
	}
	key, value, _ := strings.Cut(q.Label, "=")
	pair, err := json.Marshal(map[string]string{key: value})
	if err != nil {
		return nil, false, err
	}
	afterOrganization, afterName, _ := strings.Cut(q.After, "/")
	var ids []string
	// The newest run of a workspace is looked up for those of the page only, or, where its status counts, in an index.
	if err := d.q(ctx).SelectContext(ctx, &ids, `
		SELECT w.id FROM workspaces w JOIN organizations o ON o.id = w.organization_id
		WHERE `+visible+`
		  AND ($4 = '' OR lower(o.name) = lower($4)) AND strpos(lower(w.name), lower($5)) > 0
		  AND ($6 = '' OR w.tags ? $6 OR w.tags @> $7::jsonb OR COALESCE(w.execution -> 'required_labels', '[]') ? $6)
		  AND (NOT $8 OR w.locked OR EXISTS (SELECT 1 FROM runs g WHERE g.id = w.gate_run_id AND g.status = 'errored'))
		  AND (cardinality($9::text[]) = 0 OR COALESCE((SELECT r.status FROM runs r WHERE r.workspace_id = w.id ORDER BY r.position DESC LIMIT 1), 'none') = ANY ($9))
		  AND (lower(o.name), lower(w.name)) > ($10, $11)
		ORDER BY lower(o.name), lower(w.name) LIMIT $12`,
		t.Site(), t.OrganizationID, t.UserID, q.Organization, q.Name, q.Label, string(pair), q.Locked, textArray(statuses),
		afterOrganization, afterName, q.Limit+1); err != nil {
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
	err := d.read(ctx, func(tx *sqlx.Tx) error {
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
