package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"gantry.example/client"
	"gantry.example/messages"
	"gantry.example/test/bench/figures"
)

const (
	labelSets  = 50
	offered    = 10 // label sets that each agent can take tasks of
	idleFor    = 20 * time.Second
	paced      = 200 // tasks whose dispatch is measured
	pace       = 20  // of them a second at most, and one for four agents
	setupLimit = 3 * time.Minute
	drainLimit = 6 * time.Minute
	taskLasts  = time.Second
)

// scale measures a server with more and more agents.
func (f *fleet) scale(ctx context.Context) error {
	curve := figures.Table{
		Title: "One server and many agents",
		Note: fmt.Sprintf("A server with default settings and its private Postgres, on the same cores as the agents. Every agent has one slot, a NATS connection admitted by the auth callout and an HTTP connection of its own, and offers what %d of %d label sets require. "+
			"Idle is the processor time of server and Postgres over %s without a task; memory is the server's resident set (with NATS in it) against before the first agent. Dispatch is from a task's queuing in Postgres until an agent has claimed it, with at most %d plan-only runs a second over all sets (one for four agents), each of which lasts a second, least_busy.", offered, labelSets, idleFor, pace),
		Header: []string{"agents", "connected in s", "idle: server % of a core", "Postgres %", "memory per agent KiB", "dispatch p50 ms", "p99 ms", "max ms"},
	}
	for i, n := range f.scales {
		f.say("%d agents", n)
		backlog := 0
		if i == len(f.scales)-1 {
			backlog = f.backlog
		}
		row, err := f.scaleOf(ctx, n, backlog)
		if err != nil {
			return fmt.Errorf("%d agents: %w", n, err)
		}
		curve.Rows = append(curve.Rows, row)
	}
	f.tables = append(f.tables, figures.Table{}) // kept in order: the curve comes before the backlog
	last := len(f.tables) - 1
	if f.backlog > 0 {
		f.tables[last], f.tables[last-1] = f.tables[last-1], curve
	} else {
		f.tables[last] = curve
	}
	return nil
}

