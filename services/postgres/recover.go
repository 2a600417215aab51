package postgres

import (
	"context"
	"fmt"
	"time"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/run"
)

// Recovery asks to recover a run.
type Recovery struct {
	RunID   string
	By      string
	Comment string
	Source  string
	// Force does not wait any longer for a runner that contact was lost to.
	Force bool

	Traceparent, TraceParentSpan string // of the recovery, empty where nobody traces it; see run.Spec
}

// RecoverRun starts a recovery of a run whose outcome is unknown: a refresh-only run with the same configuration and target,
// whose plan runs by the lock of the lost one. While one is under way it is returned instead. Errors: not_found;
// run.not_allowed for a run whose outcome is known or, without force, may still come; workspace.locked by another person;
// configuration.missing.
func (d *DB) RecoverRun(ctx context.Context, in Recovery) (run.Run, error) {
	var out run.Run
	err := d.tx(ctx, func(tx *txn) error {
		l, err := lock(ctx, tx, in.RunID)
		if err != nil {
			return err
		}
		lost := l.run
		if l.ws == nil {
			return fail(messages.CodeRunNotAllowed, "run %s only plans: there is nothing to recover", lost.ID)
		}
		w, _, err := lockedWorkspace(ctx, tx, lost.WorkspaceID)
		if err != nil {
			return err
		}
		if err := w.heldByOther(in.By); err != nil {
			return err
		}
		if lost.OutcomeUnknown && lost.Recovery != "" {
			out, err = lockRun(ctx, tx, lost.Recovery)
			if removed := isNotFound(err); !removed && (err != nil || !out.Status.Final()) {
				return err
			}
		}
		id := messages.NewID("run-")
		if _, refusal, err := l.apply(ctx, run.Recover{RunID: id, Force: in.Force}, Cause{Actor: in.By}); err != nil || refusal != nil {
			return firstError(err, refusal)
		}
		out, err = d.beginRecovery(ctx, l, id, in)
		return err
	})
	return out, err
}

// beginRecovery creates the recovery of the run in l and queues its plan.
func (d *DB) beginRecovery(ctx context.Context, l *locked, id string, in Recovery) (run.Run, error) {
	lost := l.run
	cv, err := usableConfiguration(ctx, l.tx, NewRun{WorkspaceID: lost.WorkspaceID, ConfigurationVersionID: lost.ConfigurationVersionID}, lost.WorkspaceID)
	if err != nil {
		return run.Run{}, err
	}
	spec := run.Spec{
		ID: id, Position: cv.Position, OrganizationID: lost.OrganizationID, WorkspaceID: lost.WorkspaceID, ConfigurationVersionID: lost.ConfigurationVersionID,
		Options: run.Options{RefreshOnly: true}, Execution: lost.Execution, Pool: lost.Pool, Recovers: lost.ID,
		Note: in.Comment, Source: in.Source, CreatedBy: in.By, Traceparent: in.Traceparent, TraceParentSpan: in.TraceParentSpan,
	}
	if spec.Note == "" {
		spec.Note = "Recovery of " + lost.ID
	}
	r := &locked{tx: l.tx, ws: l.ws}
	if _, _, err := r.apply(ctx, run.Create{Spec: spec}, Cause{Actor: in.By}); err != nil {
		return run.Run{}, err
	}
	if err := d.copyRunVariables(ctx, l.tx, lost.ID, id); err != nil {
		return run.Run{}, err
	}
	out, _, err := r.apply(ctx, run.Queue{}, Cause{Actor: in.By})
	return out, err
}

// copyRunVariables gives a run the variables that another one brought along.
func (d *DB) copyRunVariables(ctx context.Context, tx *txn, from, to string) error {
	var sealed []byte
	err := tx.GetContext(ctx, &sealed, `SELECT sealed FROM run_variables WHERE run_id = $1`, from)
	if noRows(err) {
		return nil
	}
	if err != nil {
		return err
	}
	given, err := d.openRunVariables(sealed, from)
	if err != nil {
		return err
	}
	vars := make([]wire.RunVariable, len(given))
	for i, v := range given {
		vars[i] = wire.RunVariable{Key: v.Key, Value: v.Value}
	}
	return d.putRunVariables(ctx, tx, to, vars)
}

