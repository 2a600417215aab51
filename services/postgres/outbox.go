package postgres

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"gantry.example/messages"
)

// Kinds of outbox rows.
const (
	OutboxTask    = "task"    // payload messages.Task: publish it
	OutboxDelete  = "delete"  // payload messages.Task: take its message off the queue
	OutboxCommand = "command" // payload CommandRow: tell a running attempt
)

// CommandRow is a command and the pool whose subject carries it.
type CommandRow struct {
	Pool    string           `json:"pool"`
	Command messages.Command `json:"command"`
}

// OutboxRow is something to be sent. Rows are sent in order of ID.
type OutboxRow struct {
	ID        int64           `db:"id"`
	Kind      string          `db:"kind"`
	RunID     string          `db:"run_id"`
	Payload   json.RawMessage `db:"payload"`
	CreatedAt time.Time       `db:"created_at"`
}

// Channels of NOTIFY. A notification says "look": it is never the only way to learn of a change.
const (
	ChannelOutbox  = "gantry_outbox"
	ChannelEvents  = "gantry_events"  // payload: run id
	ChannelLogs    = "gantry_logs"    // payload: task id
	ChannelReaders = "gantry_readers" // somebody begins to listen to events on NATS; no payload
)

// relayLock serializes relays, so that the messages of one key leave in the order they were written.
const relayLock = 0x72656c6179 // "relay"

// Relay gives the oldest rows, at most limit, to send and deletes those it has sent. send returns how many rows, from the
// first, were sent; the rest stays, and so do rows of the pools in without, and of kinds that only a newer version knows. Only one
// relay works at a time; another gets n = 0 without waiting.
func (d *DB) Relay(ctx context.Context, limit int, without []string, send func(context.Context, []OutboxRow) (int, error)) (n int, err error) {
	var sendErr error
	err = d.once(ctx, func(tx *txn) error {
		var mine bool
		if err := tx.GetContext(ctx, &mine, `SELECT pg_try_advisory_xact_lock($1)`, relayLock); err != nil || !mine {
			return err
		}
		var rows []OutboxRow
		if err := tx.SelectContext(ctx, &rows, `
			SELECT id, kind, run_id, payload, created_at FROM outbox WHERE kind = ANY ($2) AND NOT COALESCE(payload ->> 'pool' = ANY ($3), false)
			ORDER BY id LIMIT $1`, limit, textArray([]string{OutboxTask, OutboxDelete, OutboxCommand}), textArray(without)); err != nil {
			return err
		}
		if len(rows) == 0 {
			return nil
		}
		n, sendErr = send(ctx, rows)
		if n == 0 {
			return nil
		}
		ids := make([]int64, n)
		for i := range ids {
			ids[i] = rows[i].ID
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM outbox WHERE id = ANY ($1)`, int64Array(ids))
		return err
	})
	if err == nil {
		err = sendErr
	}
	return n, err
}

// requeueBatch is how many rows Requeue writes at once.
const requeueBatch = 1000

// Requeue writes the messages of those tasks to the outbox again that are still queued, unless one waits there. The reconciler uses
// it for tasks whose message is gone, which may be all of them.
func (d *DB) Requeue(ctx context.Context, tasks []messages.Task) error {
	for batch := range slices.Chunk(tasks, requeueBatch) {
		runs, payloads := make([]string, len(batch)), make([]string, len(batch))
		for i, t := range batch {
			b, err := document(t)
			if err != nil {
				return err
			}
			runs[i], payloads[i] = t.RunID, string(b)
		}
		err := d.tx(ctx, func(tx *txn) error {
			_, err := tx.ExecContext(ctx, `
				INSERT INTO outbox (kind, run_id, payload, created_at)
				SELECT $1, t.run_id, t.payload::jsonb, $4 FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS t (run_id, payload, place)
				WHERE NOT EXISTS (SELECT 1 FROM outbox o WHERE o.run_id = t.run_id AND o.kind = $1)
				AND EXISTS (SELECT 1 FROM tasks q WHERE q.id = t.payload::jsonb ->> 'id' AND q.state = 'queued') -- no newer task's place is taken
				ORDER BY t.place`,
				OutboxTask, textArray(runs), textArray(payloads), now())
			if err != nil {
				return err
			}
			tx.wake(ChannelOutbox, "")
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
