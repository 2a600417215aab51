package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"gantry.example/messages"
	"gantry.example/services/run"
)

// RunEvents returns the events of one run after seq, in order.
func (d *DB) RunEvents(ctx context.Context, runID string, after int64, limit int) ([]run.Event, error) {
	var docs [][]byte
	if err := d.q(ctx).SelectContext(ctx, &docs, `SELECT event FROM run_events WHERE run_id = $1 AND seq > $2 ORDER BY seq LIMIT $3`,
		runID, after, limit); err != nil {
		return nil, err
	}
	out := make([]run.Event, len(docs))
	for i, doc := range docs {
		if err := json.Unmarshal(doc, &out[i]); err != nil {
			return nil, fmt.Errorf("decode event of run %s: %w", runID, err)
		}
	}
	return out, nil
}

// Cursor is a position in the events of all runs. Commits of different runs become visible in no particular order, so a
// position is not a number: it is what a snapshot of Postgres had seen (From), what the next one had seen (To), and how
// far the events between the two were read (ID). A reader that goes on from any Cursor misses nothing and sees nothing
// twice. All of that means something in one era only: a database that was restored counts anew.
type Cursor struct {
	Era      string // "" where nothing was ever restored
	From, To string // pg_snapshot as text
	ID       int64
}

// String is the cursor as an event id of an SSE stream.
func (c Cursor) String() string {
	s := c.From + "/" + c.To + "/" + strconv.FormatInt(c.ID, 10)
	if c.Era != "" {
		s = c.Era + "/" + s
	}
	return s
}

// ParseCursor reads what String wrote. Errors: invalid.
func ParseCursor(s string) (Cursor, error) {
	bad := fail(messages.CodeInvalid, "Last-Event-ID %q is not one this server sent: reconnect without it", s)
	parts := strings.Split(s, "/")
	era := ""
	if len(parts) == 4 && messages.ValidID(parts[0], "era-") {
		era, parts = parts[0], parts[1:]
	}
	if len(parts) != 3 {
		return Cursor{}, bad
	}
	id, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil || id < 0 || !validSnapshot(parts[0]) || !validSnapshot(parts[1]) {
		return Cursor{}, bad
	}
	return Cursor{Era: era, From: parts[0], To: parts[1], ID: id}, nil
}

// validSnapshot reports whether Postgres takes s as a pg_snapshot: xmin:xmax:xip,… with 0 < xmin ≤ xip < xmax, rising.
func validSnapshot(s string) bool {
	parts := strings.Split(s, ":")
	if len(parts) != 3 {
		return false
	}
	xmin, err := strconv.ParseUint(parts[0], 10, 64)
	xmax, err2 := strconv.ParseUint(parts[1], 10, 64)
	if err != nil || err2 != nil || xmin == 0 || xmin > xmax {
		return false
	}
	if parts[2] == "" {
		return true
	}
	low := xmin
	for _, p := range strings.Split(parts[2], ",") {
		xip, err := strconv.ParseUint(p, 10, 64)
		if err != nil || xip < low || xip >= xmax {
			return false
		}
		low = xip
	}
	return true
}

// FeedEvent is an event of any run with the position after it.
type FeedEvent struct {
	Event  run.Event
	Cursor Cursor
}

// Snapshot returns the newest runs of an organization and the cursor from which every later change follows.
func (d *DB) Snapshot(ctx context.Context, organizationID string, limit int) ([]run.Run, Cursor, error) {
	var out []run.Run
	var c Cursor
	err := d.read(ctx, func(tx *txn) error {
		var err error
		if c, err = here(ctx, tx); err != nil {
			return err
		}
		var docs [][]byte
		if err := tx.SelectContext(ctx, &docs, `SELECT doc FROM runs WHERE organization_id = $1 ORDER BY position DESC LIMIT $2`,
			organizationID, limit); err != nil {
			return err
		}
		for _, doc := range docs {
			r, err := decodeRun(doc)
			if err != nil {
				return err
			}
			out = append(out, r)
		}
		return nil
	})
	return out, c, err
}

