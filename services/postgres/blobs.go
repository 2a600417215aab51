package postgres

import (
	"context"
	"fmt"
	"io"
	"time"

	"gantry.example/messages"
	"gantry.example/services/run"
)

// BlobKind says what a blob is. Configurations belong to a configuration version, states to a state version, the others to a run.
type BlobKind string

// The kinds.
const (
	BlobConfiguration BlobKind = "configuration"
	BlobPlan          BlobKind = "plan"
	BlobPlanJSON      BlobKind = "plan-json"
	BlobState         BlobKind = "state" // of which only those are blobs that are more than a part, see DB.State
)

// Blob is the content of a stored configuration, state, plan or JSON plan, which is read part by part: a large one is never in memory as a
// whole. It holds nothing of the database between reads and need not be closed. It is for one goroutine.
type Blob struct {
	Size int64 // in bytes

	q        querier
	seal     Sealer
	ctx      context.Context //nolint:containedctx // that of the call it was opened for, which it must not outlive
	owner    string
	kind     BlobKind
	parts    int
	storedAt time.Time
	next     int    // the part that is read next
	rest     []byte // of the part before it
}

// Blob opens a configuration, plan or JSON plan. It is read while ctx lasts. Errors: not_found.
func (d *DB) Blob(ctx context.Context, owner string, kind BlobKind) (*Blob, error) {
	return d.blob(ctx, d.q(ctx), owner, kind)
}

func (d *DB) blob(ctx context.Context, q querier, owner string, kind BlobKind) (*Blob, error) {
	var row struct {
		Parts     int
		Size      int64
		Sealed    []byte
		CreatedAt time.Time `db:"created_at"`
	}
	err := q.GetContext(ctx, &row, `SELECT parts, size, sealed, created_at FROM blobs WHERE owner = $1 AND kind = $2`, owner, kind)
	if noRows(err) {
		return nil, fail(messages.CodeNotFound, "%s has no %s", owner, kind)
	}
	if err != nil {
		return nil, err
	}
	b := &Blob{Size: row.Size, q: q, seal: d.seal, ctx: ctx, owner: owner, kind: kind, parts: row.Parts, storedAt: row.CreatedAt}
	return b, b.open(row.Sealed)
}

// Read reads on. It fails if the blob was replaced or removed meanwhile.
func (b *Blob) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		if b.next == b.parts {
			return 0, io.EOF
		}
		var sealed []byte
		err := b.q.GetContext(b.ctx, &sealed, `
			SELECT p.sealed FROM blob_parts p JOIN blobs b USING (owner, kind)
			WHERE owner = $1 AND kind = $2 AND part = $3 AND b.created_at = $4`, b.owner, b.kind, b.next, b.storedAt)
		if noRows(err) {
			return 0, fmt.Errorf("the %s of %s was replaced or removed while it was read", b.kind, b.owner)
		}
		if err == nil {
			err = b.open(sealed)
		}
		if err != nil {
			return 0, err
		}
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// open unseals the next part.
func (b *Blob) open(sealed []byte) (err error) {
	b.rest, err = b.seal.Open(sealed, blobAAD(b.owner, b.kind, b.next, b.parts))
	b.next++
	return err
}

// PutPlan stores the plan file of an open plan attempt, or the JSON plan of one that is open or was the run's last: the
// JSON plan follows the result, because nobody waits for it. What is more than a part goes to the database as
// it comes, before the run's lock is taken. Errors: attempt.closed, forbidden, invalid (the body is shorter).
func (d *DB) PutPlan(ctx context.Context, a Attempt, kind BlobKind, in Upload) error {
	u, err := d.receive(ctx, a.RunID, kind, in)
	defer u.discard(ctx, d)
	if err != nil {
		return err
	}
	return d.putPlan(ctx, a, kind, func(tx *txn) error { return u.store(ctx, d, tx) })
}

// putPlan has it stored, unless the attempt may not.
func (d *DB) putPlan(ctx context.Context, a Attempt, kind BlobKind, store func(*txn) error) error {
	return d.tx(ctx, func(tx *txn) error {
		l, err := a.lock(ctx, tx)
		if err != nil {
			return err
		}
		t, at := l.run.Attempt(a.ID)
		if at == nil || t.Phase != messages.PhasePlan {
			return fail(messages.CodeForbidden, "attempt %s is no plan", a.ID)
		}
		if at.StartedAt == nil || (!at.Open() && (kind != BlobPlanJSON || t.Last().ID != a.ID)) {
			return fail(messages.CodeAttemptClosed, "attempt %s is closed or did not start: its %s is not taken", a.ID, kind)
		}
		if kind == BlobPlanJSON { // whoever shows it hides these in it
			if err := showValues(ctx, tx, l.run, *at); err != nil {
				return err
			}
		}
		return store(tx)
	})
}

// showValues keeps the attempt's values as long as its JSON plan. Where there are none, and they may have been swept, that is refused:
// nobody could tell what is to be hidden in it. Half the time allows for clocks that differ.
func showValues(ctx context.Context, tx *txn, r run.Run, at run.Attempt) error {
	kept, err := tx.ExecContext(ctx, `UPDATE attempt_variables SET shown = true WHERE attempt_id = $1`, at.ID)
	if err != nil {
		return err
	}
	n, err := kept.RowsAffected()
	if err == nil && n == 0 && r.Status.Final() && at.ClosedAt != nil && now().Sub(*at.ClosedAt) > keepValues/2 {
		return fail(messages.CodeAttemptClosed, "attempt %s was closed too long ago: the values to hide in its %s are gone, so it is not taken", at.ID, BlobPlanJSON)
	}
	return err
}

// blobPart is the size of all parts of a blob but the last, in bytes. What is not larger has one part.
const blobPart = 4 << 20

const insertPart = `INSERT INTO blob_parts (owner, kind, part, sealed) VALUES ($1, $2, $3, $4)`

func (d *DB) putBlob(ctx context.Context, tx *txn, owner string, kind BlobKind, body []byte) error {
	parts := max(1, (len(body)+blobPart-1)/blobPart)
	for i := range parts {
		sealed, err := d.seal.Seal(body[i*blobPart:min((i+1)*blobPart, len(body))], blobAAD(owner, kind, i, parts))
		if err != nil {
			return err
		}
		if i == 0 {
			_, err = tx.ExecContext(ctx, `
				WITH before AS (DELETE FROM blob_parts WHERE owner = $1 AND kind = $2)
				INSERT INTO blobs (owner, kind, size, sealed, created_at, parts) VALUES ($1, $2, $3, $4, $5, $6)
				ON CONFLICT (owner, kind) DO UPDATE SET size = $3, sealed = $4, created_at = $5, parts = $6`,
				owner, kind, len(body), sealed, now(), parts)
		} else {
			_, err = tx.ExecContext(ctx, insertPart, owner, kind, i, sealed)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// blobAAD binds a part to its place.
func blobAAD(owner string, kind BlobKind, part, parts int) []byte {
	if parts == 1 {
		return []byte(string(kind) + "/" + owner)
	}
	return fmt.Appendf(nil, "%s/%s/%d/%d", kind, owner, part, parts)
}
