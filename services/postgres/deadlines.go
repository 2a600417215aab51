package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gantry.example/messages"
	"gantry.example/services/run"
)

// OpenAttempt is an attempt that may still write, as the reconciler looks at it.
type OpenAttempt struct {
	ID            string           `db:"id"`
	TaskID        string           `db:"task_id"`
	RunID         string           `db:"run_id"`
	State         run.AttemptState `db:"state"`
	Epoch         int64            `db:"epoch"`
	StartDeadline time.Time        `db:"start_deadline"`
	StartedAt     *time.Time       `db:"started_at"`
	LostAt        *time.Time       `db:"lost_at"`
	Pool          string           `db:"pool_id"`
	Phase         messages.Phase   `db:"phase"`
	Key           string           `db:"key"`      // of its lease
	Stopping      bool             `db:"stopping"` // it was asked to stop, by a cancel or for its limit
	Force         bool             `db:"force"`
	PrintedAt     *time.Time       `db:"printed_at"` // when the last of its output was stored
	Limits        []byte           `db:"limits"`     // the timeouts of its run's execution document, JSON
	LeaseTTL      int              `db:"lease_ttl"`  // of its pool, in seconds; 0: the server's
}

// Timeouts are those of the run's execution document.
func (a OpenAttempt) Timeouts() messages.Timeouts {
	var t messages.Timeouts
	_ = json.Unmarshal(a.Limits, &t) // written by us; what can't be read says nothing
	return t
}

// OpenAttempts lists all attempts that may still write.
func (d *DB) OpenAttempts(ctx context.Context) ([]OpenAttempt, error) {
	var out []OpenAttempt
	// LIMIT 1 has each looked up: where a thousand are open, Postgres would rather read all tasks and logs there ever were.
	err := d.q(ctx).SelectContext(ctx, &out, `
		SELECT a.id, a.task_id, a.run_id, a.state, a.epoch, GREATEST(a.start_deadline, p.until) AS start_deadline, a.started_at, a.lost_at, t.pool_id, t.phase,
		       CASE WHEN r.exclusive AND NOT (t.phase = 'plan' AND r.doc ? 'recovers') THEN r.workspace_id ELSE r.id END AS key,
		       r.doc @> '{"cancel_requested": true}' OR COALESCE(r.doc -> 'overrun' ->> 'phase' = t.phase, false) AS stopping,
		       r.doc @> '{"force_requested": true}' AS force,
		       CASE WHEN l.attempt_id = a.id THEN l.printed_at END AS printed_at, r.doc -> 'execution' -> 'timeouts' AS limits,
		       COALESCE(q.lease_ttl_seconds, 0) AS lease_ttl
		FROM attempts a JOIN LATERAL (SELECT pool_id, phase FROM tasks WHERE id = a.task_id LIMIT 1) t ON true
		     JOIN LATERAL (SELECT id, workspace_id, exclusive, doc FROM runs WHERE id = a.run_id LIMIT 1) r ON true
		     LEFT JOIN LATERAL (SELECT attempt_id, printed_at FROM logs WHERE task_id = a.task_id LIMIT 1) l ON true
		     LEFT JOIN placements p ON p.attempt_id = a.id LEFT JOIN pools q ON q.id = t.pool_id
		WHERE a.state <> 'closed' ORDER BY a.claimed_at`)
	return out, err
}

// RepeatStop tells the runners of the attempts again that they were asked to stop. A run whose last command was not sent yet
// gets no other, so that an outbox which can't be sent does not grow.
func (d *DB) RepeatStop(ctx context.Context, attempts []OpenAttempt) error {
	return d.tx(ctx, func(tx *txn) error {
		for _, a := range attempts {
			var waits bool
			if err := tx.GetContext(ctx, &waits, `SELECT EXISTS (SELECT 1 FROM outbox WHERE kind = $1 AND run_id = $2)`, OutboxCommand, a.RunID); err != nil {
				return err
			}
			if waits {
				continue
			}
			again, err := document(CommandRow{Pool: a.Pool, Command: messages.Command{V: messages.Version, AttemptID: a.ID, Cancel: true, Force: a.Force}})
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `INSERT INTO outbox (kind, run_id, payload, created_at) VALUES ($1, $2, $3, $4)`,
				OutboxCommand, a.RunID, again, now()); err != nil {
				return err
			}
			tx.wake(ChannelOutbox, "")
		}
		return nil
	})
}

// WaitingRuns lists the runs that wait for a worker or for approval: those with timeouts of their own, or all.
func (d *DB) WaitingRuns(ctx context.Context, all bool) ([]run.Run, error) {
	var docs [][]byte
	if err := d.q(ctx).SelectContext(ctx, &docs, `
		SELECT doc FROM runs WHERE status IN `+openStatuses+` AND status NOT IN ('planning', 'applying')
		AND ($1 OR doc -> 'execution' -> 'timeouts' ?| array['queue', 'approval']) ORDER BY position`, all); err != nil {
		return nil, err
	}
	return decodeRuns(docs)
}

// QueuedTasks lists tasks that have been queued for longer than age, oldest first.
func (d *DB) QueuedTasks(ctx context.Context, age time.Duration) ([]messages.Task, error) {
	var rows []struct {
		ID  string `db:"id"`
		Doc []byte `db:"doc"`
	}
	if err := d.q(ctx).SelectContext(ctx, &rows, `
		SELECT t.id, r.doc FROM tasks t JOIN runs r ON r.id = t.run_id
		WHERE t.state = 'queued' AND t.queued_at < $1 ORDER BY t.queued_at`, now().Add(-age)); err != nil {
		return nil, err
	}
	out := make([]messages.Task, 0, len(rows))
	for _, row := range rows {
		r, err := decodeRun(row.Doc)
		if err != nil {
			return nil, err
		}
		if t := r.TaskByID(row.ID); t != nil {
			out = append(out, r.Message(t))
		}
	}
	return out, nil
}

// FreeGates releases the next run of every workspace whose gate is free although a run waits: a net below releaseNext.
func (d *DB) FreeGates(ctx context.Context) error {
	var ids []string
	if err := d.q(ctx).SelectContext(ctx, &ids, `
		SELECT DISTINCT w.id FROM workspaces w JOIN runs r ON r.workspace_id = w.id AND r.status IN ('pending', 'confirmed') AND r.exclusive
		WHERE w.gate_run_id IS NULL AND NOT w.locked`); err != nil {
		return err
	}
	var failed error // one must not keep the others waiting
	for _, id := range ids {
		if err := d.tx(ctx, func(tx *txn) error {
			ws, err := lockGate(ctx, tx, id)
			if err != nil {
				return err
			}
			return releaseNext(ctx, tx, ws)
		}); err != nil && !isNotFound(err) { // deleted meanwhile
			failed = errors.Join(failed, fmt.Errorf("gate of workspace %s: %w", id, err))
		}
	}
	return failed
}
