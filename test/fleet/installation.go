package main

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"time"

	"gantry.example/internal/bus"
	"gantry.example/internal/bus/broker"
	"gantry.example/messages"
	"gantry.example/services/placement"
)

// installation is NATS and a placer in this process, over a ledger in the place of Postgres.
type installation struct {
	pool   string
	nats   *broker.Server
	bus    *bus.Bus
	ledger *ledger
	placer *placement.Placer
	stop   func()
}

// anyName admits whoever gives a name for a token as a worker of the pool.
type anyName struct{ pool string }

// Authenticate implements broker.Authenticator.
func (a anyName) Authenticate(_ context.Context, token, _ string) (broker.Identity, error) {
	return broker.Identity{Kind: broker.KindWorker, Pool: a.pool, Name: token}, nil
}

// install starts an installation whose streams are flushed as in production.
func (f *fleet) install(ctx context.Context) (*installation, error) {
	dir, err := os.MkdirTemp(f.root, "nats-")
	if err != nil {
		return nil, err
	}
	in := &installation{pool: messages.NewID("apool-")}
	in.ledger = newLedger(in.pool)
	if in.nats, err = broker.Start(broker.Config{StoreDir: dir, Listen: "127.0.0.1:0"}); err != nil {
		return nil, err
	}
	callout, err := in.nats.ServeCallout(context.WithoutCancel(ctx), anyName{in.pool})
	if err != nil {
		return nil, err
	}
	nc, err := in.nats.Connect("fleet")
	if err != nil {
		return nil, err
	}
	if in.bus, err = bus.New(nc); err != nil {
		return nil, err
	}
	if err := in.bus.EnsureTasks(ctx, messages.ModeAgent, in.pool, 1); err != nil {
		return nil, err
	}
	in.placer = placement.New(in.ledger, in.bus, slog.New(slog.DiscardHandler))
	placing, cancel := context.WithCancel(ctx)
	var loop sync.WaitGroup
	loop.Go(func() { _ = in.placer.Run(placing) })
	in.stop = func() {
		in.ledger.mu.Lock()
		agents := in.ledger.agents
		in.ledger.mu.Unlock()
		for _, a := range agents {
			a.stop()
		}
		cancel()
		loop.Wait()
		nc.Close()
		callout.Close()
		in.nats.Shutdown()
	}
	return in, nil
}

// publish queues a task as the relay does, and has it placed.
func (in *installation) publish(ctx context.Context, by messages.Strategy, labels []string) error {
	t := messages.Task{
		V: messages.Version, ID: messages.NewID("task-"), RunID: messages.NewID("run-"), WorkspaceID: messages.NewID("ws-"),
		OrganizationID: messages.NewID("org-"), Phase: messages.PhasePlan, Mode: messages.ModeAgent, Pool: in.pool,
		Labels: labels, Strategy: by, QueuedAt: time.Now().UTC(),
	}
	in.ledger.add(t, time.Now())
	if err := in.bus.PublishTask(ctx, t, t.ID, nil); err != nil {
		return err
	}
	in.placer.Published(t)
	return nil
}

// poisson calls do n times, at random moments, perSecond times a second on average.
func poisson(ctx context.Context, n, perSecond int, do func() error) error {
	next := time.Now()
	for range n {
		next = next.Add(lasting(time.Second / time.Duration(perSecond)))
		timer := time.NewTimer(time.Until(next))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		if err := do(); err != nil {
			return err
		}
	}
	return nil
}
