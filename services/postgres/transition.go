package postgres

import (
	"context"
	"encoding/json"
	"fmt"

	"gantry.example/messages"
	"gantry.example/services/run"
)

// Cause says who or what brings an input.
type Cause struct {
	Actor    string // a user, "worker …", "reconciler"
	SourceID string // id of the message, where one brought it; no second event may have it
}

// Transition gives in to the run and stores what follows. The refusal, if any, is returned as *Error after its events
// (if any) were committed.
func (d *DB) Transition(ctx context.Context, runID string, in run.Input, c Cause) (run.Run, error) {
	var after run.Run
	var refusal error
	err := d.tx(ctx, func(tx *txn) error {
		l, err := lock(ctx, tx, runID)
		if err != nil {
			return err
		}
		after, refusal, err = l.apply(ctx, in, c)
		return err
	})
	if err != nil {
		return run.Run{}, err
	}
	return after, refusal
}

// gate is the part of a workspace that decides who may run. What changes of it is stored with the transition that changes it.
type gate struct {
	ID     string  `db:"id"`
	Locked bool    `db:"locked"`
	Run    *string `db:"gate_run_id"`
	Epoch  int64   `db:"epoch"`
	moved  bool    // differs from what is stored
}

func (g *gate) hold(runID string)    { g.Run, g.moved = &runID, true }
func (g *gate) free()                { g.Run, g.moved = nil, true }
func (g *gate) setEpoch(epoch int64) { g.Epoch, g.moved = epoch, true }

// heldBy reports whether the run has the gate.
func (g *gate) heldBy(runID string) bool { return g.Run != nil && *g.Run == runID }

// locked is a run under its row lock and, when the run is exclusive, its workspace under its own.
type locked struct {
	tx   *txn
	ws   *gate // nil for plan-only runs: they do not touch the gate
	run  run.Run
	with beside // what the next transition brings along

	state *run.StateRef // the workspace's when it was locked, nil where that is not known
}

// lock takes the locks in the order that everyone takes them: workspace, then run. They are NO KEY locks: a row that only
// refers to the workspace or run (a log, a configuration) need not wait for them.
func lock(ctx context.Context, tx *txn, runID string) (*locked, error) {
	var row struct {
		Workspace string `db:"workspace_id"`
		Exclusive bool   `db:"exclusive"`
	}
	err := tx.GetContext(ctx, &row, `SELECT workspace_id, exclusive FROM runs WHERE id = $1`, runID)
	if noRows(err) {
		return nil, notFound("run", runID)
	}
	if err != nil {
		return nil, err
	}
	return lockIn(ctx, tx, run.Run{Spec: run.Spec{ID: runID, WorkspaceID: row.Workspace, Options: run.Options{PlanOnly: !row.Exclusive}}})
}

// lockIn is lock for a caller that has read the run before: it is read again only if it has changed since.
func lockIn(ctx context.Context, tx *txn, known run.Run) (l *locked, err error) {
	l = &locked{tx: tx, run: known}
	var row struct {
		gate
		StateID *string `db:"state_id"`
		Serial  *int64  `db:"serial"`
		Lineage *string `db:"lineage"`
		Doc     []byte  `db:"doc"` // NULL if it is the known one
	}
	if known.Exclusive() {
		err = tx.GetContext(ctx, &row, `
			SELECT w.id, w.locked, w.gate_run_id, w.epoch, w.state_id, s.serial, s.lineage, CASE WHEN r.seq <> $3 THEN r.doc END AS doc
			FROM workspaces w JOIN runs r ON r.workspace_id = w.id LEFT JOIN state_versions s ON s.id = w.state_id
			WHERE w.id = $1 AND r.id = $2 FOR NO KEY UPDATE OF w, r`, known.WorkspaceID, known.ID, known.Seq) // in the order of OF
		l.ws = &row.gate
	} else {
		err = tx.GetContext(ctx, &row, `SELECT CASE WHEN seq <> $2 THEN doc END AS doc FROM runs WHERE id = $1 FOR NO KEY UPDATE`, known.ID, known.Seq)
	}
	if noRows(err) { // deleted with its workspace
		return nil, notFound("run", known.ID)
	}
	if err != nil {
		return nil, err
	}
	if row.StateID == nil && l.ws != nil {
		l.state = &run.StateRef{}
	} else if row.Serial != nil { // else its row came while the lock was waited for
		l.state = &run.StateRef{Serial: *row.Serial, Lineage: *row.Lineage}
	}
	if row.Doc != nil {
		l.run, err = decodeRun(row.Doc)
	}
	return l, err
}

// lock takes the locks for what an attempt does.
func (a Attempt) lock(ctx context.Context, tx *txn) (*locked, error) {
	if a.Run.ID == "" { // not from its token
		return lock(ctx, tx, a.RunID)
	}
	return lockIn(ctx, tx, a.Run)
}