// takeOver gives the gate of the lost run to the recovery in l, which a person has just confirmed. The epoch moves first, so
// that nothing of the lost runner lands any more.
func (l *locked) takeOver(ctx context.Context, lostID, by string) error {
	if !l.ws.heldBy(lostID) {
		return fail(messages.CodeRunNotAllowed, "run %s can't be applied: run %s does not hold its workspace any more", l.run.ID, lostID)
	}
	l.ws.setEpoch(l.ws.Epoch + 1)
	l.ws.hold(l.run.ID)
	lost, err := lockRun(ctx, l.tx, lostID)
	if err != nil {
		return err
	}
	_, refusal, err := (&locked{tx: l.tx, ws: l.ws, run: lost}).apply(ctx,
		run.Release{By: l.run.ID, Comment: "recovered by run " + l.run.ID}, Cause{Actor: by})
	return firstError(err, refusal)
}

// withdraw ends a recovery that has lost its reason. Its workspace is locked already. One that was removed for its age is over.
func (l *locked) withdraw(ctx context.Context, id, why string) error {
	r, err := lockRun(ctx, l.tx, id)
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	_, _, err = (&locked{tx: l.tx, ws: l.ws, run: r}).apply(ctx, run.Withdraw{Why: why}, Cause{Actor: "gate"})
	return err
}

// leaseMargin is what the reconciler waits beyond a lease's end before it speaks of lost contact.
const leaseMargin = 5 * time.Second

// Condition describes a run whose runner was lost in its apply; nil for any other.
func (d *DB) Condition(ctx context.Context, r run.Run) (*run.Condition, error) {
	around := run.Around{LostAfter: d.timing.LostAfter}
	if r.Condition(around) == nil {
		return nil, nil
	}
	ttl, err := d.leaseTTL(ctx, r.Pool)
	if err != nil {
		return nil, err
	}
	around.LeaseTTL = ttl + leaseMargin
	w, err := d.Workspace(ctx, r.WorkspaceID)
	if err != nil {
		return nil, err
	}
	around.Workspace = w.path()
	if r.Recovery != "" {
		recovery, err := d.Run(ctx, r.Recovery)
		if err != nil && !isNotFound(err) { // one removed for its age is over
			return nil, err
		}
		if err == nil {
			around.Recovery = &recovery
		}
	}
	if around.Seen, err = d.sightings(ctx, r); err != nil {
		return nil, fmt.Errorf("what is known of the runner of %s: %w", r.ID, err)
	}
	return r.Condition(around), nil
}

// sightings are the last traces of the runner of the run's apply.
func (d *DB) sightings(ctx context.Context, r run.Run) (run.Sightings, error) {
	var row struct {
		Event   *string    `db:"event"`
		EventAt *time.Time `db:"event_at"`
		State   *string    `db:"state"`
		Serial  *int64     `db:"serial"`
		Lineage *string    `db:"lineage"`
		StateAt *time.Time `db:"state_at"`
		Printed *time.Time `db:"printed_at"`
		Aside   int        `db:"aside"`
	}
	last := r.Apply.Last()
	if last == nil {
		return run.Sightings{}, nil
	}
	err := d.q(ctx).GetContext(ctx, &row, `
		SELECT e.type AS event, e.at AS event_at, s.id AS state, s.serial, s.lineage, s.created_at AS state_at, l.printed_at,
		       (SELECT count(*) FROM state_versions WHERE attempt_id = $2 AND superseded) AS aside
		FROM (SELECT 1) AS one
		LEFT JOIN LATERAL (SELECT type, at FROM run_events WHERE run_id = $1 AND event -> 'data' ->> 'attempt_id' = $2
			AND type IN ('started', 'progress') ORDER BY seq DESC LIMIT 1) e ON true
		LEFT JOIN LATERAL (SELECT id, serial, lineage, created_at FROM state_versions WHERE attempt_id = $2 AND NOT superseded
			ORDER BY serial DESC LIMIT 1) s ON true
		LEFT JOIN LATERAL (SELECT printed_at FROM logs WHERE task_id = $3 AND attempt_id = $2) l ON true`, r.ID, last.ID, r.Apply.ID)
	out := run.Sightings{LastEventAt: row.EventAt, LastStateAt: row.StateAt, PrintedAt: row.Printed, KeptAside: row.Aside}
	if row.Event != nil {
		out.LastEvent = run.EventType(*row.Event)
	}
	if row.State != nil {
		out.LastStateID, out.LastState = *row.State, &run.StateRef{Serial: *row.Serial, Lineage: *row.Lineage}
	}
	return out, err
}

// withdrawRecovery ends the recovery, if there is one, of the lost run that has the gate.
func withdrawRecovery(ctx context.Context, tx *txn, ws *gate, by string) error {
	lost, err := lockRun(ctx, tx, *ws.Run)
	if err != nil || lost.Recovery == "" {
		return err
	}
	return (&locked{tx: tx, ws: ws, run: lost}).withdraw(ctx, lost.Recovery, by+" gave the workspace another state.")
}
