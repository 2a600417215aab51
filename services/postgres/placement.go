package postgres

import (
	"context"
	"strings"
	"time"

	"gantry.example/messages"
)

// Present is an agent that was heard of a moment ago, as the choice among agents sees it.
type Present struct {
	Pool     string    `db:"pool_id"`
	Name     string    `db:"name"`
	Slots    int       `db:"slots"`
	Busy     int       `db:"busy"`
	Labels   jsonTexts `db:"labels"`
	Refusing bool      `db:"is_refusing"` // it takes nothing new, or is about to hear that it should not
	SeenAt   time.Time `db:"seen_at"`
}

// Roster lists the agents of all pools that were heard of a moment ago.
func (d *DB) Roster(ctx context.Context) ([]Present, error) {
	var out []Present
	err := d.q(ctx).SelectContext(ctx, &out, `
		SELECT w.pool_id, w.name, w.slots, w.busy, w.labels, w.seen_at, w.refusing <> '' OR w.state <> '' OR w.drain AS is_refusing
		FROM workers w JOIN pools p ON p.id = w.pool_id AND p.mode = $1 WHERE w.seen_at > $2 AND w.state <> 'exited'`,
		messages.ModeAgent, now().Add(-WorkerSilent))
	return out, err
}

// WaitingSet are the queued tasks of a pool that require the same labels.
type WaitingSet struct {
	Pool     string
	Labels   []string          // sorted
	Strategy messages.Strategy // of the oldest task
	Tasks    int
	Oldest   time.Time // when the oldest was queued
}

// WaitingSets lists what waits for agents, in all pools.
func (d *DB) WaitingSets(ctx context.Context) ([]WaitingSet, error) {
	var rows []struct {
		Pool     string            `db:"pool_id"`
		Labels   string            `db:"labels"`
		Strategy messages.Strategy `db:"strategy"`
		Tasks    int               `db:"tasks"`
		Oldest   time.Time         `db:"oldest"`
	}
	err := d.q(ctx).SelectContext(ctx, &rows, `
		SELECT t.pool_id, t.labels, (array_agg(t.strategy ORDER BY t.queued_at))[1] AS strategy, count(*) AS tasks, min(t.queued_at) AS oldest
		FROM tasks t JOIN pools p ON p.id = t.pool_id AND p.mode = $1 WHERE t.state = 'queued' GROUP BY t.pool_id, t.labels ORDER BY oldest`,
		messages.ModeAgent)
	out := make([]WaitingSet, len(rows))
	for i, r := range rows {
		out[i] = WaitingSet{Pool: r.Pool, Strategy: r.Strategy, Tasks: r.Tasks, Oldest: r.Oldest.UTC()}
		if r.Labels != "" {
			out[i].Labels = strings.Split(r.Labels, ",")
		}
	}
	return out, err
}
