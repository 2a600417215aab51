package postgres

import (
	"context"
	"fmt"
	"slices"

	"gantry.example/messages"
	"gantry.example/services/run"
)

// Project folds a batch of events and releases what they free, in one transaction: after it returns nil, every event of
// the batch may be acknowledged. Events that were folded before, or whose attempt is closed, change nothing.
func (d *DB) Project(ctx context.Context, events []messages.Event) error {
	events = slices.DeleteFunc(slices.Clone(events), func(e messages.Event) bool {
		return e.Type == messages.EventFinished // for others: the API folded the result when it took it
	})
	if len(events) == 0 {
		return nil
	}
	return d.tx(ctx, func(tx *txn) error {
		b, err := lockBatch(ctx, tx, events)
		if err != nil {
			return err
		}
		for _, e := range events {
			if err := b.project(ctx, e); err != nil {
				return fmt.Errorf("event %s of run %s: %w", e.ID(), e.RunID, err)
			}
		}
		return nil
	})
}

// locks are the runs of a batch of events, all under their locks.
type locks struct {
	tx    *txn
	runs  map[string]*locked
	seen  map[string]bool // ids of the events that were folded before
	stale bool            // runs may have been changed by what another one's end released
}

// lockBatch takes the locks of all runs that the events are of, in the order that everyone takes them: workspaces, then runs,
// both sorted, so that any number of projectors wait for each other in turn. A plan-only run is locked without its workspace.
func lockBatch(ctx context.Context, tx *txn, events []messages.Event) (*locks, error) {
	ids, sources := make([]string, len(events)), make([]string, len(events))
	for i, e := range events {
		ids[i], sources[i] = e.RunID, e.ID()
	}
	var gates []*gate
	if err := tx.SelectContext(ctx, &gates, `
		SELECT id, locked, gate_run_id, epoch FROM workspaces WHERE id IN (SELECT workspace_id FROM runs WHERE id = ANY ($1) AND exclusive)
		ORDER BY id FOR NO KEY UPDATE`, textArray(ids)); err != nil {
		return nil, err
	}
	var docs [][]byte
	if err := tx.SelectContext(ctx, &docs, `SELECT doc FROM runs WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE`, textArray(ids)); err != nil {
		return nil, err
	}
	var seen []string // read under the locks: what another projector folded before is there
	if err := tx.SelectContext(ctx, &seen, `SELECT source_id FROM run_events WHERE source_id = ANY ($1)`, textArray(sources)); err != nil {
		return nil, err
	}
	b := &locks{tx: tx, runs: map[string]*locked{}, seen: map[string]bool{}}
	for _, id := range seen {
		b.seen[id] = true
	}
	ws := map[string]*gate{}
	for _, g := range gates {
		ws[g.ID] = g
	}
	runs, err := decodeRuns(docs)
	for _, r := range runs {
		l := &locked{tx: tx, run: r}
		if r.Exclusive() {
			l.ws = ws[r.WorkspaceID]
		}
		b.runs[r.ID] = l
	}
	return b, err
}

// project folds an event; one of an unknown run, or that was folded before, is passed over.
func (b *locks) project(ctx context.Context, e messages.Event) (err error) {
	l := b.runs[e.RunID]
	if l == nil || b.seen[e.ID()] {
		return nil
	}
	b.seen[e.ID()] = true
	if b.stale {
		if l, err = lockIn(ctx, b.tx, l.run); err != nil {
			return err
		}
	}
	cause := Cause{Actor: e.Source, SourceID: e.ID()}
	switch e.Type {
	case messages.EventProgress:
		_, _, err = l.apply(ctx, run.Progress{AttemptID: e.AttemptID, Stage: e.Stage}, cause)
	case messages.EventExited:
		_, _, err = l.apply(ctx, exitInput(e), cause)
		b.stale = true
	}
	return err
}

// exitInput is what the end of a runner means: one that executed nothing gives back its claim, and is no proof that another
// runner of a started attempt is gone.
func exitInput(e messages.Event) run.Input {
	if e.ExitCode == messages.ExitRefused {
		return run.ExpireClaim{AttemptID: e.AttemptID}
	}
	detail := e.Message
	if detail == "" {
		detail = fmt.Sprintf("its process ended with code %d", e.ExitCode)
	}
	return run.Exit{AttemptID: e.AttemptID, Detail: detail, NotBegun: e.NotBegun, Final: e.Final}
}
