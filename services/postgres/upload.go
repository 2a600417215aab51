package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"time"

	"gantry.example/messages"
)

// Upload is a body that is on its way here.
type Upload struct {
	Body  io.Reader
	Size  int64                 // of the body, in bytes
	Check func(io.Reader) error // reads the body along; its error refuses the upload. Nil: nothing is checked
}

// InMemory is the upload of what is in memory already.
func InMemory(content []byte) Upload {
	return Upload{Body: bytes.NewReader(content), Size: int64(len(content))}
}

// uploadPrefix begins the owner of a blob that is still being received. The index blobs_uploads has these.
const uploadPrefix = "up-"

// received is what was uploaded as the blob of an owner, and is not yet. What is not larger than a part is in memory. The parts of
// a larger one were stored as they came, sealed for their place in the blob of the owner, under an id of its own as their owner.
type received struct {
	owner   string
	kind    BlobKind
	size    int64
	content []byte // of what is in memory
	id      string // of what is not
}

// receive takes the upload. looks read it along, like its check. Whoever calls it discards it, also after an error: what a crash
// leaves is swept.
func (d *DB) receive(ctx context.Context, owner string, kind BlobKind, in Upload, looks ...func(io.Reader) error) (received, error) {
	u := received{owner: owner, kind: kind, size: in.Size}
	if in.Check != nil {
		looks = append(looks, in.Check)
	}
	if in.Size > blobPart {
		u.id = messages.NewID(uploadPrefix)
		body, end := readAlong(in.Body, looks)
		return u, end(d.receiveParts(ctx, u, body))
	}
	u.content = make([]byte, in.Size)
	err := readPart(in.Body, u.content)
	for _, look := range looks {
		if err == nil {
			err = look(bytes.NewReader(u.content))
		}
	}
	return u, err
}

func (d *DB) receiveParts(ctx context.Context, u received, body io.Reader) error {
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

// readPart fills the part. What a look finds comes as it is, and that it panicked.
func readPart(body io.Reader, part []byte) error {
	_, err := io.ReadFull(body, part)
	var found *Error
	var panicked *panicError
	if err == nil || errors.As(err, &found) || errors.As(err, &panicked) {
		return err
	}
	return fail(messages.CodeInvalid, "the body could not be read: %v", err)
}

// readAlong has looks read what is read of the body. end must be called when no more will be, with why: it returns that, or what a
// look found, who may find it before. A look that wants no more of it is no reason to end.
func readAlong(body io.Reader, looks []func(io.Reader) error) (along io.Reader, end func(error) error) {
	verdicts := make(chan error, len(looks))
	var pipes []*io.PipeWriter
	for _, look := range looks {
		from, to := io.Pipe()
		body, pipes = io.TeeReader(body, to), append(pipes, to)
		go func() {
			err := survive(look, from)
			if err == nil {
				_, err = io.Copy(io.Discard, from)
			}
			_ = from.CloseWithError(err) // never fails
			verdicts <- err
		}()
	}
	return body, func(err error) error {
		for _, p := range pipes {
			_ = p.CloseWithError(err) // never fails; nil is the end of the body
		}
		for range pipes {
			err = firstError(err, <-verdicts)
		}
		return err
	}
}

// panicError is a panic of a look.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.value, e.stack) }

// survive has look read from the body. What it reads comes from outside, and beside a handler nobody else recovers: its panic would
// end the whole server.
func survive(look func(io.Reader) error, from io.Reader) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicError{p, debug.Stack()}
		}
	}()
	return look(from)
}

// store makes the upload the blob of its owner. The content of parts is not moved.
func (u received) store(ctx context.Context, d *DB, tx *txn) error {
	if u.id == "" {
		return d.putBlob(ctx, tx, u.owner, u.kind, u.content)
	}
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

// discardWithin bounds how long who uploaded waits for what is of no concern to it.
const discardWithin = 10 * time.Second

// discard deletes what was stored of the upload, unless it is its owner's blob by now. That it cannot changes nothing of what became of
// the upload: the sweep deletes it later.
func (u received) discard(ctx context.Context, d *DB) {
	if u.id == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), discardWithin)
	defer cancel()
	_, _ = d.q(ctx).ExecContext(ctx, `DELETE FROM blobs WHERE owner = $1 AND kind = $2`, u.id, u.kind)
}
