package postgres

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"gantry.example/messages"
	"gantry.example/services/run"
)

// EndedRun is a run that came to an end. One whose outcome was unknown and became known ends twice.
type EndedRun struct {
	Run     run.Run
	Results map[string]ResultTimes // by attempt id
}

// ResultTimes say when the result of an attempt came and, in milliseconds, where its runner's time went.
type ResultTimes struct {
	ReceivedAt time.Time
	Phases     map[messages.Stage]int64
}

const (
	observerLock   = 0x6f627376 // "obsv"
	observerCursor = "observer_cursor"
	// cursorStep is how many transactions may pass before the cursor is stored although no run ended.
	cursorStep = 1000
)

// EndedRuns returns at most limit runs that have ended since they were last asked for, by whichever server: each is given
// out once, so that servers of one database together count each run once. What a server was given when it was killed is not
// given again. more tells that there may be others at once. The first call ever starts from now.
func (d *DB) EndedRuns(ctx context.Context, limit int) (ended []EndedRun, more bool, err error) {
	err = d.weighed(ctx, func(tx *txn) error {
		// A cursor that is lost with a power failure costs metrics only.
		if _, err := tx.ExecContext(ctx, `SET LOCAL synchronous_commit = off`); err != nil {
			return err
		}
		c, ok, err := eventStep(ctx, tx, observerLock, observerCursor)
		if err != nil || !ok {
			return err
		}
		var last int64
		if ended, last, err = endedRuns(ctx, tx, c, limit); err != nil {
			return err
		}
		more = len(ended) == limit
		switch {
		case more:
			c.ID = last
		case len(ended) == 0 && snapshotMax(c.To)-snapshotMax(c.From) < cursorStep:
			return nil // an idle server writes nothing
		default:
			c = Cursor{From: c.To, To: c.To}
		}
		return saveCursor(ctx, tx, observerCursor, c)
	})
	return ended, more, err
}

// eventStep is what the holder of a lock is to read next of all events. ok is false if another server is at it, or if there was
// nothing to go on from.
func eventStep(ctx context.Context, tx *txn, lock int, cursor string) (c Cursor, ok bool, err error) {
	if err := tx.GetContext(ctx, &ok, `SELECT pg_try_advisory_xact_lock($1)`, lock); err != nil || !ok {
		return c, false, err
	}
	var stored, current string
	if err := tx.GetContext(ctx, &current, `SELECT pg_current_snapshot()::text`); err != nil {
		return c, false, err
	}
	err = tx.GetContext(ctx, &stored, `SELECT value FROM meta WHERE key = $1`, cursor)
	if err != nil && !noRows(err) {
		return c, false, err
	}
	c, perr := ParseCursor(stored)
	// In a database restored from a backup transactions are numbered anew, so an old cursor would be ahead of them all.
	if noRows(err) || perr != nil || snapshotMin(c.From) > snapshotMax(current) {
		return c, false, saveCursor(ctx, tx, cursor, Cursor{From: current, To: current})
	}
	if c.From == c.To { // the step before was read to its end
		c = Cursor{From: c.To, To: current}
	}
	return c, true, nil
}

