package postgres

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// LogChunk is a piece of an attempt's log: bytes at an offset; with End, nothing follows them.
type LogChunk struct {
	AttemptID string
	Offset    int64
	Data      []byte
	End       bool
	SHA256    string // with End: of the whole log, as the runner says; empty where it does not
}

// ErrLogGap tells that a chunk came before one that precedes it: deliver it again later.
var ErrLogGap = errors.New("log chunk is ahead of the stored log")

// LogGap is the ErrLogGap of one log.
type LogGap struct {
	Have int64 // where the stored log ends, as the chunk's attempt counts
}

func (g *LogGap) Error() string { return fmt.Sprintf("%v, which has %d bytes", ErrLogGap, g.Have) }

// Is makes it an ErrLogGap.
func (g *LogGap) Is(target error) bool { return target == ErrLogGap }

// AppendLog stores a chunk. A chunk stored before, behind the end, or of an attempt that was followed by another changes
// nothing. Errors: ErrLogGap, as a *LogGap.
func (d *DB) AppendLog(ctx context.Context, c LogChunk) error {
	if stored, err := d.appendNext(ctx, c); err != nil || stored {
		return err
	}
	return d.tx(ctx, func(tx *txn) error {
		log, taskID, err := openLog(ctx, tx, c.AttemptID)
		if err != nil || log == nil || log.Complete {
			return err // readers were told that nothing follows
		}
		at := log.Base + c.Offset
		if at > log.Size {
			return &LogGap{Have: log.Size - log.Base}
		}
		if have := log.Size - at; have < int64(len(c.Data)) {
			if err := appendChunk(ctx, tx, taskID, log.Size, c.Data[have:]); err != nil {
				return err
			}
		}
		if c.End {
			if _, err := tx.ExecContext(ctx, `UPDATE logs SET complete = true WHERE task_id = $1`, taskID); err != nil {
				return err
			}
			if err := checkLog(ctx, tx, taskID, log.Base, c.SHA256); err != nil {
				return err
			}
		}
		tx.wake(ChannelLogs, taskID)
		return nil
	})
}

// appendNext stores a chunk that is just what comes next in the log, as nearly all are, by one statement, and reports whether it
// was one. The end of a log is one if it brings the whole log along, so that its hash can be told without reading what is stored.
func (d *DB) appendNext(ctx context.Context, c LogChunk) (stored bool, err error) {
	if c.End && c.Offset > 0 {
		return false, nil
	}
	var said, have sql.NullString
	if c.End && c.SHA256 != "" {
		sum := sha256.Sum256(c.Data)
		said, have = sql.NullString{String: c.SHA256, Valid: true}, sql.NullString{String: hex.EncodeToString(sum[:]), Valid: true}
	}
	err = d.q(ctx).GetContext(ctx, &stored, `
		WITH grown AS (
			UPDATE logs SET size = size + length($3::bytea), printed_at = CASE WHEN length($3::bytea) > 0 THEN $4::timestamptz ELSE printed_at END,
				complete = $5, sha256 = $6, intact = $6 = $7
			WHERE task_id = (SELECT task_id FROM attempts WHERE id = $1) AND attempt_id = $1 AND NOT complete
				AND base + $2 = size AND NOT ($5 AND size > base)
			RETURNING task_id, size - length($3::bytea) AS position),
		kept AS (INSERT INTO log_chunks (task_id, position, data) SELECT task_id, position, $3 FROM grown WHERE length($3::bytea) > 0)
		SELECT count(pg_notify($8, task_id)) > 0 FROM grown`,
		c.AttemptID, c.Offset, append([]byte{}, c.Data...), now(), c.End, said, have, ChannelLogs) // not nil, which is NULL
	if err != nil {
		return false, fmt.Errorf("append to the log of attempt %s: %w", c.AttemptID, err)
	}
	return stored, nil
}

