package postgres_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// TestTheWorkersAPoolWants: what a draining agent ends needs no other, and what waits needs as many as the tasks that each
// takes at a time say.
func TestTheWorkersAPoolWants(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p, ws := w.pool("aws"), w.workspace("net")
	doc := messages.Execution{Mode: messages.ModeAgent, AgentPool: "aws"}
	_, err := w.UpdateWorkspace(t.Context(), ws.ID, postgres.WorkspaceChange{Execution: &doc})
	w.ok(err)
	expect := func(what string, want postgres.PoolWorkers) {
		t.Helper()
		b, err := w.Backlog(t.Context())
		w.ok(err)
		want.Pool, want.Mode = p.ID, messages.ModeAgent
		for _, got := range b.Pools {
			if got.Pool == p.ID && got != want {
				t.Errorf("%s (-want +got):\n%s", what, cmp.Diff(want, got))
			}
		}
	}
	say := func(s wire.WorkerStatus) {
		t.Helper()
		_, err := w.SawWorker(t.Context(), p.ID, "192.0.2.7", s)
		w.ok(err)
	}
	expect("an unused pool", postgres.PoolWorkers{})
	var runs []run.Run
	for range 5 {
		runs = append(runs, w.newRun(ws, run.Options{PlanOnly: true}))
	}
	expect("before the first agent", postgres.PoolWorkers{Wanted: 5})
	say(wire.WorkerStatus{Name: "a", Slots: 2})
	expect("an agent with two slots", postgres.PoolWorkers{Taking: 1, Slots: 2, Free: 2, Wanted: 3})
	for _, r := range runs[:2] {
		_, err := w.Claim(t.Context(), p.ID, claimRequest(r.Plan.ID, "n"+r.ID))
		w.ok(err)
	}
	say(wire.WorkerStatus{Name: "a", Slots: 2, Busy: 2})
	expect("two of five run", postgres.PoolWorkers{Taking: 1, Slots: 2, Wanted: 3})
	say(wire.WorkerStatus{Name: "a", Slots: 2, Busy: 2, State: wire.WorkerDraining})
	say(wire.WorkerStatus{Name: "b", Slots: 3})
	say(wire.WorkerStatus{Name: "c", Slots: 3, Refusing: "its disk is full"})
	expect("those two are ended by an agent that drains", postgres.PoolWorkers{Taking: 1, Draining: 1, Refusing: 1, Slots: 3, Free: 3, Wanted: 1})
}
