package postgres

import (
	"context"
	"time"
)

// AddReader notes that somebody may listen to the events of an organization until then, and wakes whoever tells them: what
// is committed from now on is for them.
func (d *DB) AddReader(ctx context.Context, organizationID string, until time.Time) error {
	return d.tx(ctx, func(tx *txn) error {
		from, err := here(ctx, tx)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `
			INSERT INTO event_readers AS r (organization_id, until, cursor) VALUES ($1, $2, $3)
			ON CONFLICT (organization_id) DO UPDATE SET until = greatest(r.until, $2), cursor = CASE WHEN r.until < now() THEN $3 ELSE r.cursor END`,
			organizationID, until, from.String()); err != nil {
			return err
		}
		tx.wake(ChannelReaders, "")
		return nil
	})
}

const (
	readersLock = 0x72656164 // "read"
	// readersBatch bounds what is read and told at once.
	readersBatch = 500
)

// Announce gives the events that came since the last call, of each organization that somebody listens to, to tell, and reports
// how many such organizations there are and whether there may be more at once. Several servers may call it: one works at a
// time, and what it told when it was killed is told again by the next. Nobody listening costs one look at an empty table.
func (d *DB) Announce(ctx context.Context, tell func(ctx context.Context, organizationID string, events []FeedEvent) error) (readers int, more bool, err error) {
	err = d.weighed(ctx, func(tx *txn) error {
		// A position that is lost with a power failure makes some events come twice.
		if _, err := tx.ExecContext(ctx, `SET LOCAL synchronous_commit = off`); err != nil {
			return err
		}
		var mine bool
		if err := tx.GetContext(ctx, &mine, `SELECT pg_try_advisory_xact_lock($1)`, readersLock); err != nil || !mine {
			return err
		}
		var rows []struct {
			Organization string `db:"organization_id"`
			Cursor       string `db:"cursor"`
		}
		if err := tx.SelectContext(ctx, &rows, `SELECT organization_id, cursor FROM event_readers WHERE until > now() ORDER BY organization_id`); err != nil || len(rows) == 0 {
			return err
		}
		readers = len(rows)
		end, err := here(ctx, tx)
		if err != nil {
			return err
		}
		for _, row := range rows {
			from, err := ParseCursor(row.Cursor)
			if err != nil || from.Era != end.Era {
				from = end
			}
			full, err := announce(ctx, tx, row.Organization, from, end, tell)
			if err != nil {
				return err
			}
			more = more || full
		}
		return nil
	})
	return readers, more, err
}

// announce tells one organization's events between the two positions, at most a batch, and stores how far it came.
func announce(ctx context.Context, tx *txn, organizationID string, from, end Cursor, tell func(context.Context, string, []FeedEvent) error) (full bool, err error) {
	events, at, err := followUntil(ctx, tx, organizationID, from, end, readersBatch)
	if err != nil {
		return false, err
	}
	if len(events) > 0 {
		if err := tell(ctx, organizationID, events); err != nil {
			return false, err
		}
	} else if at.Era == from.Era && snapshotMax(at.To)-snapshotMax(from.To) < cursorStep {
		return false, nil // where nothing happens nothing is written
	}
	_, err = tx.ExecContext(ctx, `UPDATE event_readers SET cursor = $2 WHERE organization_id = $1`, organizationID, at.String())
	return len(events) == readersBatch, err
}