func (f *fleet) scaleOf(ctx context.Context, n, backlog int) (row []string, err error) {
	s, err := f.startServer(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	p, err := s.newPark(ctx)
	if err != nil {
		return nil, err
	}
	defer p.close()
	if backlog > 0 {
		f.say("queuing %d tasks", backlog)
		if err := p.queue(ctx, backlog); err != nil {
			return nil, err
		}
	}
	before, err := s.memory()
	if err != nil {
		return nil, err
	}
	connected, err := p.connect(ctx, n)
	if err != nil {
		return nil, err
	}
	if backlog > 0 {
		if err := f.drain(ctx, p, n, backlog); err != nil {
			return nil, err
		}
	}
	if err := pause(ctx, 5*time.Second); err != nil { // what the start left to do is done
		return nil, err
	}
	server, postgres, err := s.idle(ctx, idleFor)
	if err != nil {
		return nil, err
	}
	after, err := s.memory()
	if err != nil {
		return nil, err
	}
	p.reset()
	if err := poisson(ctx, paced, max(1, min(pace, n/4)), func() error { return p.create(ctx, 1) }); err != nil {
		return nil, err
	}
	if err := p.settle(ctx, paced, time.Minute); err != nil {
		return nil, err
	}
	waits := p.waits()
	return []string{
		fmt.Sprint(n), fmt.Sprintf("%.1f", connected.Seconds()), fmt.Sprintf("%.1f", 100*server), fmt.Sprintf("%.1f", 100*postgres),
		fmt.Sprintf("%.0f", float64(after-before)/float64(n)/1024), fmt.Sprintf("%.1f", waits.Quantile(.5)), fmt.Sprintf("%.1f", waits.Quantile(.99)), fmt.Sprintf("%.1f", waits.Max()),
	}, nil
}

// drain watches a backlog being worked off, and that no label set is left behind.
func (f *fleet) drain(ctx context.Context, p *park, n, backlog int) error {
	err := p.settle(ctx, backlog, drainLimit)
	took := time.Since(p.since)
	t := figures.Table{
		Title:  fmt.Sprintf("%d queued tasks over %d label sets, %d agents", backlog, labelSets, n),
		Note:   fmt.Sprintf("All were queued before the first agent connected; each lasts %s. A set is starved if its last task is taken much later than that of the others, or if it gets nothing for long while it waits.", taskLasts),
		Header: []string{"tasks taken", "lost", "seconds", "tasks/s", "last task of a set, first set s", "last set s", "longest without a task of a waiting set s"},
	}
	first, last, gap, taken := p.fairness(p.since)
	t.Rows = [][]string{{fmt.Sprint(taken), fmt.Sprint(backlog - taken), fmt.Sprintf("%.0f", took.Seconds()), fmt.Sprintf("%.0f", float64(taken)/took.Seconds()),
		fmt.Sprintf("%.0f", first.Seconds()), fmt.Sprintf("%.0f", last.Seconds()), fmt.Sprintf("%.1f", gap.Seconds())}}
	f.tables = append(f.tables, t)
	return err
}

// park is a pool with its workspaces and agents.
type park struct {
	s          *server
	pool       string
	token      string
	workspaces []string      // one for each label set
	slots      int           // of each agent
	offers     int           // label sets that each agent can take tasks of
	held       chan struct{} // if set, what is claimed is not begun, and dropped when this is closed
	since      time.Time     // when the first agent began to connect

	mu     sync.Mutex // guards the rest
	next   int
	agents []*member
	taken  map[string]claimed // by run
}

// claimed is a task that an agent took.
type claimed struct {
	set    string
	waited time.Duration
	at     time.Time
}

func setName(i int) string { return fmt.Sprintf("set-%02d", i%labelSets) }

func (s *server) newPark(ctx context.Context) (*park, error) {
	ctx, cancel := context.WithTimeout(ctx, setupLimit)
	defer cancel()
	name := "park"
	pool, err := s.client.CreateAgentPool(ctx, "default", client.AgentPoolChange{Name: &name})
	if err != nil {
		return nil, err
	}
	token, err := s.client.CreateAgentPoolToken(ctx, pool.ID, "fleet", 0)
	if err != nil {
		return nil, err
	}
	p := &park{s: s, pool: pool.ID, token: token.Secret, slots: 1, offers: offered, taken: map[string]claimed{}}
	for i := range labelSets {
		w, err := s.client.CreateWorkspace(ctx, "default", setName(i))
		if err != nil {
			return nil, err
		}
		cv, err := s.client.CreateConfigurationVersion(ctx, w.ID, false)
		if err != nil {
			return nil, err
		}
		archive := emptyArchive()
		if err := s.client.Upload(ctx, cv.UploadURL, bytes.NewReader(archive), int64(len(archive))); err != nil {
			return nil, err
		}
		doc := messages.Execution{Mode: messages.ModeAgent, AgentPool: messages.Ref(pool.ID), Strategy: messages.LeastBusy, RequiredLabels: []string{setName(i)}}
		if _, err := s.client.PutExecution(ctx, w.ID, doc); err != nil {
			return nil, err
		}
		p.workspaces = append(p.workspaces, w.ID)
	}
	return p, nil
}

// create asks for runs, one set after the other.
func (p *park) create(ctx context.Context, n int) error {
	for range n {
		p.mu.Lock()
		w := p.workspaces[p.next%labelSets]
		p.next++
		p.mu.Unlock()
		if _, err := p.s.client.CreateRun(ctx, client.RunOptions{WorkspaceID: w, PlanOnly: true}); err != nil {
			return err
		}
	}
	return nil
}

// queue creates many runs by several clients at once.
func (p *park) queue(ctx context.Context, n int) error {
	const clients = 8
	errs := make(chan error, clients)
	for range clients {
		go func() { errs <- p.create(ctx, n/clients) }()
	}
	var err error
	for range clients {
		err = errors.Join(err, <-errs)
	}
	return errors.Join(err, p.create(ctx, n%clients))
}

// note is called when an agent has claimed a task.
func (p *park) note(runID, set string, waited time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken[runID] = claimed{set, waited, time.Now()}
}

func (p *park) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken = map[string]claimed{}
}

// settle waits until n tasks were taken.
func (p *park) settle(ctx context.Context, n int, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		p.mu.Lock()
		got := len(p.taken)
		p.mu.Unlock()
		if got >= n {
			return nil
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("%d of %d tasks were taken: %w", got, n, err)
		}
	}
}

func (p *park) waits() figures.Sample {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out figures.Sample
	for _, c := range p.taken {
		out = append(out, c.waited.Seconds()*1000)
	}
	return out
}

// fairness says when the first and the last of the sets had its last task taken, and the longest that one that waited got
// nothing.
func (p *park) fairness(start time.Time) (first, last, gap time.Duration, taken int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	of := map[string][]time.Time{}
	for _, c := range p.taken {
		of[c.set] = append(of[c.set], c.at)
	}
	for set := range maps.Keys(of) {
		times := of[set]
		slices.SortFunc(times, time.Time.Compare)
		before := start
		for _, at := range times {
			gap, before = max(gap, at.Sub(before)), at
		}
		end := before.Sub(start)
		last = max(last, end)
		if first == 0 || end < first {
			first = end
		}
	}
	return first, last, gap, len(p.taken)
}

// pause waits.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
