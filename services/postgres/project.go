package postgres

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/jmoiron/sqlx"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/run"
)

// Project folds a batch of events and releases what they free, in one transaction: after it returns nil, every event of
// the batch may be acknowledged. Events that were folded before, or whose attempt is closed, change nothing.
func (d *DB) Project(ctx context.Context, events []messages.Event) error {
	if len(events) == 0 {
		return nil
	}
	return d.tx(ctx, func(tx *sqlx.Tx) error {
		ordered, err := lockOrder(ctx, tx, events)
		if err != nil {
			return err
		}
		for _, e := range ordered {
			if err := d.project(ctx, tx, e); err != nil {
				return fmt.Errorf("event %s of run %s: %w", e.ID(), e.RunID, err)
			}
		}
		return nil
	})
}

// lockOrder sorts events so that every projector takes locks in the same order, and drops those of unknown runs. The order
// within a run is kept. Plan-only runs, whose lock is taken without that of their workspace, come last: after one of them
// no workspace may be waited for.
func lockOrder(ctx context.Context, tx *sqlx.Tx, events []messages.Event) ([]messages.Event, error) {
	ids := make([]string, len(events))
	for i, e := range events {
		ids[i] = e.RunID
	}
	var rows []struct {
		ID        string `db:"id"`
		Workspace string `db:"workspace_id"`
		Exclusive bool   `db:"exclusive"`
	}
	if err := tx.SelectContext(ctx, &rows, `SELECT id, workspace_id, exclusive FROM runs WHERE id = ANY ($1)`, textArray(ids)); err != nil {
		return nil, err
	}
	key := map[string]string{}
	for _, r := range rows {
		key[r.ID] = "last/" + r.ID
		if r.Exclusive {
			key[r.ID] = "first/" + r.Workspace + "/" + r.ID
		}
	}
	out := slices.DeleteFunc(slices.Clone(events), func(e messages.Event) bool { return key[e.RunID] == "" })
	slices.SortStableFunc(out, func(a, b messages.Event) int { return cmp.Compare(key[a.RunID], key[b.RunID]) })
	return out, nil
}

func (d *DB) project(ctx context.Context, tx *sqlx.Tx, e messages.Event) error {
	l, err := lock(ctx, tx, e.RunID)
	if err != nil {
		return err
	}
	switch e.Type {
	case messages.EventProgress:
		_, _, err = l.apply(ctx, run.Progress{AttemptID: e.AttemptID, Stage: e.Stage}, Cause{Actor: e.Source, SourceID: e.ID()})
	case messages.EventFinished:
		err = l.finish(ctx, e.AttemptID)
	case messages.EventExited:
		// A stored result says more than the end of a process.
		if err = l.finish(ctx, e.AttemptID); err == nil {
			_, _, err = l.apply(ctx, exitInput(e), Cause{Actor: e.Source, SourceID: e.ID()})
		}
	}
	return err
}

// exitInput is what the end of a runner means: one that executed nothing gives back its claim, and is no proof that another
// runner of a started attempt is gone.
func exitInput(e messages.Event) run.Input {
	if e.ExitCode == messages.ExitRefused {
		return run.ExpireClaim{AttemptID: e.AttemptID}
	}
	return run.Exit{AttemptID: e.AttemptID, Detail: fmt.Sprintf("its process ended with code %d", e.ExitCode)}
}

// finish folds the stored result of the attempt, if there is one that was not folded before.
func (l *locked) finish(ctx context.Context, attemptID string) error {
	var doc []byte
	err := l.tx.GetContext(ctx, &doc, `SELECT doc FROM results WHERE attempt_id = $1 AND run_id = $2 AND NOT projected FOR UPDATE`,
		attemptID, l.run.ID)
	if noRows(err) {
		return nil
	}
	if err != nil {
		return err
	}
	var res wire.Result
	if err := json.Unmarshal(doc, &res); err != nil {
		return err
	}
	in := run.Finish{
		AttemptID: attemptID, Outcome: string(res.Outcome), Code: res.Code, Message: res.Message, HasChanges: res.HasChanges,
		TerraformVersion: res.TerraformVersion,
	}
	if res.Changes != nil {
		c := run.Changes(*res.Changes)
		in.Changes = &c
	}
	if res.State != nil {
		s := run.StateRef(*res.State)
		in.State = &s
	}
	if _, _, err := l.apply(ctx, in, Cause{Actor: "runner"}); err != nil {
		return err
	}
	_, err = l.tx.ExecContext(ctx, `UPDATE results SET projected = true WHERE attempt_id = $1`, attemptID)
	return err
}

// Judge folds the result of an attempt if one waits, and otherwise gives the reconciler's verdict, if there is one (nil
// only folds): a result always says more.
func (d *DB) Judge(ctx context.Context, runID, attemptID string, verdict run.Input) error {
	return d.tx(ctx, func(tx *sqlx.Tx) error {
		l, err := lock(ctx, tx, runID)
		if err != nil {
			return err
		}
		if err := l.finish(ctx, attemptID); err != nil || verdict == nil {
			return err
		}
		_, _, err = l.apply(ctx, verdict, Cause{Actor: "reconciler"})
		return err
	})
}
