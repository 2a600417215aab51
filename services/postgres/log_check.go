package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"gantry.example/messages"
)

// LogCheck says whether a stored log is what its runner printed.
type LogCheck struct {
	Phase    messages.Phase `db:"phase" json:"phase"`
	Size     int64          `db:"size" json:"size"`               // bytes stored
	Complete bool           `db:"complete" json:"complete"`       // its end came, or is not waited for any more
	SHA256   *string        `db:"sha256" json:"sha256,omitempty"` // of the log of the last attempt, as its runner said
	// Intact tells whether what is stored of the last attempt has that hash. Missing while nobody knows: the log has not ended,
	// or its runner was gone before it could say.
	Intact *bool `db:"intact" json:"intact,omitempty"`
}

// LogChecks returns the checks of the run's logs, plan first.
func (d *DB) LogChecks(ctx context.Context, runID string) ([]LogCheck, error) {
	out := []LogCheck{}
	err := d.q(ctx).SelectContext(ctx, &out, `
		SELECT t.phase, l.size, l.complete, l.sha256, l.intact FROM logs l JOIN tasks t ON t.id = l.task_id
		WHERE t.run_id = $1 ORDER BY t.phase DESC`, runID)
	return out, err
}

// checkLog compares what is stored of an attempt's log, from base on, with the hash that its runner sent with its end.
func checkLog(ctx context.Context, tx *txn, taskID string, base int64, want string) error {
	if want == "" {
		return nil
	}
	rows, err := tx.QueryxContext(ctx, `SELECT data FROM log_chunks WHERE task_id = $1 AND position >= $2 ORDER BY position`, taskID, base)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	have := sha256.New()
	for rows.Next() {
		var data []byte
		if err := rows.Scan(&data); err != nil {
			return err
		}
		_, _ = have.Write(data)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE logs SET sha256 = $2, intact = $3 WHERE task_id = $1`,
		taskID, want, hex.EncodeToString(have.Sum(nil)) == want)
	return err
}