// SkipLogGap gives up what is missing before the chunk, says so in the log, and appends the chunk. It is for a gap that was
// waited for long enough: what was lost on its way does not come any more.
func (d *DB) SkipLogGap(ctx context.Context, c LogChunk) error {
	err := d.tx(ctx, func(tx *txn) error {
		log, taskID, err := openLog(ctx, tx, c.AttemptID)
		if err != nil || log == nil || log.Complete {
			return err
		}
		lost := log.Base + c.Offset - log.Size
		if lost <= 0 {
			return nil
		}
		note := lostNote(lost)
		if err := appendChunk(ctx, tx, taskID, log.Size, note); err != nil {
			return err
		}
		// From here on the attempt's offsets stand where the note ends.
		_, err = tx.ExecContext(ctx, `UPDATE logs SET base = $2 WHERE task_id = $1`, taskID, log.Base-lost+int64(len(note)))
		return err
	})
	if err != nil {
		return err
	}
	return d.AppendLog(ctx, c)
}

type logRow struct {
	Attempt  string `db:"attempt_id"`
	Base     int64  `db:"base"`
	Size     int64  `db:"size"`
	Complete bool   `db:"complete"`
}

// openLog returns the log the attempt may append to, or nil when a newer attempt has it or nobody knows the attempt.
func openLog(ctx context.Context, tx *txn, attemptID string) (*logRow, string, error) {
	var a struct {
		Task    string    `db:"task_id"`
		Run     string    `db:"run_id"`
		Claimed time.Time `db:"claimed_at"`
	}
	err := tx.GetContext(ctx, &a, `SELECT task_id, run_id, claimed_at FROM attempts WHERE id = $1`, attemptID)
	if noRows(err) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	if err := beginLog(ctx, tx, a.Task, a.Run, attemptID); err != nil {
		return nil, "", err
	}
	var log logRow
	if err := tx.GetContext(ctx, &log, `SELECT attempt_id, base, size, complete FROM logs WHERE task_id = $1 FOR UPDATE`, a.Task); err != nil {
		return nil, "", err
	}
	if log.Attempt == attemptID {
		return &log, a.Task, nil
	}
	var newer bool
	if err := tx.GetContext(ctx, &newer, `SELECT claimed_at < $2 FROM attempts WHERE id = $1`, log.Attempt, a.Claimed); err != nil || !newer {
		return nil, "", err
	}
	log = logRow{Attempt: attemptID, Base: log.Size, Size: log.Size}
	_, err = tx.ExecContext(ctx, `UPDATE logs SET attempt_id = $2, base = $3, complete = false, sha256 = NULL, intact = NULL WHERE task_id = $1`, a.Task, attemptID, log.Base)
	return &log, a.Task, err
}

