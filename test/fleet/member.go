package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"gantry.example/client"
	"gantry.example/internal/bus"
	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/workers/executor"
	"gantry.example/workers/queue"
)

// member is an agent of a real server: all of an agent but what executes.
type member struct {
	worker *queue.Worker
	queue  *bus.AgentQueue
	stop   func()
}

// connect starts agents until there are n, and waits until the server has heard of all of them.
func (p *park) connect(ctx context.Context, n int) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, setupLimit)
	defer cancel()
	p.since = time.Now()
	var heard sync.WaitGroup
	for i := range n {
		heard.Add(1)
		m, err := p.member(i, sync.OnceFunc(heard.Done))
		if err != nil {
			return 0, err
		}
		p.agents = append(p.agents, m)
	}
	all := make(chan struct{})
	go func() { heard.Wait(); close(all) }()
	select {
	case <-all:
		return time.Since(p.since), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("not all agents came to work: %w", ctx.Err())
	}
}

func (p *park) close() {
	var wg sync.WaitGroup
	for _, m := range p.agents {
		wg.Go(m.stop)
	}
	wg.Wait()
}

// member starts the agent with a number. heard is called after each word that the server has heard of it.
func (p *park) member(i int, heard func()) (*member, error) {
	name, log := fmt.Sprintf("agent-%04d", i), slog.New(slog.DiscardHandler)
	var labels []string
	for k := range p.offers {
		labels = append(labels, setName(i*p.offers/2+k))
	}
	transport, err := client.NewTransport(client.Config{Address: p.s.address, Token: p.token, Budget: 10 * time.Second})
	if err != nil {
		return nil, err
	}
	nc, err := bus.Connect(bus.ConnectConfig{URL: p.s.nats, Token: p.token, Name: name})
	if err != nil {
		return nil, err
	}
	b, err := bus.New(nc)
	if err != nil {
		return nil, err
	}
	m := &member{}
	m.queue, err = b.AgentQueue(bus.AgentQueueConfig{Pool: p.pool, Name: name, Labels: labels, Slots: p.slots, Log: log})
	if err != nil {
		return nil, err
	}
	claims := client.NewPool(transport)
	work := &timed{Pool: claims, tasks: m.queue, park: p, queued: map[string]time.Time{}}
	m.worker, err = queue.New(queue.Config{
		Name: name, Pool: p.pool, Slots: p.slots, Labels: labels, Version: "fleet", Tasks: work, Claims: work, Events: b, Log: log,
		Executor: &nothing{park: p, exits: executor.NewBacklog(), running: map[string]executor.Ref{}}, Occupied: m.queue.Occupied,
		Ordered: func(o wire.WorkerOrders) { m.queue.Offer(o.LabelSets); heard() },
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var loops sync.WaitGroup
	loops.Go(func() { _ = m.worker.Run(ctx) })
	loops.Go(func() { m.worker.Announce(ctx, claims) })
	m.stop = func() { cancel(); loops.Wait(); _ = m.queue.Close(); nc.Close(); transport.Close() }
	return m, nil
}

// timed notes how long the tasks that are claimed have waited. It is an agent's queue and claims.
type timed struct {
	*client.Pool
	tasks *bus.AgentQueue
	park  *park

	mu     sync.Mutex // guards queued
	queued map[string]time.Time
}

// Next implements queue.Tasks.
func (t *timed) Next(ctx context.Context) (*bus.Delivery, error) {
	d, err := t.tasks.Next(ctx)
	if err == nil {
		t.mu.Lock()
		t.queued[d.Task.ID] = d.Task.QueuedAt
		t.mu.Unlock()
	}
	return d, err
}

// Claim implements queue.Claimer.
func (t *timed) Claim(ctx context.Context, req wire.ClaimRequest) (wire.Claim, error) {
	c, err := t.Pool.Claim(ctx, req)
	t.mu.Lock()
	at := t.queued[req.TaskID]
	delete(t.queued, req.TaskID)
	t.mu.Unlock()
	if err == nil {
		t.park.note(c.Inputs.RunID, c.Inputs.WorkspaceName, time.Since(at))
	}
	return c, err
}

// nothing is an executor whose runners start, last for a while and hand in a plan without changes.
type nothing struct {
	park  *park
	exits *executor.Backlog

	mu      sync.Mutex // guards running
	running map[string]executor.Ref
}

var errNoApply = errors.New("nothing is applied here")

// StartPlan implements executor.Executor, as do the other methods.
func (n *nothing) StartPlan(_ context.Context, a executor.Attempt) error {
	n.mu.Lock()
	n.running[a.AttemptID] = a.Ref()
	n.mu.Unlock()
	go n.carryOut(a)
	return nil
}

func (n *nothing) carryOut(a executor.Attempt) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	code := executor.CodeUnknown
	if n.park.held != nil {
		<-n.park.held
		return
	}
	transport, err := client.NewTransport(client.Config{Address: n.park.s.address, Token: a.Token, Budget: 20 * time.Second})
	if err == nil {
		defer transport.Close()
		attempt := client.NewAttempt(transport, a.AttemptID, nil)
		if _, err = attempt.Start(ctx, wire.StartRequest{V: messages.Version, Nonce: a.AttemptID, Base: a.Inputs.Base}); err == nil {
			_ = pause(ctx, taskLasts)
			if _, err = attempt.Result(ctx, wire.Result{V: messages.Version, Outcome: wire.OutcomeSucceeded}); err == nil {
				code = executor.CodeDelivered
			}
		}
	}
	n.mu.Lock()
	delete(n.running, a.AttemptID)
	n.mu.Unlock()
	n.exits.Add(executor.Exit{Ref: a.Ref(), Code: code})
}

func (n *nothing) StartApply(context.Context, executor.Attempt) error { return errNoApply }

func (n *nothing) Status(_ context.Context, id string) (executor.Status, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, ok := n.running[id]; ok {
		return executor.Status{State: executor.Running}, nil
	}
	return executor.Status{State: executor.Exited}, nil
}

func (n *nothing) Cancel(context.Context, string, bool) error { return nil }

func (n *nothing) Running(context.Context) ([]executor.Ref, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []executor.Ref
	for _, r := range n.running {
		out = append(out, r)
	}
	return out, nil
}

func (n *nothing) Watch(ctx context.Context, handle func(context.Context, executor.Exit) error) error {
	return n.exits.Watch(ctx, handle)
}

// emptyArchive is a configuration with nothing in it.
func emptyArchive() []byte {
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	archive := tar.NewWriter(zip)
	_ = archive.WriteHeader(&tar.Header{Name: "main.tf", Mode: 0o600}) // into memory
	_ = archive.Close()
	_ = zip.Close()
	return b.Bytes()
}
