package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"gantry.example/internal/bus"
	"gantry.example/messages"
	"gantry.example/test/bench/figures"
)

// delays measures how soon a task is taken, also where the agent that was chosen first is dead.
func (f *fleet) delays(ctx context.Context) error {
	f.say("publish → taken")
	raw, placed, err := f.beside(ctx)
	if err != nil {
		return err
	}
	row := func(name string, s figures.Sample) []string {
		return []string{name, fmt.Sprint(len(s)), fmt.Sprintf("%.2f", s.Quantile(.5)), fmt.Sprintf("%.2f", s.Quantile(.99)), fmt.Sprintf("%.2f", s.Max())}
	}
	rows := [][]string{row("raw JetStream", raw), row("placed, least_busy", placed)}
	for _, perSecond := range []int{slowRate, delayRate} {
		f.say("queued → claimed, %d a second", perSecond)
		claimed, rate, err := f.claims(ctx, perSecond)
		if err != nil {
			return err
		}
		rows = append(rows, row(fmt.Sprintf("queued → claimed, %d asked for, %.0f created a second", perSecond, rate), claimed))
	}
	f.tables = append(f.tables, figures.Table{
		Title: fmt.Sprintf("Publish → taken at %d tasks a second", delayRate),
		Note: "From before the publish until the message is with an agent, milliseconds; the two in turn, in one run, on the same server. Raw JetStream is one consumer on which every free slot of every agent waits, without any choice. Both flush every message to the disk. " +
			fmt.Sprintf("The rows below are the whole way, on a server of its own with %d agents: from the commit that queues a plan-only run, by outbox, relay and placement, until the agent has the answer to its claim, another commit. The runs are created meanwhile, by HTTP on the same cores, and none is begun.", agents),
		Header: []string{"", "tasks", "p50", "p99", "max"},
		Rows:   rows,
	})
	f.say("dead agents")
	gone, frozen, err := f.dead(ctx)
	if err != nil {
		return err
	}
	dead := func(name string, s figures.Sample) []string {
		return append(row(name, s), fmt.Sprintf("≤ %d ms", maxDeadCost.Milliseconds()), f.verdict(s.Max() <= float64(maxDeadCost.Milliseconds())))
	}
	f.tables = append(f.tables, figures.Table{
		Title:  "The first choice is dead",
		Note:   "From before the publish until another agent has the task, milliseconds; every time another agent has died just before.",
		Header: []string{"", "tasks", "p50", "p99", "max", "limit", "gate"},
		Rows:   [][]string{dead("its connection is closed", gone), dead("it is frozen, connected", frozen)},
	})
	return nil
}

// beside publishes tasks to armed pulls and to placed agents, in turn.
func (f *fleet) beside(ctx context.Context) (raw, placed figures.Sample, err error) {
	in, err := f.install(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer in.stop()
	labels := map[bool][]string{true: {"placed"}, false: {"raw"}}
	for _, set := range labels {
		if err := in.bus.EnsureTaskConsumer(ctx, messages.ModeAgent, in.pool, set); err != nil {
			return nil, nil, err
		}
	}
	var mu sync.Mutex
	note := func(to *figures.Sample, d *bus.Delivery) bool {
		w, ours := in.ledger.claim(d.Task.ID)
		if ours {
			mu.Lock()
			*to = append(*to, time.Since(w.at).Seconds()*1000)
			mu.Unlock()
		}
		return ours
	}
	service := time.Duration(busyAt * agents * slots / float64(delayRate) * float64(time.Second))
	for i := range agents {
		if _, err := in.agent(ctx, fmt.Sprintf("agent-%d", i), slots, labels[true],
			func(_ *agent, d *bus.Delivery) (time.Duration, bool) { return lasting(service), note(&placed, d) }); err != nil {
			return nil, nil, err
		}
	}
	armed, disarm := context.WithCancel(ctx)
	defer disarm()
	for range agents * slots {
		q := in.bus.TaskQueue(in.pool, labels[false], slog.New(slog.DiscardHandler))
		go func() {
			for {
				d, err := q.Next(armed)
				if err != nil {
					return
				}
				note(&raw, d)
				_ = d.Ack(armed) // as in agent.work
				_ = poisson(armed, 1, int(time.Second/service), func() error { return nil })
			}
		}()
	}
	for i := range 8 {
		set := labels[i%2 == 0]
		err := poisson(ctx, max(f.tasks/20, 50), delayRate, func() error { return in.publish(ctx, messages.LeastBusy, set) })
		if err != nil {
			return nil, nil, err
		}
	}
	for in.ledger.left() > 0 && ctx.Err() == nil {
		_ = poisson(ctx, 1, 100, func() error { return nil })
	}
	mu.Lock()
	defer mu.Unlock()
	return raw, placed, ctx.Err()
}

const (
	deaths    = 20
	delayRate = 200 // tasks a second
)

// dead has agents die that would be the first choice.
func (f *fleet) dead(ctx context.Context) (gone, frozen figures.Sample, err error) {
	in, err := f.install(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer in.stop()
	if err := in.bus.EnsureTaskConsumer(ctx, messages.ModeAgent, in.pool, nil); err != nil {
		return nil, nil, err
	}
	took := make(chan time.Time, 1)
	for i := range 2 {
		if _, err := in.agent(ctx, fmt.Sprintf("alive-%d", i), slots, []string{"a", "b"}, func(_ *agent, d *bus.Delivery) (time.Duration, bool) {
			w, ours := in.ledger.claim(d.Task.ID)
			if ours {
				took <- w.at
			}
			return 0, ours
		}); err != nil {
			return nil, nil, err
		}
	}
	for i := range 2 * deaths {
		victim, err := in.agent(ctx, fmt.Sprintf("victim-%d", i), slots, nil, nil)
		if err != nil {
			return nil, nil, err
		}
		_ = poisson(ctx, 1, 10, func() error { return nil }) // until the placer has heard of it
		to := &frozen
		if i%2 == 0 {
			to = &gone
			victim.stop()
		}
		if err := in.publish(ctx, messages.LabelMatch, nil); err != nil {
			return nil, nil, err
		}
		select {
		case at := <-took:
			*to = append(*to, time.Since(at).Seconds()*1000)
		case <-time.After(10 * time.Second):
			return nil, nil, errors.New("nobody took the task of a dead agent")
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
		victim.stop()
	}
	return gone, frozen, nil
}
