package main

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"gantry.example/internal/bus"
)

// agent is a simulated agent: a real connection and queue, and tasks that only last.
type agent struct {
	name   string
	labels []string
	slots  int
	since  time.Time
	queue  *bus.AgentQueue
	free   chan struct{} // a token per free slot
	stop   func()

	mu    sync.Mutex // guards the rest
	busy  int
	took  int
	freed []time.Time // when slots were freed, lately
}

// agent starts an agent. took is called with each message and says how long the task lasts, or that it was somebody else's.
func (in *installation) agent(ctx context.Context, name string, slots int, labels []string, took func(*agent, *bus.Delivery) (time.Duration, bool)) (*agent, error) {
	nc, err := bus.Connect(bus.ConnectConfig{URL: in.nats.ClientURL(), Token: name, Name: name})
	if err != nil {
		return nil, err
	}
	b, err := bus.New(nc)
	if err != nil {
		return nil, err
	}
	a := &agent{name: name, labels: labels, slots: slots, since: time.Now(), free: make(chan struct{}, slots)}
	a.queue, err = b.AgentQueue(bus.AgentQueueConfig{Pool: in.pool, Name: name, Labels: labels, Slots: slots, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	for range slots {
		a.free <- struct{}{}
	}
	working, cancel := context.WithCancel(ctx)
	var loop sync.WaitGroup
	if took != nil {
		loop.Go(func() { a.work(working, took) })
	}
	a.stop = sync.OnceFunc(func() { cancel(); loop.Wait(); _ = a.queue.Close(); nc.Close() })
	in.ledger.mu.Lock()
	defer in.ledger.mu.Unlock()
	in.ledger.agents = append(in.ledger.agents, a)
	return a, nil
}

func (a *agent) work(ctx context.Context, took func(*agent, *bus.Delivery) (time.Duration, bool)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.free:
		}
		d, err := a.queue.Next(ctx)
		if err != nil {
			return
		}
		lasts, ours := took(a, d)
		if ours {
			a.occupy(1)
		}
		go func() { _ = d.Ack(context.WithoutCancel(ctx)) }() // what is not acknowledged comes again and is nobody's
		if !ours {
			a.free <- struct{}{}
			continue
		}
		time.AfterFunc(lasts, func() {
			a.occupy(-1)
			a.free <- struct{}{}
		})
	}
}

func (a *agent) occupy(change int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if change < 0 {
		a.freed = append(a.freed, time.Now())
	}
	a.busy += change
	a.took += max(change, 0)
	a.queue.Occupied(a.busy, true)
}

func (a *agent) running() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.busy
}

// freeSlots is how many slots have been free for a while.
func (a *agent) freeSlots(now time.Time, since time.Duration) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.freed = slices.DeleteFunc(a.freed, func(at time.Time) bool { return now.Sub(at) > since })
	return max(a.slots-a.busy-len(a.freed), 0)
}

func (a *agent) total() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.took
}

// lasting draws how long a task lasts.
func lasting(mean time.Duration) time.Duration {
	return time.Duration(rand.ExpFloat64() * float64(mean))
}
