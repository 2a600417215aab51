package postgres

import (
	"context"
	"io"

	"gantry.example/messages"
)

// uploadPrefix begins the owner of a blob that is still being received. The index blobs_uploads has these.
const uploadPrefix = "up-"

// upload is a large blob on its way. Its parts are stored as they come, sealed for their place in the blob of owner, under the id
// of the upload as their owner; when all are there they become those of owner. What was broken off is swept.
type upload struct {
	id, owner string
	kind      BlobKind
	size      int64
}

// receive stores the parts.
func (d *DB) receive(ctx context.Context, u upload, body io.Reader) error {
	parts := int((u.size + blobPart - 1) / blobPart)
	buffer := make([]byte, blobPart)
	for i := range parts {
		part := buffer[:min(blobPart, u.size-int64(i)*blobPart)]
		if err := readPart(body, part); err != nil {
			return err
		}
		sealed, err := d.seal.Seal(part, blobAAD(u.owner, u.kind, i, parts))
		if err != nil {
			return err
		}
		if i == 0 {
			_, err = d.q(ctx).ExecContext(ctx, `INSERT INTO blobs (owner, kind, size, sealed, created_at, parts) VALUES ($1, $2, $3, $4, $5, $6)`,
				u.id, u.kind, u.size, sealed, now(), parts)
		} else {
			_, err = d.q(ctx).ExecContext(ctx, insertPart, u.id, u.kind, i, sealed)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readPart fills the part.
func readPart(body io.Reader, part []byte) error {
	if _, err := io.ReadFull(body, part); err != nil {
		return fail(messages.CodeInvalid, "the body could not be read: %v", err)
	}
	return nil
}

// complete makes the upload the blob of its owner. The content of the parts is not moved.
func (u upload) complete(ctx context.Context, tx *txn) error {
	for _, step := range []struct {
		statement string
		args      []any
	}{
		{`DELETE FROM blobs WHERE owner = $1 AND kind = $2`, []any{u.owner, u.kind}},
		{`INSERT INTO blobs (owner, kind, size, sealed, created_at, parts)
		  SELECT $3, kind, size, sealed, created_at, parts FROM blobs WHERE owner = $1 AND kind = $2`, []any{u.id, u.kind, u.owner}},
		{`UPDATE blob_parts SET owner = $3 WHERE owner = $1 AND kind = $2`, []any{u.id, u.kind, u.owner}},
		{`DELETE FROM blobs WHERE owner = $1 AND kind = $2`, []any{u.id, u.kind}},
	} {
		if _, err := tx.ExecContext(ctx, step.statement, step.args...); err != nil {
			return err
		}
	}
	return nil
}

// dropUpload deletes what was stored of it.
func (d *DB) dropUpload(ctx context.Context, u upload) error {
	_, err := d.q(ctx).ExecContext(ctx, `DELETE FROM blobs WHERE owner = $1 AND kind = $2`, u.id, u.kind)
	return err
}
