package postgres

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"gantry.example/messages"
)

// BlobKind says what a blob is. Configurations belong to a configuration version, the others to a run.
type BlobKind string

// The kinds.
const (
	BlobConfiguration BlobKind = "configuration"
	BlobPlan          BlobKind = "plan"
	BlobPlanJSON      BlobKind = "plan-json"
)

// Blob returns a configuration, plan or JSON plan. Errors: not_found.
func (d *DB) Blob(ctx context.Context, owner string, kind BlobKind) ([]byte, error) {
	return d.blob(ctx, d.q(ctx), owner, kind)
}

// PutPlan stores the plan file of an open plan attempt, or the JSON plan of one that is open or was the run's last: the
// JSON plan follows the result, because nobody waits for it. Errors: attempt.closed.
func (d *DB) PutPlan(ctx context.Context, a Attempt, kind BlobKind, body []byte) error {
	return d.tx(ctx, func(tx *sqlx.Tx) error {
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
		return d.putBlob(ctx, tx, a.RunID, kind, body)
	})
}

// blobPart is the size of all parts of a blob but the last, in bytes. What is not larger has one part.
const blobPart = 4 << 20

func (d *DB) putBlob(ctx context.Context, tx *sqlx.Tx, owner string, kind BlobKind, body []byte) error {
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
			_, err = tx.ExecContext(ctx, `INSERT INTO blob_parts (owner, kind, part, sealed) VALUES ($1, $2, $3, $4)`, owner, kind, i, sealed)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *DB) blob(ctx context.Context, q sqlx.QueryerContext, owner string, kind BlobKind) ([]byte, error) {
	// One statement sees one version of the blob.
	rows, err := q.QueryxContext(ctx, `
		SELECT 0 AS part, parts, size, sealed FROM blobs WHERE owner = $1 AND kind = $2
		UNION ALL SELECT part, 0, 0, sealed FROM blob_parts WHERE owner = $1 AND kind = $2
		ORDER BY part`, owner, kind)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var body []byte
	var parts, found int
	for ; rows.Next(); found++ {
		var row struct {
			Part, Parts int
			Size        int64
			Sealed      []byte
		}
		if err := rows.StructScan(&row); err != nil {
			return nil, err
		}
		if found == 0 {
			parts, body = row.Parts, make([]byte, 0, row.Size)
		}
		opened, err := d.seal.Open(row.Sealed, blobAAD(owner, kind, row.Part, parts))
		if err != nil {
			return nil, err
		}
		body = append(body, opened...)
	}
	switch err := rows.Err(); {
	case err != nil:
		return nil, err
	case found == 0:
		return nil, fail(messages.CodeNotFound, "%s has no %s", owner, kind)
	case found != parts:
		return nil, fmt.Errorf("the %s of %s has %d parts, want %d", kind, owner, found, parts)
	}
	return body, nil
}

// blobAAD binds a part to its place.
func blobAAD(owner string, kind BlobKind, part, parts int) []byte {
	if parts == 1 {
		return []byte(string(kind) + "/" + owner)
	}
	return fmt.Appendf(nil, "%s/%s/%d/%d", kind, owner, part, parts)
}