// current names the workspace's current state.
func (l *locked) current(ctx context.Context) (run.StateRef, error) {
	if l.state != nil {
		return *l.state, nil
	}
	return currentState(ctx, l.tx, l.run.WorkspaceID)
}

func lockGate(ctx context.Context, tx *txn, workspaceID string) (*gate, error) {
	var g gate
	err := tx.GetContext(ctx, &g, `SELECT id, locked, gate_run_id, epoch FROM workspaces WHERE id = $1 FOR NO KEY UPDATE`, workspaceID)
	if noRows(err) {
		return nil, notFound("workspace", workspaceID)
	}
	return &g, err
}

func lockRun(ctx context.Context, tx *txn, runID string) (run.Run, error) {
	var doc []byte
	err := tx.GetContext(ctx, &doc, `SELECT doc FROM runs WHERE id = $1 FOR NO KEY UPDATE`, runID)
	if noRows(err) { // deleted with its workspace
		return run.Run{}, notFound("run", runID)
	}
	if err != nil {
		return run.Run{}, err
	}
	return decodeRun(doc)
}

func decodeRun(doc []byte) (run.Run, error) {
	var r run.Run
	if err := json.Unmarshal(doc, &r); err != nil {
		return r, fmt.Errorf("decode run: %w", err)
	}
	return r, nil
}

// apply is the one transition function of API, projector and reconciler.
func (l *locked) apply(ctx context.Context, in run.Input, c Cause) (after run.Run, refusal, err error) {
	before := l.run
	events, refusal := l.decide(in, c)
	if err := l.keep(ctx, before, events, c); err != nil {
		return before, nil, err
	}
	return l.run, refusal, nil
}

// decide gives in to the run and returns what follows, which is in l.run but not stored yet.
func (l *locked) decide(in run.Input, c Cause) (events []run.Event, refusal error) {
	events, ref := run.Transition(l.run, in, run.Env{Now: now(), Actor: c.Actor, SourceID: c.SourceID, NewID: messages.NewID})
	if ref != nil {
		refusal = &Error{Code: ref.Code, Message: ref.Message}
	}
	for _, e := range events {
		l.run = run.Fold(l.run, e)
	}
	return events, refusal
}

// keep stores the events that led from before to l.run and what they bring along, and does what follows from them: it tells
// the world by the outbox, and hands a freed gate to the next run.
func (l *locked) keep(ctx context.Context, before run.Run, events []run.Event, c Cause) error {
	with := l.with
	l.with = beside{}
	if len(events) == 0 && with.empty() {
		return nil
	}
	var withdraw string
	var freed, waits bool
	for _, e := range run.Effects(before, l.run) {
		var err error
		switch {
		case e.TakeOver != "":
			err = l.takeOver(ctx, e.TakeOver, c.Actor)
		case e.Withdraw != "":
			withdraw = e.Withdraw
		case e.Publish != nil:
			err = with.send(OutboxTask, e.Publish)
		case e.Delete != nil:
			err = with.send(OutboxDelete, e.Delete)
		case e.Command != nil:
			err = with.send(OutboxCommand, CommandRow{Pool: l.run.Pool, Command: *e.Command})
		case e.Wait && l.ws != nil:
			waits = true
		case e.Free && l.ws != nil && l.ws.heldBy(l.run.ID):
			l.ws.free()
			freed = true
		}
		if err != nil {
			return err
		}
	}
	others, err := store(ctx, l.tx, before, l.run, events, with.of(l.ws, freed))
	if err != nil {
		return err
	}
	if withdraw != "" {
		if err := l.withdraw(ctx, withdraw, "The outcome of run "+l.run.ID+" is settled, so there is nothing to recover."); err != nil {
			return err
		}
	}
	if waits || freed && others {
		return releaseNext(ctx, l.tx, l.ws)
	}
	return nil
}

// releaseNext gives a free, unlocked gate to the oldest waiting run. It is called in the transaction that freed the gate,
// unlocked the workspace or created a run, so that no run waits for anything but time.
func releaseNext(ctx context.Context, tx *txn, ws *gate) error {
	if ws.Run != nil || ws.Locked {
		return nil
	}
	var doc []byte
	err := tx.GetContext(ctx, &doc, `
		SELECT doc FROM runs WHERE workspace_id = $1 AND status IN ('pending', 'confirmed') AND exclusive
		ORDER BY position LIMIT 1 FOR NO KEY UPDATE`, ws.ID)
	if noRows(err) {
		return nil
	}
	if err != nil {
		return err
	}
	next, err := decodeRun(doc)
	if err != nil {
		return err
	}
	ws.hold(next.ID)
	_, _, err = (&locked{tx: tx, ws: ws, run: next}).apply(ctx, run.Queue{}, Cause{Actor: "gate"})
	return err
}
