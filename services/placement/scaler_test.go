package placement_test

import (
	"fmt"
	"testing"
	"time"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// most is how many agents the simulated scaling group may have.
const most = 50

// group is an autoscaling group: it gives the pool as many agents as the metric says, and drains those that are too many.
type group struct {
	w       *world
	agents  []*agent
	drained chan error
	ending  int
	made    int
}

func (g *group) wanted() int {
	g.w.t.Helper()
	b, err := g.w.DB.Backlog(g.w.t.Context())
	g.w.ok(err)
	for _, p := range b.Pools {
		if p.Pool == g.w.pool.ID {
			return min(p.Wanted, most)
		}
	}
	g.w.t.Fatal("the pool is not counted")
	return 0
}

func (g *group) scaleTo(n int) {
	for len(g.agents) < n {
		g.made++
		g.agents = append(g.agents, g.w.scaled(fmt.Sprintf("agent-%d", g.made)))
	}
	for len(g.agents) > n {
		a := g.agents[0]
		g.agents = g.agents[1:]
		g.ending++
		go func() { g.drained <- a.drain() }()
	}
}

// scaled starts an agent that carries out what it takes, and says so every time.
func (w *world) scaled(name string) *agent {
	a := &agent{w: w, name: name, slots: 1, free: make(chan struct{}, 1)}
	a.carry = func(c wire.Claim) {
		_ = a.says("")
		attempt, err := w.DB.AttemptByToken(w.t.Context(), c.Token)
		if err == nil {
			_, err = w.DB.Start(w.t.Context(), attempt, wire.StartRequest{Nonce: "runner", Base: c.Inputs.Base})
		}
		<-time.After(100 * time.Millisecond) // the task
		if err == nil {
			_, err = w.DB.PutResult(w.t.Context(), attempt, wire.Result{V: messages.Version, Outcome: wire.OutcomeSucceeded})
		}
		if err != nil {
			w.t.Errorf("agent %s: %v", name, err)
		}
		a.done()
		_ = a.says("")
	}
	return w.start(a)
}

func (a *agent) says(state wire.WorkerState) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, err := a.w.DB.SawWorker(a.w.t.Context(), a.w.pool.ID, "127.0.0.1", wire.WorkerStatus{Name: a.name, Slots: a.slots, Busy: a.busy, State: state})
	return err
}

// drain ends what the agent does and then the agent.
func (a *agent) drain() error {
	a.mu.Lock()
	a.queue.Occupied(a.busy, false)
	a.mu.Unlock()
	if err := a.says(wire.WorkerDraining); err != nil {
		return err
	}
	a.stop()
	a.tasks.Wait()
	return a.says(wire.WorkerExited)
}

// TestAnAutoscalerLosesNoRun scales a pool from no agent to fifty and back by the metric.
func TestAnAutoscalerLosesNoRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	g := &group{w: w, drained: make(chan error, 1000)}
	if got := g.wanted(); got != 0 {
		t.Errorf("wanted without a task: got %d, want 0", got)
	}
	var runs []run.Run
	for range most + 20 {
		runs = append(runs, w.run(messages.LeastBusy))
	}
	if got := g.wanted(); got != most {
		t.Fatalf("wanted for %d tasks: got %d, want %d", len(runs), got, most)
	}
	peak := 0
	deadline := time.Now().Add(time.Minute)
	for n := g.wanted(); n > 0; n = g.wanted() {
		g.scaleTo(n)
		peak = max(peak, len(g.agents))
		if time.Now().After(deadline) {
			t.Fatalf("%d agents are wanted still, of which there are %d", n, len(g.agents))
		}
	}
	g.scaleTo(0)
	for range g.ending {
		w.ok(<-g.drained)
	}
	if peak != most {
		t.Errorf("agents at most: got %d, want %d", peak, most)
	}
	for _, r := range runs {
		if got := w.Get(r.ID); got.Status != run.PlannedAndFinished || len(got.Plan.Attempts) != 1 {
			t.Errorf("run %s: got %s after %d attempts, want it finished at the first", r.ID, got.Status, len(got.Plan.Attempts))
		}
	}
	agents, _, err := w.DB.Agents(t.Context(), w.pool.ID, postgres.Page{Size: 100})
	w.ok(err)
	for _, a := range agents {
		if got := a.Status(time.Now()); got != postgres.AgentExited {
			t.Errorf("agent %s: got %s, want it gone", a.Name, got)
		}
	}
}
