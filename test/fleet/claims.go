package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"gantry.example/test/bench/figures"
)

// slowRate is a rate of tasks a second that a server creates, on any machine, without being busy all the time.
const slowRate = 40

// claims measures how soon queued tasks are claimed on a real server where so many are asked for a second. What is claimed is not
// begun: starts and results would be as much work again, which is measured by `make bench`. rate is what the server came to.
func (f *fleet) claims(ctx context.Context, perSecond int) (waits figures.Sample, rate float64, err error) {
	n := max(f.tasks/10, 100)
	s, err := f.startServer(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	p, err := s.newPark(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer p.close()
	p.slots, p.offers, p.held = n, labelSets, make(chan struct{})
	defer close(p.held)
	if _, err := p.connect(ctx, agents); err != nil {
		return nil, 0, err
	}
	began := time.Now()
	var creating errgroup.Group
	err = poisson(ctx, n, perSecond, func() error {
		creating.Go(func() error { return p.create(ctx, 1) })
		return nil
	})
	if err = errors.Join(err, creating.Wait()); err != nil {
		return nil, 0, fmt.Errorf("create: %w", err)
	}
	rate = float64(n) / time.Since(began).Seconds()
	if err := p.settle(ctx, n, time.Minute); err != nil {
		return nil, 0, err
	}
	return p.waits(), rate, nil
}
