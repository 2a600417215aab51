package postgres

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/jmoiron/sqlx"

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
	return d.tx(ctx, func(tx *sqlx.Tx) error {
		ordered, err := lockOrder(ctx, tx, events)
		if err != nil {
			return err
		}
		for _, e := range ordered {
			if err := e.project(ctx, tx); err != nil {
				return fmt.Errorf("event %s of run %s: %w", e.ID(), e.RunID, err)
			}
		}
		return nil
	})
}

// lockOrder sorts events so that every projector takes locks in the same order, and drops those of unknown runs. The order
// within a run is kept. Plan-only runs, whose lock is taken without that of their workspace, come last: after one of them
// no workspace may be waited for.
func lockOrder(ctx context.Context, tx *sqlx.Tx, events []messages.Event) ([]placedEvent, error) {
	ids := make([]string, len(events))
	for i, e := range events {
		ids[i] = e.RunID
	}
	var rows []runPlace
	if err := tx.SelectContext(ctx, &rows, `SELECT id, workspace_id, exclusive FROM runs WHERE id = ANY ($1)`, textArray(ids)); err != nil {
		return nil, err
	}
	places := map[string]runPlace{}
	for _, r := range rows {
		places[r.ID] = r
	}
	var out []placedEvent
	for _, e := range events {
		if place, known := places[e.RunID]; known {
			out = append(out, placedEvent{e, place})
		}
	}
	slices.SortStableFunc(out, func(a, b placedEvent) int { return cmp.Compare(a.place.order(), b.place.order()) })
	return out, nil
}

// runPlace is what decides which locks a change of the run takes; it never changes.
type runPlace struct {
	ID        string `db:"id"`
	Workspace string `db:"workspace_id"`
	Exclusive bool   `db:"exclusive"`
}

// order is the run's place in the order of locks.
func (p runPlace) order() string {
	if p.Exclusive {
		return "first/" + p.Workspace + "/" + p.ID
	}
	return "last/" + p.ID
}

type placedEvent struct {
	messages.Event
	place runPlace
}

func (e placedEvent) project(ctx context.Context, tx *sqlx.Tx) error {
	l, err := lockIn(ctx, tx, e.RunID, e.place.Workspace, e.place.Exclusive)
	if err != nil {
		return err
	}
	switch e.Type {
	case messages.EventProgress:
		_, _, err = l.apply(ctx, run.Progress{AttemptID: e.AttemptID, Stage: e.Stage}, Cause{Actor: e.Source, SourceID: e.ID()})
	case messages.EventExited:
		_, _, err = l.apply(ctx, exitInput(e.Event), Cause{Actor: e.Source, SourceID: e.ID()})
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
