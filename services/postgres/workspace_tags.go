package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/jmoiron/sqlx"

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

// TagChange changes the tags of a workspace, in this order.
type TagChange struct {
	Clear bool
	Drop  []string
	Set   map[string]string // added, or given another value
}

// maxTags bounds the tags of one workspace.
const maxTags = 100

// store writes the changed tags of the workspace, which is under its row lock. Nil changes nothing.
func (c *TagChange) store(ctx context.Context, tx *sqlx.Tx, w Workspace) error {
	if c == nil {
		return nil
	}
	tags, err := w.Tags()
	if err != nil {
		return err
	}
	if c.Clear {
		clear(tags)
	}
	for _, key := range c.Drop {
		delete(tags, key)
	}
	maps.Copy(tags, c.Set)
	doc, err := tagsDocument(tags)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE workspaces SET tags = $2 WHERE id = $1`, w.ID, doc)
	return err
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
}

// FindWorkspaces lists the workspaces of an organization (id or name) that the filter selects, by name, and the number of all
// of them. Errors: not_found.
func (d *DB) FindWorkspaces(ctx context.Context, organization string, f WorkspaceFilter, p Page) ([]Workspace, int, error) {
	o, err := d.Organization(ctx, organization)
	if err != nil {
		return nil, 0, err
	}
	if f.Tags == nil {
		f.Tags = map[string]string{}
	}
	pairs, err := json.Marshal(f.Tags)
	if err != nil {
		return nil, 0, err
	}
	const where = ` WHERE w.organization_id = $1 AND strpos(lower(w.name), lower($2)) > 0
		AND w.tags ?& $3::text[] AND w.tags @> $4::jsonb AND NOT w.tags ?| $5::text[]`
	args := []any{o.ID, f.Name, textArray(nonNil(f.Keys)), string(pairs), textArray(nonNil(f.ExcludeKeys))}
	var total int
	if err := d.q(ctx).GetContext(ctx, &total, `SELECT count(*) FROM workspaces w`+where, args...); err != nil {
		return nil, 0, err
	}
	var out []Workspace
	err = d.q(ctx).SelectContext(ctx, &out, selectWorkspace+where+` ORDER BY lower(w.name) LIMIT $6 OFFSET $7`,
		append(args, p.limit(), p.offset())...)
	return out, total, err
}

// nonNil is the list as Postgres takes it for an array: an empty one, not NULL.
func nonNil(list []string) []string { return append([]string{}, list...) }
