package placement_test

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"gantry.example/internal/bus"
	"gantry.example/internal/bus/broker"
	"gantry.example/internal/pgtest"
	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/placement"
	"gantry.example/services/postgres"
	"gantry.example/services/relay"
	"gantry.example/services/run"
	"gantry.example/services/servicestest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// world is an installation with a pool, whose tasks are relayed and placed.
type world struct {
	*servicestest.World
	t    *testing.T
	pool postgres.Pool
}

// newWorld has the placer run if placing.
func newWorld(t *testing.T, placing bool) *world {
	t.Helper()
	w := &world{World: servicestest.New(t), t: t}
	var err error
	w.pool, err = w.DB.CreatePool(t.Context(), "default", postgres.PoolChange{Name: new("aws")})
	w.ok(err)
	w.Start(w.Notifier.Run)
	w.relay(placing)
	return w
}

// relay starts a process of the relay role.
func (w *world) relay(placing bool) {
	p := placement.New(w.DB, w.Bus, w.Log)
	if placing {
		w.Start(p.Run)
	}
	w.Start(relay.New(w.DB, w.Bus, w.Notifier, p, 1, nil, w.Log).Run)
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// run creates a run, which needs nobody else's end, for an agent with the labels.
func (w *world) run(by messages.Strategy, labels ...string) run.Run {
	w.t.Helper()
	doc := messages.Execution{Mode: messages.ModeAgent, AgentPool: messages.Ref(w.pool.ID), Strategy: by, RequiredLabels: labels}
	_, err := w.DB.UpdateWorkspace(w.t.Context(), w.Workspace.ID, postgres.WorkspaceChange{Execution: &doc})
	w.ok(err)
	return w.NewRun(run.Options{PlanOnly: true})
}

// agent is an agent that takes tasks and keeps them until it is told to end them.
type agent struct {
	w     *world
	name  string
	queue *bus.AgentQueue
	slots int
	taken chan string
	stop  func()
	free  chan struct{}    // a token per free slot
	carry func(wire.Claim) // what is done with a task, if not kept; ends with done
	tasks sync.WaitGroup   // that are carried out

	mu   sync.Mutex
	busy int // guarded by mu
}

// agent connects an agent and makes sure that every placer knows of it.
func (w *world) agent(name string, slots int, labels ...string) *agent {
	w.t.Helper()
	return w.start(&agent{w: w, name: name, slots: slots, taken: make(chan string, 1000), free: make(chan struct{}, slots)}, labels...)
}

func (w *world) start(a *agent, labels ...string) *agent {
	w.t.Helper()
	name, slots := a.name, a.slots
	b, nc := w.NATS.As(w.t, broker.Identity{Kind: broker.KindWorker, Pool: w.pool.ID, Name: name})
	q, err := b.AgentQueue(bus.AgentQueueConfig{Pool: w.pool.ID, Name: name, Labels: labels, Slots: slots, Log: w.Log})
	w.ok(err)
	w.present(name, slots, labels...)
	a.queue = q
	for range slots {
		a.free <- struct{}{}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); a.work(ctx) }()
	a.stop = func() { cancel(); <-done; nc.Close() }
	w.t.Cleanup(a.stop)
	w.ok(nc.FlushTimeout(10 * time.Second))
	return a
}

func (w *world) present(name string, slots int, labels ...string) {
	w.t.Helper()
	_, err := w.DB.SawWorker(w.t.Context(), w.pool.ID, "127.0.0.1", wire.WorkerStatus{Name: name, Slots: slots, Labels: labels})
	w.ok(err)
}

func (a *agent) work(ctx context.Context) {
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
		a.occupy(1)
		claim, err := a.w.DB.Claim(ctx, a.w.pool.ID, wire.ClaimRequest{TaskID: d.Task.ID, Worker: a.name, Nonce: messages.NewID("n-")})
		if err != nil || d.Ack(ctx) != nil {
			a.done()
			continue
		}
		if a.carry != nil {
			a.tasks.Go(func() { a.carry(claim) })
			continue
		}
		a.taken <- d.Task.RunID
	}
}

// done ends one of the agent's tasks.
func (a *agent) done() {
	a.free <- struct{}{}
	a.occupy(-1)
}

func (a *agent) occupy(change int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.busy += change
	a.queue.Occupied(a.busy, true)
}

// took waits until one of the agents has taken the run, and returns its name.
func (w *world) took(r run.Run, agents ...*agent) *agent {
	w.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		for _, a := range agents {
			select {
			case got := <-a.taken:
				if got != r.ID {
					w.t.Fatalf("agent %s took run %s, want %s", a.name, got, r.ID)
				}
				return a
			case <-time.After(time.Millisecond):
			}
		}
	}
	w.t.Fatalf("nobody took run %s: %+v", r.ID, w.Get(r.ID).Plan)
	return nil
}
