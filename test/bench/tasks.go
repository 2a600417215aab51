package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"gantry.example/internal/bus/broker"
	"gantry.example/test/bench/figures"
	"gantry.example/test/bench/raw"
	"gantry.example/test/bench/replay"
)

// How tasks that execute nothing are measured.
const (
	taskWorkers    = 100
	taskCreators   = 20
	taskWorkspaces = 200
)

// tasks measures runs that execute nothing on a server with 100 workers, in turn with the operations of Postgres and NATS alone, on
// the same Postgres: those that the server makes for as many runs, recorded before, and the least that any server would have to make.
func (b *bench) tasks(ctx context.Context) (err error) {
	d, err := b.startDatabase(ctx, "tasks-postgres")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	if _, err := d.add(ctx, taskDatabase); err != nil {
		return err
	}
	targets, recording, err := b.record(ctx, d)
	if err != nil {
		return fmt.Errorf("record what the server asks of Postgres: %w", err)
	}
	s, err := b.startOn(ctx, "tasks", d.server.DSN(taskDatabase))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if _, _, err := s.noopRuns(ctx, targets, b.warmTasks()); err != nil {
		return err
	}
	t := figures.Tasks{Tasks: b.noop, Workers: taskWorkers, Workspaces: taskWorkspaces, Statements: float64(recording.Statements) / float64(b.noop)}
	for i := range taskRounds {
		b.say("%d tasks that execute nothing, %d workers: round %d of %d", b.noop, taskWorkers, i+1, taskRounds)
		took, events, err := s.noopRuns(ctx, targets, b.noop)
		if err != nil {
			return err
		}
		t.Gantry = append(t.Gantry, float64(b.noop)/took.Seconds())
		t.Events = append(t.Events, events)
		same, least, err := b.aloneRound(ctx, d, recording, i)
		if err != nil {
			return err
		}
		t.Same = append(t.Same, float64(b.noop)/same.Seconds())
		t.Least = append(t.Least, float64(b.noop)/least.Seconds())
	}
	b.report.Tasks = t
	return nil
}

// The databases of a server whose tasks are measured, of what it was like when the recording began, and when it ended.
const (
	taskDatabase = "gantry_tasks"
	taskTemplate = "gantry_before"
	taskRecorded = "gantry_after"
)

// record makes the workspaces, and then as many runs as are measured, whose statements it returns.
func (b *bench) record(ctx context.Context, d *database) (targets []target, r replay.Recording, err error) {
	if err := d.exec(ctx, taskDatabase, replay.Settings(taskDatabase)...); err != nil {
		return nil, r, err
	}
	err = b.serving(ctx, d, func(s *server) error {
		if targets, err = s.noopTargets(ctx, taskWorkspaces); err != nil {
			return err
		}
		_, _, err := s.noopRuns(ctx, targets, b.warmTasks())
		return err
	})
	if err != nil {
		return nil, r, err
	}
	if _, err := d.copy(ctx, taskDatabase, taskTemplate); err != nil {
		return nil, r, err
	}
	err = b.serving(ctx, d, func(s *server) error {
		if err := d.exec(ctx, taskDatabase, replay.Begin); err != nil {
			return err
		}
		if _, _, err := s.noopRuns(ctx, targets, b.noop); err != nil {
			return err
		}
		return d.exec(ctx, taskDatabase, replay.End, `ALTER DATABASE `+taskDatabase+` RESET ALL`)
	})
	if err != nil {
		return nil, r, err
	}
	if _, err := d.copy(ctx, taskDatabase, taskRecorded); err != nil {
		return nil, r, err
	}
	log, err := os.Open(d.log)
	if err != nil {
		return nil, r, err
	}
	defer log.Close()
	r, err = replay.Parse(log)
	return targets, r, err
}

// warmTasks is how many runs a server carries out before it is measured, so that its connections know their statements.
func (b *bench) warmTasks() int { return min(b.noop, 2*taskWorkers) }