// ErrOtherEra is returned by Follow for a cursor of before the database was restored: its reader has to start anew.
var ErrOtherEra = errors.New("the position is of a time before this server was restored from a backup")

// here is the position after everything there is.
func here(ctx context.Context, tx *txn) (Cursor, error) {
	var row struct {
		Snapshot string `db:"snapshot"`
		Era      string `db:"era"`
	}
	err := tx.GetContext(ctx, &row, `
		SELECT pg_current_snapshot()::text AS snapshot, COALESCE((SELECT value FROM meta WHERE key = $1), '') AS era`, metaEra)
	return Cursor{Era: row.Era, From: row.Snapshot, To: row.Snapshot}, err
}

// Follow returns the events of an organization after the cursor, in an order in which each run's own events are in order,
// and the cursor after the last of them. Errors: ErrOtherEra.
func (d *DB) Follow(ctx context.Context, organizationID string, c Cursor) ([]FeedEvent, Cursor, error) {
	var out []FeedEvent
	err := d.read(ctx, func(tx *txn) error {
		end, err := here(ctx, tx)
		if err == nil && end.Era != c.Era {
			err = ErrOtherEra
		}
		if err != nil {
			return err
		}
		if c.From != c.To { // the rest of an interrupted step first
			if out, err = feed(ctx, tx, organizationID, c); err != nil {
				return err
			}
		}
		more, err := feed(ctx, tx, organizationID, Cursor{Era: end.Era, From: c.To, To: end.To})
		out = append(out, more...)
		c = end
		return err
	})
	return out, c, err
}

// FollowUntil returns at most limit events of an organization after the cursor and before end, in the order of Follow, and the
// cursor after the last of them: end itself once there are no more. Errors: ErrOtherEra.
func (d *DB) FollowUntil(ctx context.Context, organizationID string, c, end Cursor, limit int) ([]FeedEvent, Cursor, error) {
	if c.Era != end.Era {
		return nil, c, ErrOtherEra
	}
	var out []FeedEvent
	err := d.read(ctx, func(tx *txn) (err error) {
		out, c, err = followUntil(ctx, tx, organizationID, c, end, limit)
		return err
	})
	return out, c, err
}

// followUntil is FollowUntil in a transaction, within one era.
func followUntil(ctx context.Context, tx *txn, organizationID string, c, end Cursor, limit int) ([]FeedEvent, Cursor, error) {
	var out []FeedEvent
	steps := []Cursor{c, {Era: c.Era, From: c.To, To: end.To}}
	if c.From == c.To { // nothing was interrupted
		steps = steps[1:]
	}
	for _, step := range steps {
		more, err := feedUpTo(ctx, tx, organizationID, step, limit-len(out))
		if err != nil {
			return nil, c, err
		}
		if out = append(out, more...); len(out) == limit {
			return out, out[limit-1].Cursor, nil
		}
	}
	return out, end, nil
}

// feed reads the events committed between the two snapshots of the step, after its ID.
func feed(ctx context.Context, tx *txn, organizationID string, step Cursor) ([]FeedEvent, error) {
	return feedUpTo(ctx, tx, organizationID, step, math.MaxInt32)
}

func feedUpTo(ctx context.Context, tx *txn, organizationID string, step Cursor, limit int) ([]FeedEvent, error) {
	var rows []struct {
		ID    int64  `db:"id"`
		Event []byte `db:"event"`
	}
	if err := tx.SelectContext(ctx, &rows, `
		SELECT id, event FROM run_events
		WHERE xid >= pg_snapshot_xmin($1::pg_snapshot) AND NOT pg_visible_in_snapshot(xid, $1::pg_snapshot)
		  AND pg_visible_in_snapshot(xid, $2::pg_snapshot) AND organization_id = $3 AND id > $4
		ORDER BY id LIMIT $5`, step.From, step.To, organizationID, step.ID, limit); err != nil {
		return nil, err
	}
	out := make([]FeedEvent, len(rows))
	for i, r := range rows {
		if err := json.Unmarshal(r.Event, &out[i].Event); err != nil {
			return nil, err
		}
		out[i].Cursor = Cursor{Era: step.Era, From: step.From, To: step.To, ID: r.ID}
	}
	return out, nil
}
