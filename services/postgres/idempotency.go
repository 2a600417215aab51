package postgres

import (
	"context"
	"errors"

	"github.com/jmoiron/sqlx"

	"gantry.example/messages"
)

// Answer is a stored answer to a request.
type Answer struct {
	Status int    `db:"status"`
	Body   []byte `db:"response"`
}

// Idempotent runs create at most once per caller and key, in one transaction with the memory of its answer: a crash leaves
// both or neither. The same request again gets the first answer; another request under the same key is refused with
// idempotency.mismatch. Errors and answers of 400 and above undo what create did and are not remembered. Concurrent
// requests of one key wait for each other. create must use the context it is given.
func (d *DB) Idempotent(ctx context.Context, tokenID, key string, request []byte, create func(context.Context) (Answer, error)) (Answer, error) {
	hash := requestHash(request)
	var a Answer
	err := d.tx(ctx, func(tx *txn) error {
		if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtextextended($1, 0))`, tokenID+"/"+key); err != nil {
			return err
		}
		var found bool
		var err error
		if a, found, err = storedAnswer(ctx, tx, tokenID, key, hash); err != nil || found {
			return err
		}
		if a, err = create(context.WithValue(ctx, txKey{}, tx)); err != nil {
			return err
		}
		if a.Status >= 400 {
			return errRefused
		}
		_, err = tx.ExecContext(ctx, `
			INSERT INTO idempotency (key, token_id, request, status, response, created_at) VALUES ($1, $2, $3, $4, $5, $6)`,
			key, tokenID, hash, a.Status, append([]byte{}, a.Body...), now()) // an empty body is not NULL
		return err
	})
	if errors.Is(err, errRefused) {
		err = nil
	}
	return a, err
}

// errRefused rolls the transaction of a refused request back; the answer says why.
var errRefused = errors.New("refused")

func storedAnswer(ctx context.Context, q sqlx.QueryerContext, tokenID, key string, hash []byte) (Answer, bool, error) {
	var row struct {
		Answer
		Request []byte `db:"request"`
	}
	err := sqlx.GetContext(ctx, q, &row, `SELECT request, status, response FROM idempotency WHERE token_id = $1 AND key = $2`, tokenID, key)
	if noRows(err) {
		return Answer{}, false, nil
	}
	if err == nil && string(row.Request) != string(hash) {
		err = fail(messages.CodeIdempotencyMismatch, "Idempotency-Key %q was used before with another request: use a new key", key)
	}
	return row.Answer, err == nil, err
}