func saveCursor(ctx context.Context, tx *txn, cursor string, c Cursor) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = $2`,
		cursor, c.String())
	return err
}

// snapshotMin is the first transaction that a pg_snapshot may not have seen.
func snapshotMin(s string) uint64 { return snapshotPart(s, 0) }

// snapshotMax is the first transaction that began after it.
func snapshotMax(s string) uint64 { return snapshotPart(s, 1) }

func snapshotPart(s string, i int) uint64 {
	parts := strings.SplitN(s, ":", 3)
	if i >= len(parts) {
		return 0
	}
	n, _ := strconv.ParseUint(parts[i], 10, 64)
	return n
}

// endedRuns reads the step's events that brought a run to the end it has now.
func endedRuns(ctx context.Context, tx *txn, step Cursor, limit int) (out []EndedRun, last int64, err error) {
	var rows []struct {
		ID  int64  `db:"id"`
		Doc []byte `db:"doc"`
	}
	if err := tx.SelectContext(ctx, &rows, `
		SELECT e.id, r.doc FROM run_events e JOIN runs r ON r.id = e.run_id
		WHERE e.xid >= pg_snapshot_xmin($1::pg_snapshot) AND NOT pg_visible_in_snapshot(e.xid, $1::pg_snapshot)
		  AND pg_visible_in_snapshot(e.xid, $2::pg_snapshot) AND e.id > $3
		  AND (e.type, r.status) IN (('planned', 'planned_and_finished'), ('applied', 'applied'), ('errored', 'errored'),
		      ('outcome_unknown', 'errored'), ('canceled', 'canceled'), ('canceled', 'force_canceled'), ('discarded', 'discarded'))
		ORDER BY e.id LIMIT $4`, step.From, step.To, step.ID, limit); err != nil {
		return nil, 0, err
	}
	var attempts []string
	for _, row := range rows {
		r, err := decodeRun(row.Doc)
		if err != nil {
			return nil, 0, err
		}
		for _, t := range r.Tasks() {
			for _, a := range t.Attempts {
				attempts = append(attempts, a.ID)
			}
		}
		out, last = append(out, EndedRun{Run: r, Results: map[string]ResultTimes{}}), row.ID
	}
	return out, last, resultTimes(ctx, tx, out, attempts)
}

func resultTimes(ctx context.Context, tx *txn, ended []EndedRun, attempts []string) error {
	if len(attempts) == 0 {
		return nil
	}
	var rows []struct {
		Attempt  string    `db:"attempt_id"`
		Run      string    `db:"run_id"`
		Received time.Time `db:"received_at"`
		Phases   []byte    `db:"phases"`
	}
	if err := tx.SelectContext(ctx, &rows, `
		SELECT attempt_id, run_id, received_at, COALESCE(doc -> 'phases', '{}') AS phases FROM results WHERE attempt_id = ANY ($1)`,
		textArray(attempts)); err != nil {
		return err
	}
	of := map[string]map[string]ResultTimes{}
	for _, e := range ended {
		of[e.Run.ID] = e.Results
	}
	for _, row := range rows {
		t := ResultTimes{ReceivedAt: row.Received.UTC()}
		if err := json.Unmarshal(row.Phases, &t.Phases); err != nil {
			return err
		}
		of[row.Run][row.Attempt] = t
	}
	return nil
}

// Backlog is what waits, as it is at this moment.
type Backlog struct {
	Queues   []QueueDepth
	Pools    []PoolWorkers
	Attempts []AttemptCount
	// Runs that wait for something other than a worker.
	ForWorkspace, ForApproval, ForRecovery int
	Outbox                                 int           // rows not sent yet
	OutboxOldest                           time.Duration // age of the oldest of them
}

// QueueDepth is the queue of a pool.
type QueueDepth struct {
	Pool   string        `db:"pool"`
	Mode   messages.Mode `db:"mode"`
	Tasks  int           `db:"tasks"`
	Oldest float64       `db:"oldest"` // seconds that the oldest task has waited; 0 when there is none
}

// AttemptCount is a number of open attempts.
type AttemptCount struct {
	Pool  string           `db:"pool"`
	Mode  messages.Mode    `db:"mode"`
	Phase messages.Phase   `db:"phase"`
	State run.AttemptState `db:"state"`
	Count int              `db:"count"`
}

// PoolWorkers is what the workers of a pool can take, by their own word of a moment ago.
type PoolWorkers struct {
	Pool     string        `db:"pool"`
	Mode     messages.Mode `db:"mode"`
	Taking   int           `db:"taking"`   // workers that take tasks
	Draining int           `db:"draining"` // that end, or were asked to
	Refusing int           `db:"refusing"` // that take nothing for another reason, such as a full disk
	Slots    int           `db:"slots"`    // of those that take tasks
	Free     int           `db:"free"`     // of these
	Wanted   int           `db:"wanted"`   // workers that what is queued and what runs takes; what draining ones end does not count
}

// poolWorkers counts a worker that says several of these things as the first of draining, refusing, taking. How many tasks a
// worker takes is known of those there are, else of the last there was; it is 1 where there was none yet.
const poolWorkers = `
	WITH present AS (
	  SELECT pool_id, slots, busy, CASE WHEN state = 'draining' OR drain THEN 'draining' WHEN refusing <> '' THEN 'refusing' ELSE 'taking' END AS does
	  FROM workers WHERE seen_at > $1 AND state <> 'exited'),
	counted AS (
	  SELECT p.id AS pool, p.mode, count(w.slots) FILTER (WHERE does = 'taking') AS taking, count(w.slots) FILTER (WHERE does = 'draining') AS draining,
	    count(w.slots) FILTER (WHERE does = 'refusing') AS refusing, COALESCE(sum(slots) FILTER (WHERE does = 'taking'), 0) AS slots,
	    COALESCE(sum(GREATEST(slots - busy, 0)) FILTER (WHERE does = 'taking'), 0) AS free,
	    COALESCE(sum(busy) FILTER (WHERE does = 'draining'), 0) AS ending,
	    COALESCE(avg(slots) FILTER (WHERE does = 'taking'), (SELECT slots FROM workers l WHERE l.pool_id = p.id ORDER BY seen_at DESC LIMIT 1), 1) AS each,
	    (SELECT count(*) FROM tasks t WHERE t.state = 'queued' AND t.pool_id = p.id) AS queued,
	    (SELECT count(*) FROM attempts a JOIN tasks t ON t.id = a.task_id WHERE a.state <> 'closed' AND t.pool_id = p.id) AS open
	  FROM pools p LEFT JOIN present w ON w.pool_id = p.id GROUP BY p.id, p.mode)
	SELECT pool, mode, taking, draining, refusing, slots, free, ceil((queued + GREATEST(open - ending, 0)) / GREATEST(each, 1))::int AS wanted
	FROM counted ORDER BY pool`

// Backlog counts what waits. Its cost depends on that, not on how many workspaces there are and runs there were.
func (d *DB) Backlog(ctx context.Context) (Backlog, error) {
	var b Backlog
	err := d.read(ctx, func(tx *txn) error {
		if err := tx.SelectContext(ctx, &b.Queues, `
			SELECT p.id AS pool, p.mode, count(t.id) AS tasks,
			       COALESCE(GREATEST(EXTRACT(epoch FROM now() - min(t.queued_at)), 0), 0)::float8 AS oldest
			FROM pools p LEFT JOIN tasks t ON t.pool_id = p.id AND t.state = 'queued' GROUP BY p.id, p.mode ORDER BY p.id`); err != nil {
			return err
		}
		if err := tx.SelectContext(ctx, &b.Attempts, `
			SELECT p.id AS pool, p.mode, t.phase, a.state, count(*) AS count
			FROM attempts a JOIN tasks t ON t.id = a.task_id JOIN pools p ON p.id = t.pool_id
			WHERE a.state <> 'closed' GROUP BY p.id, p.mode, t.phase, a.state`); err != nil {
			return err
		}
		if err := tx.SelectContext(ctx, &b.Pools, poolWorkers, now().Add(-WorkerSilent)); err != nil {
			return err
		}
		var row struct {
			Workspace int     `db:"workspace"`
			Approval  int     `db:"approval"`
			Recovery  int     `db:"recovery"`
			Outbox    int     `db:"outbox"`
			Oldest    float64 `db:"oldest"`
		}
		if err := tx.GetContext(ctx, &row, `
			SELECT (SELECT count(*) FROM runs WHERE status IN ('pending', 'confirmed')) AS workspace,
			       (SELECT count(*) FROM runs r JOIN workspaces w ON w.id = r.workspace_id AND w.gate_run_id = r.id WHERE r.status = 'planned') AS approval,
			       (SELECT count(*) FROM runs r JOIN workspaces w ON w.id = r.workspace_id AND w.gate_run_id = r.id
			        WHERE r.holds AND r.status = 'errored') AS recovery,
			       (SELECT count(*) FROM outbox) AS outbox,
			       COALESCE((SELECT GREATEST(EXTRACT(epoch FROM now() - min(created_at)), 0) FROM outbox), 0)::float8 AS oldest`); err != nil {
			return err
		}
		b.ForWorkspace, b.ForApproval, b.ForRecovery = row.Workspace, row.Approval, row.Recovery
		b.Outbox, b.OutboxOldest = row.Outbox, time.Duration(row.Oldest*float64(time.Second))
		return nil
	})
	return b, err
}
