package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"gantry.example/messages"
)

// Tags are the workspace's tags by key. A tag that is only a name has the empty value.
func (w Workspace) Tags() (map[string]string, error) {
	tags := map[string]string{}
	if err := json.Unmarshal(w.TagsJSON, &tags); err != nil {
		return nil, fmt.Errorf("tags of workspace %s: %w", w.ID, err)
	}
	return tags, nil
}

// ProjectTags are the tags of the workspace's project by key.
func (w Workspace) ProjectTags() (map[string]string, error) {
	return Project{ID: w.ProjectID, TagsJSON: w.ProjectTagsJSON}.Tags()
}

// TagChange changes the tags of a workspace, in this order.
type TagChange struct {
	Clear bool
	Drop  []string
	Set   map[string]string // added, or given another value
}

// maxTags bounds the tags of one workspace.
const maxTags = 100

// store writes the changed tags of the workspace, which is under its row lock. Nil changes nothing.
func (c *TagChange) store(ctx context.Context, tx *txn, w Workspace) error {
	if c == nil {
		return nil
	}
	tags, err := w.Tags()
	if err != nil {
		return err
	}
	doc, err := tagsDocument(c.over(tags))
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE workspaces SET tags = $2 WHERE id = $1`, w.ID, doc)
	return err
}

// over is what the change makes of the tags.
func (c *TagChange) over(tags map[string]string) map[string]string {
	if c == nil {
		return tags
	}
	out := map[string]string{}
	if !c.Clear {
		maps.Copy(out, tags)
	}
	for _, key := range c.Drop {
		delete(out, key)
	}
	maps.Copy(out, c.Set)
	return out
}

// tagsDocument is the form in which tags are stored. Errors: invalid, naming the tag.
func tagsDocument(tags map[string]string) (string, error) {
	if len(tags) > maxTags {
		return "", fail(messages.CodeInvalid, "a workspace has at most %d tags, not %d", maxTags, len(tags))
	}
	form := regexp.MustCompile(`^[\p{L}\p{N}](?:[\p{L}\p{N} ._:/=+@-]{0,126}[\p{L}\p{N}])?$`)
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		value := tags[key]
		if !form.MatchString(key) || value != "" && !form.MatchString(value) {
			return "", fail(messages.CodeInvalid, "tag %q (value %q): keys and values have up to 128 letters, digits and ._:/=+@- and spaces, and begin and end with a letter or digit", key, value)
		}
	}
	if tags == nil {
		tags = map[string]string{}
	}
	doc, err := json.Marshal(tags)
	return string(doc), err
}

// WorkspaceFilter selects workspaces. Empty fields select all.
type WorkspaceFilter struct {
	Name        string            // a part of the name, in any case
	Keys        []string          // has all of these tags
	Tags        map[string]string // has all of these tags with these values
	ExcludeKeys []string          // has none of these tags
	Project     string            // id
	RunStatuses []string          // its current run has one of these statuses
	Sort        string            // name or current-run.created-at, with a - before it for the other way around; empty: by name
}

// where are the conditions on workspaces w of the organization (id).
func (f WorkspaceFilter) where(organizationID string) (*conditions, error) {
	c := &conditions{}
	c.add(`w.organization_id = $$`, organizationID)
	if f.Name != "" {
		c.named(f.Name)
	}
	if len(f.Keys) > 0 {
		c.add(`w.tags ?& $$::text[]`, textArray(f.Keys))
	}
	if len(f.Tags) > 0 {
		pairs, err := json.Marshal(f.Tags)
		if err != nil {
			return nil, err
		}
		c.add(`w.tags @> $$::jsonb`, string(pairs))
	}
	if len(f.ExcludeKeys) > 0 {
		c.add(`NOT w.tags ?| $$::text[]`, textArray(f.ExcludeKeys))
	}
	if f.Project != "" {
		c.add(`COALESCE(w.project_id, 'prj-' || substr(w.organization_id, 5)) = $$`, f.Project)
	}
	if len(f.RunStatuses) > 0 {
		c.add(`EXISTS (SELECT 1 FROM runs n WHERE n.workspace_id = w.id AND n.newest AND n.status = ANY ($$))`, textArray(f.RunStatuses))
	}
	return c, nil
}

// FindWorkspaces lists the workspaces of an organization (id or name) that the filter selects, by name, and the number of all
// of them, which is exact up to maxCount beyond the page. Errors: not_found.
func (d *DB) FindWorkspaces(ctx context.Context, organization string, f WorkspaceFilter, p Page) ([]Workspace, int, error) {
	o, err := d.Organization(ctx, organization)
	if err != nil {
		return nil, 0, err
	}
	order, known := workspaceOrders()[f.Sort]
	if !known {
		return nil, 0, fail(messages.CodeInvalid, "query parameter sort: %q is not one of name, -name, current-run.created-at, -current-run.created-at", f.Sort)
	}
	c, err := f.where(o.ID)
	if err != nil {
		return nil, 0, err
	}
	where, args := c.where(), c.args
	n := len(args)
	var total int
	var out []Workspace
	err = d.planned(ctx, func(tx *txn) error {
		// Of the workspaces on the pages before no more is read than their order.
		page := fmt.Sprintf(`(SELECT w.id FROM workspaces w%s%s LIMIT $%d OFFSET $%d)`, where, order, n+1, n+2)
		if err := tx.SelectContext(ctx, &out, selectWorkspace+` JOIN `+page+` AS page ON page.id = w.id`+order,
			append(args[:n:n], p.limit(), p.offset())...); err != nil {
			return err
		}
		if last := len(out) < p.limit() && (len(out) > 0 || p.offset() == 0); last {
			total = p.offset() + len(out)
			return nil
		}
		return tx.GetContext(ctx, &total, fmt.Sprintf(`SELECT count(*) FROM (SELECT 1 FROM workspaces w%s LIMIT $%d) AS counted`, where, n+1),
			append(args[:n:n], p.offset()+p.limit()+maxCount)...)
	})
	return out, total, err
}

// workspaceOrders are the orders a list of workspaces can have.
func workspaceOrders() map[string]string {
	const created = `(SELECT n.created_at FROM runs n WHERE n.workspace_id = w.id ORDER BY n.position DESC LIMIT 1)`
	return map[string]string{
		"": ` ORDER BY lower(w.name)`, "name": ` ORDER BY lower(w.name)`, "-name": ` ORDER BY lower(w.name) DESC`,
		"current-run.created-at":  ` ORDER BY ` + created + ` NULLS LAST, lower(w.name)`,
		"-current-run.created-at": ` ORDER BY ` + created + ` DESC NULLS LAST, lower(w.name)`,
	}
}

// nonNil is the list as Postgres takes it for an array: an empty one, not NULL.
func nonNil(list []string) []string { return append([]string{}, list...) }
