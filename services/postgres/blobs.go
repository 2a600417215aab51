package postgres

import (
	"context"

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

func (d *DB) putBlob(ctx context.Context, tx *sqlx.Tx, owner string, kind BlobKind, body []byte) error {
	sealed, err := d.seal.Seal(body, blobAAD(owner, kind))
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO blobs (owner, kind, size, sealed, created_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (owner, kind) DO UPDATE SET size = $3, sealed = $4, created_at = $5`, owner, kind, len(body), sealed, now())
	return err
}

func (d *DB) blob(ctx context.Context, q sqlx.QueryerContext, owner string, kind BlobKind) ([]byte, error) {
	var sealed []byte
	err := sqlx.GetContext(ctx, q, &sealed, `SELECT sealed FROM blobs WHERE owner = $1 AND kind = $2`, owner, kind)
	if noRows(err) {
		return nil, fail(messages.CodeNotFound, "%s has no %s", owner, kind)
	}
	if err != nil {
		return nil, err
	}
	return d.seal.Open(sealed, blobAAD(owner, kind))
}

func blobAAD(owner string, kind BlobKind) []byte { return []byte(string(kind) + "/" + owner) }
