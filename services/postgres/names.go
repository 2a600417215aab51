package postgres

import (
	"context"
	"slices"
	"strings"
)

// Names are found by a part of them: their column name_parts has all their parts of up to partSize characters, in small letters,
// and an index, which leaves few that could have the part that is looked for.
const partSize = 3

// named adds the condition that the name of workspaces w has the part, in any case. In the part * stands for anything, and
// one with * is the whole name.
//
// Few workspaces are read one by one rather than by the index. Then the name is to be tried first, as one operator: Postgres takes
// comparing lists of parts to be no dearer, and tries lower(name) LIKE, which is two, after it. Measured at 3,000 workspaces: 1.5 ms and 12.
func (c *conditions) named(part string) {
	c.add(`w.name ILIKE $$ AND w.name_parts @> $$::text[]`, namePattern(part), textArray(nameParts(part)))
}

// namePattern is a part of a name as a pattern of ILIKE.
func namePattern(part string) string {
	text := strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`, `*`, `%`).Replace(part)
	if strings.Contains(part, "*") {
		return text
	}
	return "%" + text + "%"
}

// nameParts are the parts that a name's own must have among them: the longest that are kept.
func nameParts(part string) []string {
	parts := []string{}
	for text := range strings.SplitSeq(strings.ToLower(part), "*") {
		letters := []rune(text)
		for at := 0; at == 0 || at+partSize <= len(letters); at++ {
			if short := string(letters[at:min(at+partSize, len(letters))]); short != "" && !slices.Contains(parts, short) {
				parts = append(parts, short)
			}
		}
	}
	return parts
}

// planned runs f, which reads, in a transaction in which every statement is planned for its parameters. Whether a list is better
// read in its order or by an index of what is looked for depends on how many have that.
func (d *DB) planned(ctx context.Context, f func(*txn) error) error {
	return d.once(ctx, func(tx *txn) error {
		if _, err := tx.ExecContext(ctx, `SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL plan_cache_mode = force_custom_plan`); err != nil {
			return err
		}
		return f(tx)
	})
}
