// Package pastruns gives a database the past of a big installation: many workspaces with many finished runs, copied within
// Postgres from one that really took place. For tests and the bench only: nothing of the platform uses it.
//
// A copy has everything that a finished run leaves for good: its row, events, task, attempt and packed log, and every fifth a
// state version. Its rows are spread evenly over a year; what its document says of its own times is the original's. What is
// sealed cannot be opened, because a seal is bound to an id.
package pastruns

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"golang.org/x/sync/errgroup"
)

// Past is what Fill makes.
type Past struct {
	Run        string // a finished run of one task and attempt: all others are its copies
	Workspaces int    // that are added; the run's own is one more
	Runs       int    // that are added, spread evenly over all workspaces
}

const (
	batch    = 2000 // runs that one transaction adds: an installation of that size has seen many transactions
	sessions = 4    // that do so at the same time
)

// Fill adds the past. Foreign keys are not checked meanwhile, for which the user must be a superuser.
func Fill(ctx context.Context, dsn string, p Past) error {
	db, err := sqlx.ConnectContext(ctx, "postgres", dsn)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	t, err := read(ctx, db, p.Run)
	if err != nil {
		return fmt.Errorf("run %s: %w", p.Run, err)
	}
	if err := each(ctx, db, []step{{`UPDATE runs SET newest = NULL WHERE newest`, nil}, {addWorkspaces, []any{t.Workspace, p.Workspaces}}, {`ANALYZE workspaces, configuration_versions`, nil}}); err != nil {
		return err
	}
	var next atomic.Int64
	g, gctx := errgroup.WithContext(ctx)
	for range sessions {
		g.Go(func() error {
			return t.session(gctx, dsn, p.Runs, func() int { return int(next.Add(batch)) - batch + 1 })
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return each(ctx, db, []step{{`SELECT setval('run_positions', (SELECT max(position) FROM runs))`, nil}, {`VACUUM ANALYZE`, nil}})
}

// session adds the runs from next() on, a batch each time, until there are so many.
func (t template) session(ctx context.Context, dsn string, runs int, next func() int) error {
	db, err := sqlx.ConnectContext(ctx, "postgres", dsn)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1) // settings and temporary tables are the session's
	if err := each(ctx, db, []step{
		{`SET session_replication_role = replica`, nil},
		{`SET synchronous_commit = off`, nil},
		{makePlaces, nil},
		{`ANALYZE past_places`, nil},
		{makeSize, []any{runs, t.Last}},
		{makeBatch, nil},
	}); err != nil {
		return err
	}
	for from := next(); from <= runs; from = next() {
		if err := t.add(ctx, db, from, min(from+batch-1, runs)); err != nil {
			return fmt.Errorf("runs from %d: %w", from, err)
		}
	}
	return nil
}

type step struct {
	statement string
	args      []any
}

func each(ctx context.Context, to sqlx.ExecerContext, steps []step) error {
	for _, s := range steps {
		if _, err := to.ExecContext(ctx, s.statement, s.args...); err != nil {
			return err
		}
	}
	return nil
}

// template is the run that is copied; in its texts are places for what differs.
type template struct {
	Run           string `db:"id"`
	Workspace     string `db:"workspace_id"`
	Configuration string `db:"configuration"`
	Position      int64  `db:"position"`
	Task          string `db:"task"`
	Attempt       string `db:"attempt"`
	Doc           string `db:"doc"`
	Last          int64  `db:"last"` // position of the newest run there is

	events []string // of all its events, in order
}

func read(ctx context.Context, db *sqlx.DB, id string) (template, error) {
	var t template
	if err := db.GetContext(ctx, &t, `
		SELECT r.id, r.workspace_id, r.position, (SELECT max(position) FROM runs) AS last, r.doc::text AS doc, r.doc ->> 'configuration_version_id' AS configuration, a.task_id AS task, a.id AS attempt
		FROM runs r JOIN attempts a ON a.run_id = r.id WHERE r.id = $1`, id); err != nil {
		return t, err
	}
	if err := db.SelectContext(ctx, &t.events, `SELECT event::text FROM run_events WHERE run_id = $1 ORDER BY seq`, id); err != nil {
		return t, err
	}
	// Its texts become formats of Postgres; the statements give the arguments in this order.
	places := strings.NewReplacer("%", "%%", t.Run, "%1$s", t.Task, "%2$s", t.Attempt, "%3$s", t.Workspace, "%4$s", t.Configuration, "%5$s",
		fmt.Sprintf(`"position": %d,`, t.Position), `"position": %6$s,`)
	t.Doc = places.Replace(t.Doc)
	for i := range t.events {
		t.events[i] = places.Replace(t.events[i])
	}
	return t, nil
}

// add copies the run as numbers from to to.
func (t template) add(ctx context.Context, db *sqlx.DB, from, to int) error {
	tx, err := db.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	if err := each(ctx, tx, []step{
		{`TRUNCATE past_batch`, nil},
		{number, []any{from, to}},
		{addRuns, []any{t.Run, t.Doc}},
		{addEvents, []any{t.Run, pq.Array(t.events)}},
		{addTasks, []any{t.Task}},
		{addAttempts, []any{t.Attempt}},
		{addLogs, nil},
		{addChunks, nil},
		{addStates, nil},
	}); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}
