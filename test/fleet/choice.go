package main

import (
	"context"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"gantry.example/internal/bus"
	"gantry.example/messages"
	"gantry.example/test/bench/figures"
)

const (
	agents = 10
	slots  = 5
	busyAt = 0.4 // the part of all slots that is in use on average
)

// The limits.
const (
	maxUneven   = 0.03 // round_robin: the agent with the most or the fewest tasks, against even
	maxSpread   = 0.6  // least_busy: mean standard deviation of the tasks that run
	minClosest  = 0.95 // label_match: part of the tasks that went to the closest fit
	maxDeadCost = 100 * time.Millisecond
)

// choices distributes tasks by every strategy.
func (f *fleet) choices(ctx context.Context) error {
	t := figures.Table{
		Title: fmt.Sprintf("%d tasks over %d agents with %d slots, %.0f %% of them in use", f.tasks, agents, slots, 100*busyAt),
		Note: fmt.Sprintf("Tasks come at random, %d a second on average (label_match: half as many, because it depends on which slots are free, and words of that travel), and last so long on average that the load is as said, exponentially distributed. Agent i offers i labels more than are required. "+
			"Spread is the standard deviation of the number of running tasks over the agents, its mean over time; closest says how often the task went to the agent that, of those with a free slot, offered the fewest labels; a slot that was freed less than %s before does not count, because the word of it travels.", f.rate, travel),
		Header: []string{"strategy", "tasks per agent", "min–max of even", "spread", "closest", "taken after p50 / p99 ms", "limit", "gate"},
	}
	for _, by := range []messages.Strategy{messages.RoundRobin, messages.LeastBusy, messages.Random, messages.LabelMatch} {
		f.say("%s", by)
		rate := f.rate
		if by == messages.LabelMatch {
			rate /= 2
		}
		row, err := f.choice(ctx, by, rate)
		if err != nil {
			return fmt.Errorf("%s: %w", by, err)
		}
		t.Rows = append(t.Rows, row)
	}
	f.tables = append(f.tables, t)
	return nil
}

func (f *fleet) choice(ctx context.Context, by messages.Strategy, rate int) ([]string, error) {
	service := time.Duration(busyAt * agents * slots / float64(rate) * float64(time.Second))
	in, err := f.install(ctx)
	if err != nil {
		return nil, err
	}
	defer in.stop()
	labels := []string{"base"}
	if err := in.bus.EnsureTaskConsumer(ctx, messages.ModeAgent, in.pool, labels); err != nil {
		return nil, err
	}
	var closest atomic.Int64
	delays := make(chan float64, f.tasks)
	took := func(a *agent, d *bus.Delivery) (time.Duration, bool) {
		w, ours := in.ledger.claim(d.Task.ID)
		if ours {
			delays <- time.Since(w.at).Seconds() * 1000
			if len(a.labels) <= w.fitted {
				closest.Add(1)
			}
		}
		return lasting(service), ours
	}
	fleet := make([]*agent, agents)
	offers := labels
	for i := range fleet {
		if fleet[i], err = in.agent(ctx, fmt.Sprintf("agent-%d", i), slots, offers, took); err != nil {
			return nil, err
		}
		offers = append(append([]string{}, offers...), fmt.Sprintf("extra-%d", i))
	}
	spread, stop := watchSpread(fleet)
	err = poisson(ctx, f.tasks, rate, func() error { return in.publish(ctx, by, labels) })
	stop()
	for err == nil && in.ledger.left() > 0 {
		err = poisson(ctx, 1, 100, func() error { return nil })
	}
	if err != nil {
		return nil, err
	}
	close(delays)
	return f.judge(by, fleet, <-spread, float64(closest.Load())/float64(f.tasks), delays), nil
}

// watchSpread measures how unevenly the agents are busy until it is stopped.
func watchSpread(fleet []*agent) (mean <-chan float64, stop func()) {
	out, done := make(chan float64, 1), make(chan struct{})
	go func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		sum, n := 0.0, 0
		for {
			select {
			case <-tick.C:
				sum += deviation(fleet)
				n++
			case <-done:
				out <- sum / float64(n)
				return
			}
		}
	}()
	return out, func() { close(done) }
}

func deviation(fleet []*agent) float64 {
	sum, squares := 0.0, 0.0
	for _, a := range fleet {
		b := float64(a.running())
		sum, squares = sum+b, squares+b*b
	}
	n := float64(len(fleet))
	return math.Sqrt(max(squares/n-sum/n*sum/n, 0))
}

func (f *fleet) judge(by messages.Strategy, fleet []*agent, spread, closest float64, delays <-chan float64) []string {
	var per, waited figures.Sample
	for _, a := range fleet {
		per = append(per, float64(a.total()))
	}
	for d := range delays {
		waited = append(waited, d)
	}
	even := float64(f.tasks) / float64(len(fleet))
	least, most := per.Min()/even-1, per.Max()/even-1
	limit, gate := "–", "–"
	switch by {
	case messages.RoundRobin:
		limit, gate = fmt.Sprintf("±%.0f %% of even", 100*maxUneven), f.verdict(-least <= maxUneven && most <= maxUneven)
	case messages.LeastBusy:
		limit, gate = fmt.Sprintf("spread ≤ %.1f", maxSpread), f.verdict(spread <= maxSpread)
	case messages.LabelMatch:
		limit, gate = fmt.Sprintf("closest ≥ %.0f %%", 100*minClosest), f.verdict(closest >= minClosest)
	}
	return []string{
		string(by), per.Show(0), fmt.Sprintf("%+.1f %% … %+.1f %%", 100*least, 100*most), fmt.Sprintf("%.2f", spread),
		fmt.Sprintf("%.1f %%", 100*closest), fmt.Sprintf("%.1f / %.1f", waited.Quantile(.5), waited.Quantile(.99)), limit, gate,
	}
}
