package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"gantry.example/internal/bus/broker"
	"gantry.example/test/bench/figures"
	"gantry.example/test/bench/raw"
)

// How tasks that execute nothing are measured.
const (
	taskWorkers    = 100
	taskCreators   = 20
	taskWorkspaces = 200
	taskConns      = 20 // to Postgres, the server's own number
)

// tasks measures runs that execute nothing on a server with 100 workers, in turn with the bare operations of Postgres and NATS
// on the same Postgres.
func (b *bench) tasks(ctx context.Context) (err error) {
	d, err := b.startDatabase(ctx, "tasks-postgres")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	dsn, err := d.add(ctx, "gantry_tasks")
	if err != nil {
		return err
	}
	s, err := b.startOn(ctx, "tasks", dsn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	t := figures.Tasks{Tasks: b.noop, Workers: taskWorkers, Workspaces: taskWorkspaces}
	targets, err := s.noopTargets(ctx, taskWorkspaces)
	if err != nil {
		return err
	}
	if _, _, err := s.noopRuns(ctx, targets, min(b.noop, 2*taskWorkers)); err != nil { // warm up
		return err
	}
	for i := range taskRounds {
		b.say("%d tasks that execute nothing, %d workers: round %d of %d", b.noop, taskWorkers, i+1, taskRounds)
		took, events, err := s.noopRuns(ctx, targets, b.noop)
		if err != nil {
			return err
		}
		t.Gantry = append(t.Gantry, float64(b.noop)/took.Seconds())
		t.Events = append(t.Events, events)
		if took, err = b.rawRound(ctx, d, i); err != nil {
			return fmt.Errorf("raw operations: %w", err)
		}
		t.Raw = append(t.Raw, float64(b.noop)/took.Seconds())
	}
	b.report.Tasks = t
	return nil
}

// taskRounds is how often each side is measured.
const taskRounds = 2

func (b *bench) rawRound(ctx context.Context, d *database, round int) (took time.Duration, err error) {
	name := fmt.Sprintf("raw_%d", round)
	dsn, err := d.add(ctx, name)
	if err != nil {
		return 0, err
	}
	n, err := broker.Start(broker.Config{StoreDir: filepath.Join(b.root, name), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return 0, err
	}
	defer n.Shutdown()
	nc, err := n.Connect(name)
	if err != nil {
		return 0, err
	}
	defer nc.Close()
	return raw.Run(ctx, dsn, nc, raw.Work{Tasks: b.noop, Creators: taskCreators, Workers: taskWorkers, Workspaces: taskWorkspaces, Conns: taskConns})
}

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
