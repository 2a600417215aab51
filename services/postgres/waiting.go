package postgres

import (
	"context"
	"time"

	"gantry.example/services/run"
)

// WorkerSilent is how long a worker that said nothing is taken for connected. It says something every few seconds.
const WorkerSilent = 35 * time.Second

// Waiting says what the run waits for: the one answer that API, CLI and pages show.
func (d *DB) Waiting(ctx context.Context, r run.Run) (run.Waiting, error) {
	var s run.Surroundings
	var err error
	switch r.Status {
	case run.Pending, run.Confirmed:
		s, err = d.aroundPending(ctx, r)
	case run.PlanQueued, run.ApplyQueued:
		s, err = d.aroundQueued(ctx, r)
	}
	return r.Waits(s), err
}

func (d *DB) aroundPending(ctx context.Context, r run.Run) (run.Surroundings, error) {
	w, err := d.Workspace(ctx, r.WorkspaceID)
	if err != nil {
		return run.Surroundings{}, err
	}
	s := run.Surroundings{Workspace: w.OrganizationName + "/" + w.Name}
	if w.Locked {
		s.LockedBy, s.LockReason = w.LockedBy, w.LockReason
		if s.LockedBy == "" {
			s.LockedBy = "somebody"
		}
	}
	if w.GateRunID != nil && *w.GateRunID != r.ID {
		first, err := d.Run(ctx, *w.GateRunID)
		if err != nil {
			return s, err
		}
		s.Gate = &first
	}
	s.Ahead, err = d.pendingBefore(ctx, r)
	return s, err
}

// pendingBefore counts the older pending runs of the run's workspace.
func (d *DB) pendingBefore(ctx context.Context, r run.Run) (int, error) {
	var n int
	err := d.q(ctx).GetContext(ctx, &n, `
		SELECT count(*) FROM runs WHERE workspace_id = $1 AND status IN ('pending', 'confirmed') AND exclusive AND position < $2`, r.WorkspaceID, r.Position)
	return n, err
}

// Ahead counts the runs that a pending run waits for: the one that holds its workspace's gate, and older pending ones.
func (d *DB) Ahead(ctx context.Context, r run.Run) (int, error) {
	if !r.AtGate() {
		return 0, nil
	}
	n, err := d.pendingBefore(ctx, r)
	if err != nil {
		return 0, err
	}
	var held bool
	if err := d.q(ctx).GetContext(ctx, &held, `SELECT COALESCE(gate_run_id <> $2, false) FROM workspaces WHERE id = $1`, r.WorkspaceID, r.ID); err != nil {
		return 0, err
	}
	if held {
		n++
	}
	return n, nil
}

func (d *DB) aroundQueued(ctx context.Context, r run.Run) (run.Surroundings, error) {
	var s run.Surroundings
	tasks := r.Tasks()
	if a := tasks[len(tasks)-1].Last(); a != nil && a.Open() {
		var err error
		s.Placing, err = d.placing(ctx, a.ID)
		return s, err
	}
	if err := d.q(ctx).GetContext(ctx, &s.Ahead, `
		SELECT count(*) FROM tasks WHERE state = 'queued' AND pool_id = $1 AND queued_at < $2`, r.Pool, tasks[len(tasks)-1].QueuedAt); err != nil {
		return s, err
	}
	var rows []struct {
		Name     string    `db:"name"`
		Slots    int       `db:"slots"`
		Busy     int       `db:"busy"`
		Refusing string    `db:"refusing"`
		Draining bool      `db:"is_draining"`
		Labels   jsonTexts `db:"labels"`
	}
	if err := d.q(ctx).GetContext(ctx, &s.PoolName, `SELECT COALESCE((SELECT name FROM pools WHERE id = $1), $1)`, r.Pool); err != nil {
		return s, err
	}
	err := d.q(ctx).SelectContext(ctx, &rows, `
		SELECT name, slots, busy, CASE WHEN state = 'draining' OR drain THEN 'it is draining' ELSE refusing END AS refusing, state = 'draining' OR drain AS is_draining, labels
		FROM workers WHERE pool_id = $1 AND seen_at > $2 AND state <> 'exited' ORDER BY name`,
		r.Pool, now().Add(-WorkerSilent))
	for _, row := range rows {
		s.Workers = append(s.Workers, run.WorkerStatus{Name: row.Name, Slots: row.Slots, Busy: row.Busy, Refusing: row.Refusing, Draining: row.Draining, Labels: row.Labels})
	}
	return s, err
}
