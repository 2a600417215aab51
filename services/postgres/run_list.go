package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"gantry.example/services/run"
)

// RunFilter selects runs of one workspace or one organization, newest first.
type RunFilter struct {
	WorkspaceID    string
	OrganizationID string
	Statuses       []run.Status // none means all
	Narrow         RunNarrowing
	Page           Page
}

// RunNarrowing selects among the newest runs by what no index knows. The zero value selects all.
type RunNarrowing struct {
	Sources, Operations []string // nil means all
	Workspaces, Pools   []string // names; nil means all
	CreatedBy           string
	Text                string // the id, or a part of the message
}

// narrowed is how far back a narrowing looks, so that one that finds nothing reads no more the longer the past is.
const narrowed = 500

// operation is what a run was asked to do, in TFE's words.
const operation = `
	CASE WHEN doc -> 'options' ? 'plan_only' THEN 'plan_only' WHEN doc -> 'options' ? 'save_plan' THEN 'save_plan'
	  WHEN doc -> 'options' ? 'refresh_only' THEN 'refresh_only' WHEN doc -> 'options' ? 'destroy' THEN 'destroy' ELSE 'plan_and_apply' END`

// conditions adds what the narrowing asks for.
func (n RunNarrowing) conditions(c *conditions) {
	if n.Sources != nil {
		c.add(`doc ->> 'source' = ANY ($$)`, textArray(n.Sources))
	}
	if n.Operations != nil {
		c.add(operation+` = ANY ($$)`, textArray(n.Operations))
	}
	if n.Workspaces != nil {
		c.add(`workspace_id IN (SELECT id FROM workspaces w WHERE w.organization_id = runs.organization_id AND lower(w.name) IN (SELECT lower(n) FROM unnest($$::text[]) n))`, textArray(n.Workspaces))
	}
	if n.Pools != nil {
		c.add(`doc ->> 'pool' IN (SELECT id FROM pools WHERE lower(name) IN (SELECT lower(n) FROM unnest($$::text[]) n))`, textArray(n.Pools))
	}
	if n.CreatedBy != "" {
		c.add(`doc ->> 'created_by' = $$`, n.CreatedBy)
	}
	if n.Text != "" {
		text := c.arg(n.Text)
		c.add(`(id = ` + text + ` OR strpos(lower(COALESCE(doc ->> 'message', '')), lower(` + text + `)) > 0)`)
	}
}

// source is what the runs that a condition selects are read from.
func (n RunNarrowing) source(where string, args []any) (from string, all []any) {
	c := conditions{args: args}
	n.conditions(&c)
	if len(c.all) == 0 {
		return "runs WHERE " + where, args
	}
	return fmt.Sprintf("(SELECT * FROM runs WHERE %s ORDER BY position DESC LIMIT %d) AS runs%s", where, narrowed, c.where()), c.args
}

// selects returns what selects the runs of the filter: their union. Each is the head of an index that has its runs in the order
// of the list, so that a page reads no more than it shows, however long the past and however rare the status. A parameter
// would hide from Postgres which index that is.
func (f RunFilter) selects() (conditions []string, args []any) {
	base := "true"
	for _, of := range []struct{ column, id string }{{"workspace_id", f.WorkspaceID}, {"organization_id", f.OrganizationID}} {
		if of.id != "" {
			args = append(args, of.id)
			base += fmt.Sprintf(" AND %s = $%d", of.column, len(args))
		}
	}
	if len(f.Statuses) == 0 {
		return []string{base}, args
	}
	for _, s := range run.Statuses() { // others are nobody's
		if slices.Contains(f.Statuses, s) {
			conditions = append(conditions, base+" AND status = '"+string(s)+"'")
		}
	}
	return conditions, args
}

// CountRuns is the exact number of all runs that match.
func (d *DB) CountRuns(ctx context.Context, f RunFilter) (int, error) {
	conditions, args := f.selects()
	query := "SELECT 0"
	for _, where := range conditions {
		query += " + (SELECT count(*) FROM runs WHERE " + where + ")"
	}
	var n int
	err := d.q(ctx).GetContext(ctx, &n, query, args...)
	return n, err
}

// maxCount bounds how far ahead of a page the runs of a list are counted: nobody turns so many pages, and counting all of a
// big installation takes longer than reading the page.
const maxCount = 1000

// Runs lists runs and the number of all that match, which is exact up to maxCount beyond the page.
func (d *DB) Runs(ctx context.Context, f RunFilter) ([]run.Run, int, error) {
	conditions, args := f.selects()
	if len(conditions) == 0 {
		return nil, 0, nil
	}
	end := f.Page.offset() + f.Page.limit()
	counted, listed := make([]string, len(conditions)), make([]string, len(conditions))
	own := args
	_, args = f.Narrow.source("", own)
	limit := fmt.Sprintf(" LIMIT $%d", len(args)+1)
	for i, where := range conditions {
		from, _ := f.Narrow.source(where, own) // the same arguments for each
		counted[i] = "(SELECT 1 FROM " + from + limit + ")"
		listed[i] = "(SELECT position FROM " + from + " ORDER BY position DESC" + limit + ")"
	}
	var total int
	if err := d.q(ctx).GetContext(ctx, &total, `SELECT count(*) FROM (SELECT * FROM (`+strings.Join(counted, " UNION ALL ")+`) AS each`+limit+`) AS counted`,
		append(args, end+maxCount)...); err != nil {
		return nil, 0, err
	}
	var docs [][]byte
	// A late page passes over what an index has, not over the documents of the pages before.
	if err := d.q(ctx).SelectContext(ctx, &docs, `SELECT r.doc FROM (SELECT position FROM (`+strings.Join(listed, " UNION ALL ")+fmt.Sprintf(`) AS all_before
		ORDER BY position DESC LIMIT $%d OFFSET $%d) AS page JOIN runs r ON r.position = page.position ORDER BY r.position DESC`, len(args)+2, len(args)+3), append(args, end, f.Page.limit(), f.Page.offset())...); err != nil {
		return nil, 0, err
	}
	out, err := decodeRuns(docs)
	return out, total, err
}

// openStatuses are those of a run that is not over, written as the index runs_not_over has them.
const openStatuses = `('pending', 'plan_queued', 'planning', 'planned', 'planned_and_saved', 'confirmed', 'apply_queued', 'applying')`
