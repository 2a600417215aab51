package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"gantry.example/client"
	"gantry.example/internal/bus"
	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/workers/executor"
	"gantry.example/workers/queue"
)

// noop is a worker whose runners execute nothing: an attempt is claimed, started and ended over HTTP, and tells of a stage and
// of its end over NATS, as a runner's does. Left out is what a runner has for terraform's sake: a connection to NATS of its own
// with a lease and a log, inputs and a plan. It is an executor of the real worker.
type noop struct {
	bus     *bus.Bus
	address string
	begun   func(runID string) // an attempt was claimed
	ended   func(error)        // and its result is stored, or not
	exits   chan executor.Exit
	mu      sync.Mutex
	running map[string]bool
	stop    func()
}

// startNoop starts a worker of the local pool with so many slots.
func (s *server) startNoop(ctx context.Context, slots int, begun func(string), ended func(error)) (*noop, error) {
	token, err := os.ReadFile(filepath.Join(s.data, "worker-token"))
	if err != nil {
		return nil, err
	}
	const name = "bench-noop"
	secret := strings.TrimSpace(string(token))
	log := slog.New(slog.DiscardHandler)
	nc, err := bus.Connect(bus.ConnectConfig{URL: "nats://" + s.nats, Token: secret, Name: name, Log: log})
	if err != nil {
		return nil, err
	}
	n := &noop{address: s.client.Address(), begun: begun, ended: ended, exits: make(chan executor.Exit, 2*slots), running: map[string]bool{}}
	if n.bus, err = bus.New(nc); err != nil {
		nc.Close()
		return nil, err
	}
	transport, err := client.NewTransport(client.Config{Address: n.address, Token: secret, Budget: 2 * time.Second})
	if err != nil {
		nc.Close()
		return nil, err
	}
	w, err := queue.New(queue.Config{
		Name: name, Pool: messages.LocalPool, Slots: slots, Tasks: n.bus.TaskQueue(messages.LocalPool, nil, log),
		Claims: client.NewPool(transport), Executor: n, Events: n.bus, Log: log,
	})
	if err != nil {
		nc.Close()
		return nil, err
	}
	working, stop := context.WithCancel(ctx)
	over := make(chan struct{})
	go func() {
		defer close(over)
		if err := w.Run(working); err != nil {
			ended(err)
		}
	}()
	n.stop = func() {
		stop()
		<-over
		nc.Close()
		transport.Close()
	}
	return n, nil
}

// StartPlan implements executor.Executor.
func (n *noop) StartPlan(ctx context.Context, a executor.Attempt) error {
	n.mu.Lock()
	known := n.running[a.AttemptID]
	n.running[a.AttemptID] = true
	n.mu.Unlock()
	if !known {
		n.begun(a.Inputs.RunID)
		go n.carryOut(context.WithoutCancel(ctx), a)
	}
	return nil
}

// StartApply implements executor.Executor; a plan without changes has no apply.
func (n *noop) StartApply(ctx context.Context, a executor.Attempt) error { return n.StartPlan(ctx, a) }

func (n *noop) carryOut(ctx context.Context, a executor.Attempt) {
	err := n.attempt(ctx, a)
	n.mu.Lock()
	delete(n.running, a.AttemptID)
	n.mu.Unlock()
	n.exits <- executor.Exit{Ref: a.Ref(), Code: executor.CodeDelivered}
	n.ended(err)
}

func (n *noop) attempt(ctx context.Context, a executor.Attempt) error {
	transport, err := client.NewTransport(client.Config{Address: n.address, Token: a.Token, Budget: 30 * time.Second})
	if err != nil {
		return err
	}
	defer transport.Close()
	api := client.NewAttempt(transport, a.AttemptID, func(bool) {})
	if _, err := api.Start(ctx, wire.StartRequest{V: messages.Version, Nonce: a.AttemptID, Base: a.Inputs.Base}); err != nil {
		return err
	}
	in := a.Inputs
	event := messages.Event{
		V: messages.Version, Type: messages.EventProgress, AttemptID: a.AttemptID, RunID: in.RunID, WorkspaceID: in.WorkspaceID,
		Source: "runner", Seq: 1, At: time.Now().UTC(), Stage: messages.StagePlan,
	}
	if err := n.bus.PublishEvent(ctx, in.Pool, event); err != nil {
		return err
	}
	if _, err := api.Result(ctx, wire.Result{V: messages.Version, Outcome: wire.OutcomeSucceeded}); err != nil {
		return err
	}
	event.Type, event.Stage, event.Seq = messages.EventFinished, "", 2
	return n.bus.PublishEvent(ctx, in.Pool, event)
}

// Status implements executor.Executor.
func (n *noop) Status(_ context.Context, attemptID string) (executor.Status, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.running[attemptID] {
		return executor.Status{State: executor.Running}, nil
	}
	return executor.Status{State: executor.Exited}, nil
}

// Cancel implements executor.Executor.
func (n *noop) Cancel(context.Context, string, bool) error { return nil }

// Running implements executor.Watcher.
func (n *noop) Running(context.Context) ([]executor.Ref, error) { return nil, nil }

// Watch implements executor.Watcher.
func (n *noop) Watch(ctx context.Context, handle func(context.Context, executor.Exit) error) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case x := <-n.exits:
			if err := handle(ctx, x); err != nil {
				return err
			}
		}
	}
}

var _ queue.Executor = (*noop)(nil)