func (b *bench) serving(ctx context.Context, d *database, do func(*server) error) (err error) {
	s, err := b.startOn(ctx, "tasks", d.server.DSN(taskDatabase))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	return do(s)
}

// aloneRound does what Postgres and NATS do by themselves: the recorded operations, on a copy of the database, and the least ones.
func (b *bench) aloneRound(ctx context.Context, d *database, r replay.Recording, round int) (same, least time.Duration, err error) {
	copied, empty := fmt.Sprintf("replay_%d", round), fmt.Sprintf("raw_%d", round)
	replayed, err := d.copy(ctx, taskTemplate, copied)
	if err != nil {
		return 0, 0, err
	}
	fresh, err := d.add(ctx, empty)
	if err != nil {
		return 0, 0, err
	}
	n, err := broker.Start(broker.Config{StoreDir: filepath.Join(b.root, copied), Log: slog.New(slog.DiscardHandler)}) // as a server has it
	if err != nil {
		return 0, 0, err
	}
	defer n.Shutdown()
	nc, err := n.Connect(copied)
	if err != nil {
		return 0, 0, err
	}
	defer nc.Close()
	began := time.Now()
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.Run(gctx, replayed) })
	g.Go(func() error { return replay.Messages{Tasks: b.noop, Workers: taskWorkers}.Run(gctx, nc) })
	err = g.Wait()
	same = time.Since(began)
	if err == nil {
		err = d.sameEvents(ctx, taskRecorded, copied)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("the same operations: %w", err)
	}
	least, err = raw.Run(ctx, fresh, nc, raw.Work{Tasks: b.noop, Creators: taskCreators, Workers: taskWorkers, Workspaces: taskWorkspaces, Conns: r.Connections})
	if err != nil {
		return 0, 0, fmt.Errorf("the least operations: %w", err)
	}
	return same, least, nil
}

// taskRounds is how often each side is measured.
const taskRounds = 3

func (s *server) noopTargets(ctx context.Context, n int) ([]target, error) {
	out := make([]target, n)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(taskCreators)
	for i := range out {
		g.Go(func() (err error) {
			out[i], err = s.newTarget(ctx, fmt.Sprintf("noop-%d", i), resources(1))
			return err
		})
	}
	return out, g.Wait()
}

// noopRuns creates so many runs and waits until all of them are final, which they are once their result is stored. It returns
// how long that took and, in the same time and until the last event was read, how many events a second were projected.
func (s *server) noopRuns(ctx context.Context, targets []target, runs int) (took time.Duration, events float64, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, tasksLimit, fmt.Errorf("the runs did not end within %s", tasksLimit))
	defer cancel()
	ended := make(chan error, runs)
	var done atomic.Int64
	worker, err := s.startNoop(ctx, taskWorkers, func(string) {}, func(err error) {
		done.Add(1)
		ended <- err
	})
	if err != nil {
		return 0, 0, err
	}
	defer worker.stop()
	began := time.Now()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(taskCreators)
	for i := range runs {
		g.Go(func() error {
			_, err := s.create(gctx, targets[i%len(targets)])
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return 0, 0, err
	}
	for range runs {
		select {
		case err := <-ended:
			if err != nil {
				return 0, 0, err
			}
		case <-ctx.Done():
			return 0, 0, fmt.Errorf("%w: %d of %d", context.Cause(ctx), done.Load(), runs)
		}
	}
	took = time.Since(began)
	if err := s.untilProjected(ctx); err != nil {
		return 0, 0, err
	}
	return took, float64(2*runs) / time.Since(began).Seconds(), nil
}

// tasksLimit bounds a round.
const tasksLimit = 6 * time.Minute

// untilProjected waits until the projector has read all events.
func (s *server) untilProjected(ctx context.Context) error {
	for {
		lag, err := s.metric(ctx, "gantry_projector_pending_events")
		if err != nil || lag == 0 {
			return err
		}
		if err := rest(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}
