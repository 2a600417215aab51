package postgres

import (
	"context"

	"gantry.example/messages"
)

// ForgetLabelSets forgets the sets of labels that no run of their pool has used for a day: none is open, and no task of any was
// queued since.
func (d *DB) ForgetLabelSets(ctx context.Context) error {
	_, err := d.q(ctx).ExecContext(ctx, `
		DELETE FROM pool_label_sets s WHERE s.used_at < $1
		AND NOT EXISTS (
		  SELECT 1 FROM runs r WHERE r.status IN `+openStatuses+` AND r.doc->>'pool' = s.pool_id
		  AND COALESCE(r.doc->'execution'->'required_labels', '[]') = s.labels)
		AND NOT EXISTS (
		  SELECT 1 FROM tasks t WHERE t.pool_id = s.pool_id AND t.queued_at > $1
		  AND t.labels = (SELECT COALESCE(string_agg(l, ',' ORDER BY i), '') FROM jsonb_array_elements_text(s.labels) WITH ORDINALITY AS x (l, i)))`,
		now().Add(-labelSetStays))
	return err
}

// AgentPools lists the ids of all pools of agents.
func (d *DB) AgentPools(ctx context.Context) ([]string, error) {
	var out []string
	err := d.q(ctx).SelectContext(ctx, &out, `SELECT id FROM pools WHERE mode = $1 ORDER BY id`, messages.ModeAgent)
	return out, err
}

// LabelSets lists the sets of labels that runs of a pool (id) required lately, each sorted.
func (d *DB) LabelSets(ctx context.Context, pool string) ([][]string, error) {
	var rows []jsonTexts
	err := d.q(ctx).SelectContext(ctx, &rows, `SELECT labels FROM pool_label_sets WHERE pool_id = $1 ORDER BY labels`, pool)
	out := make([][]string, len(rows))
	for i, r := range rows {
		out[i] = r
	}
	return out, err
}