// beginLog makes the task's log, empty, unless it has one.
func beginLog(ctx context.Context, tx *txn, taskID, runID, attemptID string) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO logs (task_id, run_id, attempt_id) VALUES ($1, $2, $3) ON CONFLICT (task_id) DO NOTHING`,
		taskID, runID, attemptID)
	return err
}

func appendChunk(ctx context.Context, tx *txn, taskID string, at int64, data []byte) error {
	if _, err := tx.ExecContext(ctx, `INSERT INTO log_chunks (task_id, position, data) VALUES ($1, $2, $3)`, taskID, at, data); err != nil {
		return fmt.Errorf("append to the log of task %s: %w", taskID, err)
	}
	_, err := tx.ExecContext(ctx, `UPDATE logs SET size = $2, printed_at = $3 WHERE task_id = $1`, taskID, at+int64(len(data)), now())
	return err
}

// LogPart is a piece of a task's log.
type LogPart struct {
	Data []byte
	Size int64 // of the whole log so far
	// Ended tells that nothing will follow the Size bytes: the task is over and its log is complete, or
	// no attempt of it started: the runner of one that was refused may have begun the log, but not end it.
	Ended bool
}

// ReadLog returns up to limit bytes of the task's log from offset.
func (d *DB) ReadLog(ctx context.Context, taskID string, offset int64, limit int) (LogPart, error) {
	var p LogPart
	err := d.read(ctx, func(tx *txn) error {
		var row struct {
			Size     int64 `db:"size"`
			Complete bool  `db:"complete"`
			Over     bool  `db:"over"`
		}
		err := tx.GetContext(ctx, &row, `
			SELECT COALESCE(l.size, 0) AS size, t.state = 'finished' AS over,
			       COALESCE(l.complete, false) OR NOT EXISTS (SELECT 1 FROM attempts a WHERE a.task_id = t.id AND a.started_at IS NOT NULL) AS complete
			FROM tasks t LEFT JOIN logs l ON l.task_id = t.id WHERE t.id = $1`, taskID)
		if noRows(err) {
			return notFound("log of task", taskID)
		}
		if err != nil {
			return err
		}
		p.Size, p.Ended = row.Size, row.Over && row.Complete
		rows, err := tx.QueryxContext(ctx, `
			SELECT position, data, packed FROM log_chunks WHERE task_id = $1 AND position < $3
			AND position >= COALESCE((SELECT max(position) FROM log_chunks WHERE task_id = $1 AND position <= $2), 0)
			ORDER BY position`, taskID, offset, offset+int64(limit))
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var at int64
			var data []byte
			var packed bool
			if err := rows.Scan(&at, &data, &packed); err != nil {
				return err
			}
			if packed {
				if data, err = d.unpackLog(taskID, at, data); err != nil {
					return err
				}
			}
			from, to := max(offset-at, 0), min(offset+int64(limit)-at, int64(len(data)))
			if from < to {
				p.Data = append(p.Data, data[from:to]...)
			}
		}
		return rows.Err()
	})
	return p, err
}

// missingLog is how long bytes of a log may still come that its runner is known to have printed: they are in the stream, which
// may not have been read for long, or on the disk of a worker that is not there.
const missingLog = time.Hour

// SealLogs ends the logs of tasks that finished longer than age ago and whose runner never sent the end: it is gone. Where a
// result says that more was printed, that is waited for much longer, and in the end the log says what it lacks. A log that
// somebody writes at that moment is left to the next call.
func (d *DB) SealLogs(ctx context.Context, age time.Duration) error {
	return d.tx(ctx, func(tx *txn) error {
		var logs []struct {
			Task    string `db:"task_id"`
			Size    int64  `db:"size"`
			Missing int64  `db:"missing"`
		}
		// Every attempt that started has a log (see beginLog), so the few that are not complete are all there is to look at; LIMIT 1 has
		// what belongs to them looked up, where Postgres would rather read all there is once they are a thousand.
		if err := tx.SelectContext(ctx, &logs, `
			SELECT task_id, size, missing FROM (
				SELECT l.task_id, l.size, COALESCE((r.doc->>'log_size')::bigint, 0) - (l.size - l.base) AS missing,
				       (SELECT max(COALESCE(a.closed_at, 'infinity')) FROM attempts a WHERE a.task_id = t.id) AS over
				FROM logs l JOIN LATERAL (SELECT id, state FROM tasks WHERE id = l.task_id LIMIT 1) t ON true
				     LEFT JOIN LATERAL (SELECT doc FROM results WHERE attempt_id = l.attempt_id LIMIT 1) r ON true
				WHERE NOT l.complete AND t.state = 'finished'
				FOR UPDATE OF l SKIP LOCKED) open
			WHERE COALESCE(over, '-infinity') < CASE WHEN missing > 0 THEN $2::timestamptz ELSE $1::timestamptz END`, now().Add(-age), now().Add(-age-missingLog)); err != nil {
			return err
		}
		for _, l := range logs {
			if l.Missing > 0 {
				if err := appendChunk(ctx, tx, l.Task, l.Size, lostNote(l.Missing)); err != nil {
					return err
				}
			}
			if _, err := tx.ExecContext(ctx, `UPDATE logs SET complete = true WHERE task_id = $1`, l.Task); err != nil {
				return err
			}
			tx.wake(ChannelLogs, l.Task)
		}
		return nil
	})
}

func lostNote(bytes int64) []byte {
	return fmt.Appendf(nil, "\n[Gantry: %d bytes of the log were lost]\n", bytes)
}
