package postgres

import (
	"context"
	"errors"
	"time"

	"gantry.example/messages"
	"gantry.example/services/run"
)

// Retention says how long what is over is kept, counted from the last event of its run. Zero means for ever. States are never
// removed, nor anything that the current state, an unfinished run or one with an unknown outcome needs.
type Retention struct {
	Runs           time.Duration // with all that belongs to them; the last run of each workspace stays
	Logs           time.Duration // and plans
	Configurations time.Duration // their archives; the newest of each workspace stays
	Audit          time.Duration // what people did that is no change of a run; counted from then
}

// Removed counts what one Retain removed.
type Removed struct{ Runs, Logs, Configurations, Acts int }

// retainBatch is how many objects one transaction removes.
const retainBatch = 200

// Retain removes what is older than r allows, in small transactions. It may run beside itself and everything else.
func (d *DB) Retain(ctx context.Context, r Retention) (Removed, error) {
	var gone Removed
	for _, kind := range []struct {
		keep   time.Duration
		remove func(ctx context.Context, before time.Time) (int, error)
		count  *int
	}{
		{r.Configurations, d.archiveConfigurations, &gone.Configurations},
		{r.Logs, d.removeLogs, &gone.Logs},
		{r.Runs, d.removeRuns, &gone.Runs},
		{r.Audit, d.removeActs, &gone.Acts},
	} {
		for before := now().Add(-kind.keep); kind.keep > 0; {
			n, err := kind.remove(ctx, before)
			*kind.count += n
			if err != nil {
				return gone, err
			}
			if n < retainBatch {
				break
			}
		}
	}
	return gone, nil
}

// finalStatuses are those of runs that are over.
func finalStatuses() any {
	var out []string
	for _, s := range run.Statuses() {
		if s.Final() {
			out = append(out, string(s))
		}
	}
	return textArray(out)
}

// overRun is the condition of a run r that ended before $1 and that nothing waits for; $2 are the final statuses.
const overRun = `r.created_at < $1 AND r.status = ANY ($2) AND NOT r.holds
	AND (SELECT e.at FROM run_events e WHERE e.run_id = r.id ORDER BY e.seq DESC LIMIT 1) < $1
	AND NOT EXISTS (SELECT 1 FROM tasks t JOIN attempts a ON a.task_id = t.id WHERE t.run_id = r.id AND a.state <> 'closed')`

