package postgres

import (
	"context"

	"gantry.example/messages"
	"gantry.example/services/run"
)

// PlacedRun is a run with the names of where it is.
type PlacedRun struct {
	run.Run
	Organization, Workspace string
}

// Overview is what goes on in the organizations that somebody may see.
type Overview struct {
	Counts map[run.Status]int // of the runs that are not over
	Active []PlacedRun        // those that execute, oldest first
	Asking []PlacedRun        // those that wait for approval, oldest first
	Queued []PlacedRun        // those that wait for something else, oldest first
	Failed []PlacedRun        // the newest that errored
	Lost   []PlacedRun        // those whose outcome is unknown
}

// visible selects organizations o for a holder in $1 to $3.
const visible = `($1 OR o.id = $2 OR o.id IN (SELECT organization_id FROM memberships WHERE user_id = $3))`

// Overview reads what goes on, at most limit runs of each kind. Its cost depends on that and on the number of runs that are
// not over, not on how many there were.
func (d *DB) Overview(ctx context.Context, t Token, limit int) (Overview, error) {
	out := Overview{Counts: map[run.Status]int{}}
	who := []any{t.Site(), t.OrganizationID, t.UserID}
	err := d.read(ctx, func(tx *txn) error {
		var counts []struct {
			Status run.Status `db:"status"`
			Count  int        `db:"count"`
		}
		if err := tx.SelectContext(ctx, &counts, `
			SELECT r.status, count(*) AS count FROM runs r JOIN organizations o ON o.id = r.organization_id
			WHERE `+visible+` AND r.status IN `+openStatuses+` GROUP BY r.status`, who...); err != nil {
			return err
		}
		for _, c := range counts {
			out.Counts[c.Status] = c.Count
		}
		for _, list := range []struct {
			into  *[]PlacedRun
			where string
			order string
		}{
			{&out.Active, `r.status IN ('planning', 'applying')`, `r.position`},
			{&out.Asking, `r.status IN ('planned', 'planned_and_saved')`, `r.position`},
			{&out.Queued, `r.status IN ('pending', 'plan_queued', 'confirmed', 'apply_queued')`, `r.position`},
			{&out.Failed, `r.status = 'errored'`, `r.position DESC`},
			{&out.Lost, `r.status = 'errored' AND r.holds AND r.id = w.gate_run_id`, `r.position DESC`},
		} {
			if err := placedRuns(ctx, tx, list.into, `WHERE `+visible+` AND `+list.where+` ORDER BY `+list.order+` LIMIT $4`, append(who, limit)...); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

func placedRuns(ctx context.Context, tx *txn, into *[]PlacedRun, where string, args ...any) error {
	var rows []struct {
		Doc          []byte `db:"doc"`
		Organization string `db:"organization"`
		Workspace    string `db:"workspace"`
	}
	if err := tx.SelectContext(ctx, &rows, `
		SELECT r.doc, o.name AS organization, w.name AS workspace
		FROM runs r JOIN organizations o ON o.id = r.organization_id JOIN workspaces w ON w.id = r.workspace_id `+where, args...); err != nil {
		return err
	}
	for _, row := range rows {
		r, err := decodeRun(row.Doc)
		if err != nil {
			return err
		}
		*into = append(*into, PlacedRun{r, row.Organization, row.Workspace})
	}
	return nil
}

// PoolLoad is how much a pool has to do, and who is there to do it.
type PoolLoad struct {
	ID           string        `db:"id"`
	Name         string        `db:"name"`
	Mode         messages.Mode `db:"mode"`
	Organization string        `db:"organization"` // "" for the pool of the server itself
	Queued       int           `db:"queued"`
	Oldest       float64       `db:"oldest"` // seconds that the oldest task has waited
	Running      int           `db:"running"`
	Workers      int           `db:"workers"` // that were heard of a moment ago
	Slots        int           `db:"slots"`   // of those
}

// PoolLoads lists the pools that the holder of a token may see, and the server's own.
func (d *DB) PoolLoads(ctx context.Context, t Token) ([]PoolLoad, error) {
	var out []PoolLoad
	err := d.q(ctx).SelectContext(ctx, &out, `
		WITH queue AS (SELECT pool_id, count(*) AS n, min(queued_at) AS oldest FROM tasks WHERE state = 'queued' GROUP BY pool_id),
		     open AS (SELECT t.pool_id, count(*) AS n FROM attempts a JOIN tasks t ON t.id = a.task_id WHERE a.state <> 'closed' GROUP BY t.pool_id),
		     there AS (SELECT pool_id, count(*) AS n, sum(slots) AS slots FROM workers WHERE seen_at > $4 AND state <> 'exited' GROUP BY pool_id)
		SELECT p.id, p.name, p.mode, COALESCE(o.name, '') AS organization, COALESCE(q.n, 0) AS queued,
		       COALESCE(GREATEST(EXTRACT(epoch FROM now() - q.oldest), 0), 0)::float8 AS oldest,
		       COALESCE(a.n, 0) AS running, COALESCE(w.n, 0) AS workers, COALESCE(w.slots, 0) AS slots
		FROM pools p LEFT JOIN organizations o ON o.id = p.organization_id LEFT JOIN queue q ON q.pool_id = p.id
		LEFT JOIN open a ON a.pool_id = p.id LEFT JOIN there w ON w.pool_id = p.id
		WHERE p.organization_id IS NULL OR `+visible+`
		ORDER BY p.organization_id IS NOT NULL, lower(o.name), lower(p.name)`, t.Site(), t.OrganizationID, t.UserID, now().Add(-WorkerSilent))
	return out, err
}
