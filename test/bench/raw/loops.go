package raw

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/lib/pq"
	"github.com/nats-io/nats.go/jetstream"
)

// poll is how long whoever finds nothing to do waits for it.
const poll = 20 * time.Millisecond

// relay publishes what the outbox has, in order, and deletes it.
func (b *bench) relay(ctx context.Context) error {
	for sent := 0; sent < b.Tasks; {
		n, err := b.relayBatch(ctx)
		if err != nil {
			return err
		}
		if sent += n; n == 0 {
			if err := pause(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) relayBatch(ctx context.Context) (n int, err error) {
	tx, err := b.db.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, ended(tx.Rollback())) }()
	rows, err := tx.QueryContext(ctx, `SELECT id, run_id FROM outbox ORDER BY id LIMIT $1`, outboxBatch)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	var ids, runs []int64
	for rows.Next() {
		var id, run int64
		if err := rows.Scan(&id, &run); err != nil {
			return 0, err
		}
		ids, runs = append(ids, id), append(runs, run)
	}
	if err := rows.Err(); err != nil || len(ids) == 0 {
		return 0, err
	}
	for _, run := range runs {
		if _, err := b.js.Publish(ctx, fmt.Sprint("raw.task.", run), b.message, jetstream.WithMsgID(fmt.Sprint("task-", run))); err != nil {
			return 0, err
		}
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM outbox WHERE id = ANY ($1)`, pq.Array(ids)); err != nil {
		return 0, err
	}
	return len(ids), tx.Commit()
}

// worker carries tasks out until there is none left.
func (b *bench) worker(ctx context.Context) error {
	for b.finished.Load() < int64(b.Tasks) {
		msgs, err := b.tasks.Fetch(1, jetstream.FetchMaxWait(time.Second))
		if err != nil {
			return err
		}
		for m := range msgs.Messages() {
			if err := b.carryOut(ctx, m); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) carryOut(ctx context.Context, m jetstream.Msg) error {
	n, err := strconv.Atoi(m.Subject()[strings.LastIndexByte(m.Subject(), '.')+1:])
	if err != nil {
		return err
	}
	if err := b.commit(ctx, claim, n); err != nil {
		return err
	}
	if err := m.DoubleAck(ctx); err != nil {
		return err
	}
	if err := b.commit(ctx, start, n); err != nil {
		return err
	}
	if err := b.tell(ctx, n, "progress"); err != nil {
		return err
	}
	if err := b.commit(ctx, result, n); err != nil {
		return err
	}
	b.finished.Add(1)
	return b.tell(ctx, n, "finished")
}

func (b *bench) tell(ctx context.Context, n int, what string) error {
	_, err := b.js.Publish(ctx, fmt.Sprintf("raw.status.%d", n), b.message, jetstream.WithMsgID(fmt.Sprint(what, "-", n)))
	return err
}

// reader commits the events of a batch together, then acknowledges each.
func (b *bench) reader(ctx context.Context) error {
	for b.read.Load() < int64(2*b.Tasks) {
		msgs, err := b.events.Fetch(eventBatch, jetstream.FetchMaxWait(poll))
		if err != nil {
			return err
		}
		var batch []jetstream.Msg
		for m := range msgs.Messages() {
			batch = append(batch, m)
		}
		if len(batch) == 0 {
			continue
		}
		if _, err := b.db.ExecContext(ctx, `UPDATE workspaces SET gate = gate WHERE id = $1`, b.Workspaces); err != nil {
			return err
		}
		for _, m := range batch {
			if err := m.DoubleAck(ctx); err != nil {
				return err
			}
		}
		b.read.Add(int64(len(batch)))
	}
	return nil
}

func pause(ctx context.Context) error {
	timer := time.NewTimer(poll)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// ended is nil for the rollback of what was committed.
func ended(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}