// removeRuns deletes runs with their tasks, attempts, logs, plans and events. Runs are as old as their positions say, so the
// search ends where the first young one is.
func (d *DB) removeRuns(ctx context.Context, before time.Time) (int, error) {
	var ids []string
	err := d.tx(ctx, func(tx *txn) error {
		if err := tx.SelectContext(ctx, &ids, `
			SELECT r.id FROM runs r WHERE r.position < COALESCE((SELECT min(young.position) FROM runs young WHERE young.created_at >= $1), 9223372036854775807)
			  AND `+overRun+`
			  AND r.position <> (SELECT max(n.position) FROM runs n WHERE n.workspace_id = r.workspace_id)
			  AND NOT EXISTS (SELECT 1 FROM workspaces w LEFT JOIN state_versions v ON v.id = w.state_id
			                  WHERE w.id = r.workspace_id AND (w.gate_run_id = r.id OR v.run_id = r.id))
			  AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.run_id = r.id)
			ORDER BY r.position LIMIT $3 FOR UPDATE OF r SKIP LOCKED`, before, finalStatuses(), retainBatch); err != nil {
			return err
		}
		for _, query := range []string{
			`DELETE FROM runs WHERE id = ANY ($1)`,
			`DELETE FROM run_events WHERE run_id = ANY ($1)`,
			`DELETE FROM blobs WHERE owner = ANY ($1)`,
		} {
			if _, err := tx.ExecContext(ctx, query, textArray(ids)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || len(ids) == retainBatch {
		return len(ids), err
	}
	// With the last of its runs goes the trace of a configuration whose archive is gone.
	_, err = d.q(ctx).ExecContext(ctx, `
		DELETE FROM configuration_versions c WHERE c.status = $2 AND c.created_at < $1
		  AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.workspace_id = c.workspace_id AND r.doc ->> 'configuration_version_id' = c.id)`,
		before, ConfigurationArchived)
	return len(ids), err
}

// logRemoved is what a reader finds in place of a log.
const logRemoved = "[Gantry: this log was removed because of its age]\n"

// removeLogs replaces logs by a note and deletes the plans of their runs, with the values that were hidden in them. It looks at those first that were printed first: an
// index has those that are still there in that order.
func (d *DB) removeLogs(ctx context.Context, before time.Time) (int, error) {
	var rows []struct {
		Task string `db:"task_id"`
		Run  string `db:"run_id"`
	}
	err := d.tx(ctx, func(tx *txn) error {
		if err := tx.SelectContext(ctx, &rows, `
			SELECT l.task_id, l.run_id FROM logs l JOIN tasks t ON t.id = l.task_id JOIN runs r ON r.id = t.run_id
			WHERE l.complete AND NOT l.removed AND COALESCE(l.printed_at, '-infinity') < $1 AND `+overRun+`
			ORDER BY COALESCE(l.printed_at, '-infinity') LIMIT $3 FOR UPDATE OF l SKIP LOCKED`, before, finalStatuses(), retainBatch); err != nil {
			return err
		}
		tasks, runs := make([]string, len(rows)), make([]string, len(rows))
		for i, r := range rows {
			tasks[i], runs[i] = r.Task, r.Run
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM log_chunks WHERE task_id = ANY ($1)`, textArray(tasks)); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO log_chunks (task_id, position, data) SELECT unnest($1::text[]), 0, $2`,
			textArray(tasks), []byte(logRemoved)); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE logs SET removed = true, packed = true, size = $2 WHERE task_id = ANY ($1)`,
			textArray(tasks), len(logRemoved)); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM blobs WHERE owner = ANY ($1) AND kind IN ($2, $3)`, textArray(runs), BlobPlan, BlobPlanJSON); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM attempt_variables WHERE run_id = ANY ($1)`, textArray(runs))
		return err
	})
	return len(rows), err
}

// unusedConfiguration is the condition of a configuration version c, uploaded before $1, that nothing can need: it is not the
// newest of its workspace, no run that may still execute has it, nor the run that wrote the current state. $2 are the final
// statuses.
const unusedConfiguration = `c.status = 'uploaded' AND c.uploaded_at < $1
	AND EXISTS (SELECT 1 FROM configuration_versions n WHERE n.workspace_id = c.workspace_id AND n.status = 'uploaded'
	            AND NOT n.speculative AND (n.created_at, n.id) > (c.created_at, c.id))
	AND NOT EXISTS (SELECT 1 FROM runs r JOIN workspaces w ON w.id = r.workspace_id LEFT JOIN state_versions v ON v.id = w.state_id
	                WHERE r.workspace_id = c.workspace_id AND r.doc ->> 'configuration_version_id' = c.id
	                  AND (r.status <> ALL ($2) OR r.holds OR r.id = v.run_id OR NOT (` + overRun + `)))`

// archiveConfigurations removes the archives of old configuration versions, and old versions that nothing was uploaded to.
func (d *DB) archiveConfigurations(ctx context.Context, before time.Time) (int, error) {
	var found []struct {
		ID        string `db:"id"`
		Workspace string `db:"workspace_id"`
	}
	if err := d.q(ctx).SelectContext(ctx, &found, `
		SELECT c.id, c.workspace_id FROM configuration_versions c WHERE `+unusedConfiguration+` LIMIT $3`,
		before, finalStatuses(), retainBatch); err != nil {
		return 0, err
	}
	for _, f := range found {
		if err := d.tx(ctx, func(tx *txn) error { return archiveConfiguration(ctx, tx, f.ID, f.Workspace, before) }); err != nil {
			return 0, err
		}
	}
	if len(found) == retainBatch {
		return len(found), nil
	}
	_, err := d.q(ctx).ExecContext(ctx, `DELETE FROM configuration_versions WHERE status = $2 AND created_at < $1`, before, ConfigurationPending)
	return len(found), err
}

// archiveConfiguration looks again under the lock that a new run takes: none can be created from a configuration that goes.
func archiveConfiguration(ctx context.Context, tx *txn, id, workspaceID string, before time.Time) error {
	if _, err := lockGate(ctx, tx, workspaceID); err != nil {
		if isNotFound(err) { // deleted meanwhile, with its configurations
			return nil
		}
		return err
	}
	var gone []string
	if err := tx.SelectContext(ctx, &gone, `
		UPDATE configuration_versions c SET status = 'archived' WHERE c.id = $3 AND `+unusedConfiguration+` RETURNING c.id`,
		before, finalStatuses(), id); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM blobs WHERE owner = ANY ($1) AND kind = $2`, textArray(gone), BlobConfiguration)
	return err
}

// removeActs looks at the oldest only: what was done later has, but for moments, a higher number.
func (d *DB) removeActs(ctx context.Context, before time.Time) (int, error) {
	res, err := d.q(ctx).ExecContext(ctx, `
		DELETE FROM audit WHERE id IN (SELECT id FROM (SELECT id, at FROM audit ORDER BY id LIMIT $2) AS oldest WHERE at < $1)`, before, retainBatch)
	if err != nil {
		return 0, err
	}
	n, err := res.RowsAffected()
	return int(n), err
}

func isNotFound(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == messages.CodeNotFound
}
