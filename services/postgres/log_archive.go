package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/klauspost/compress/zstd"
)

// archivePart is how much of a log one row of its archive holds, before it is compressed: nearly every log is one row, and a
// reader of a long one opens no more than it reads.
const archivePart = 1 << 20

// ArchiveLogs packs the logs of up to limit tasks that finished longer than age ago: the many chunks of each become a few
// compressed and sealed rows. Readers notice nothing. It returns how many it packed, and may run beside itself.
func (d *DB) ArchiveLogs(ctx context.Context, age time.Duration, limit int) (int, error) {
	var ids []string
	if err := d.q(ctx).SelectContext(ctx, &ids, `
		SELECT l.task_id FROM logs l JOIN tasks t ON t.id = l.task_id JOIN runs r ON r.id = t.run_id
		WHERE l.complete AND NOT l.packed AND r.status = ANY ($1) AND NOT r.holds
		  AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.task_id = t.id AND (a.closed_at IS NULL OR a.closed_at >= $2))
		LIMIT $3`, finalStatuses(), now().Add(-age), limit); err != nil {
		return 0, err
	}
	packed := 0
	for _, id := range ids {
		done := false
		if err := d.tx(ctx, func(tx *txn) (err error) {
			done, err = d.packLog(ctx, tx, id)
			return err
		}); err != nil {
			return packed, fmt.Errorf("archive the log of task %s: %w", id, err)
		}
		if done {
			packed++
		}
	}
	return packed, nil
}

// packLog packs one log, unless another server is at it.
func (d *DB) packLog(ctx context.Context, tx *txn, taskID string) (bool, error) {
	var mine bool
	err := tx.GetContext(ctx, &mine, `SELECT true FROM logs WHERE task_id = $1 AND complete AND NOT packed FOR UPDATE SKIP LOCKED`, taskID)
	if noRows(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	parts, err := d.packedParts(ctx, tx, taskID)
	if err != nil {
		return false, err
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM log_chunks WHERE task_id = $1`, taskID); err != nil {
		return false, err
	}
	for i, sealed := range parts {
		if _, err := tx.ExecContext(ctx, `INSERT INTO log_chunks (task_id, position, data, packed) VALUES ($1, $2, $3, true)`,
			taskID, int64(i)*archivePart, sealed); err != nil {
			return false, err
		}
	}
	_, err = tx.ExecContext(ctx, `UPDATE logs SET packed = true WHERE task_id = $1`, taskID)
	return true, err
}

// packedParts reads the chunks of a log as the rows of its archive: its only form that is in memory whole is the packed one.
func (d *DB) packedParts(ctx context.Context, tx *txn, taskID string) ([][]byte, error) {
	pack, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer func() { _ = pack.Close() }()
	rows, err := tx.QueryxContext(ctx, `SELECT data FROM log_chunks WHERE task_id = $1 ORDER BY position`, taskID)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var parts [][]byte
	var open []byte
	flush := func(part []byte) error {
		sealed, err := d.seal.Seal(pack.EncodeAll(part, nil), logAAD(taskID, int64(len(parts))*archivePart))
		parts = append(parts, sealed)
		return err
	}
	for rows.Next() {
		var data []byte
		if err := rows.Scan(&data); err != nil {
			return nil, err
		}
		for open = append(open, data...); len(open) >= archivePart; open = open[archivePart:] {
			if err := flush(open[:archivePart]); err != nil {
				return nil, err
			}
		}
	}
	if err := rows.Err(); err != nil || len(open) == 0 {
		return parts, err
	}
	return parts, flush(open)
}

// unpackLog is a row of an archive as it was printed.
func (d *DB) unpackLog(taskID string, position int64, sealed []byte) ([]byte, error) {
	packed, err := d.seal.Open(sealed, logAAD(taskID, position))
	if err != nil {
		return nil, fmt.Errorf("log of task %s: %w", taskID, err)
	}
	r, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(2*archivePart))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return r.DecodeAll(packed, nil)
}

func logAAD(taskID string, position int64) []byte {
	return fmt.Appendf(nil, "log/%s/%d", taskID, position)
}
