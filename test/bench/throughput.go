package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"gantry.example/client"
	"gantry.example/test/bench/figures"
)

// What is done at once. No two loops of the bare side share a folder.
const (
	runs        = 100
	workspaces  = 20
	concurrency = 5
)

// changing is a configuration of one resource that every run updates.
const changing = "resource \"terraform_data\" \"bench\" {\n  input = uuid()\n}\n"

// settle is between two rounds; longer than pause, because many runs leave more to be done.
const settle = 2 * time.Second

// throughput measures many runs at once on a server with that concurrency.
func (b *bench) throughput(ctx context.Context, s *server) error {
	t := figures.Throughput{Runs: runs, Workspaces: workspaces, Concurrency: concurrency}
	for i := range b.rounds {
		b.say("%d runs over %d workspaces, %d at a time: round %d of %d", runs, workspaces, concurrency, i+1, b.rounds)
		sides := []func() error{
			func() error { return b.bareRound(ctx, &t) },
			func() error { return s.round(ctx, fmt.Sprintf("round-%d", i), &t) },
		}
		for k := range sides {
			if err := rest(ctx, settle); err != nil {
				return err
			}
			if err := sides[(i+k)%2](); err != nil {
				return err
			}
		}
	}
	b.report.Throughput = t
	return nil
}

// perMinute is the throughput of one round.
func perMinute(took time.Duration) float64 { return runs / took.Minutes() }

// bareRound works the same runs off in as many loops as the server has places.
func (b *bench) bareRound(ctx context.Context, t *figures.Throughput) error {
	ctx, cancel := context.WithTimeout(ctx, onceLimit)
	defer cancel()
	dirs := make([]string, workspaces)
	for i := range dirs {
		var err error
		if dirs[i], err = b.newFolder(changing); err != nil {
			return err
		}
	}
	began := time.Now()
	loops, loopCtx := errgroup.WithContext(ctx)
	for loop := range concurrency {
		loops.Go(func() error {
			for range runs / workspaces {
				for i := loop; i < workspaces; i += concurrency {
					if _, err := b.bare(loopCtx, dirs[i]); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	if err := loops.Wait(); err != nil {
		return err
	}
	t.Bare = append(t.Bare, perMinute(time.Since(began)))
	var err error
	for _, dir := range dirs {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return err
}

// round creates all runs at once and waits until the last of every workspace is applied: those before it end first.
func (s *server) round(ctx context.Context, name string, t *figures.Throughput) error {
	ctx, cancel := context.WithTimeout(ctx, onceLimit)
	defer cancel()
	targets := make([]target, workspaces)
	for i := range targets {
		var err error
		if targets[i], err = s.newTarget(ctx, fmt.Sprintf("%s-%d", name, i), changing); err != nil {
			return err
		}
	}
	ids := make([]string, 0, runs)
	began := time.Now()
	for i := range runs {
		run, err := s.create(ctx, targets[i%workspaces])
		if err != nil {
			return err
		}
		ids = append(ids, run.ID)
	}
	last, lastCtx := errgroup.WithContext(ctx)
	for _, id := range ids[runs-workspaces:] {
		last.Go(func() error { return s.await(lastCtx, id) })
	}
	if err := last.Wait(); err != nil {
		return err
	}
	t.Gantry = append(t.Gantry, perMinute(time.Since(began)))
	if err := s.described(ctx, ids...); err != nil {
		return err
	}
	t.Described = append(t.Described, perMinute(time.Since(began)))
	return s.check(ctx, ids, t)
}

// check makes sure that every run was applied, and notes how long each took.
func (s *server) check(ctx context.Context, ids []string, t *figures.Throughput) error {
	for _, id := range ids {
		d, err := s.document(ctx, id)
		if err != nil {
			return err
		}
		if d.Status != client.Applied {
			return fmt.Errorf("run %s ended as %s, want applied", id, d.Status)
		}
		t.Waits = append(t.Waits, d.wholeLife().Seconds())
	}
	return nil
}
