package reconciler_test

import (
	"testing"
	"time"

	"gantry.example/internal/bus"
	"gantry.example/internal/bus/broker"
	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
	"gantry.example/services/servicestest"
)

// TestLeaseOfAPool: a pool's own lease is what its runners hold, and a lost one is noticed after it, not after the server's.
func TestLeaseOfAPool(t *testing.T) {
	t.Parallel()
	const ttl = 5 * time.Second // the shortest of a pool; the server's is 1 s in tests
	w := servicestest.New(t)
	seconds := int(ttl / time.Second)
	pool, err := w.DB.CreatePool(t.Context(), "default", postgres.PoolChange{Name: new("slow"), LeaseTTLSeconds: &seconds})
	if err != nil {
		t.Fatal(err)
	}
	doc := messages.Execution{Mode: messages.ModeAgent, AgentPool: messages.Ref(pool.ID)}
	if _, err := w.DB.UpdateWorkspace(t.Context(), w.Workspace.ID, postgres.WorkspaceChange{Execution: &doc}); err != nil {
		t.Fatal(err)
	}
	if err := w.Bus.EnsureLeases(t.Context(), pool.ID, 1); err != nil {
		t.Fatal(err)
	}
	r := w.NewRun(run.Options{})
	claim, _ := w.Begin(r.ID)
	in := claim.Inputs
	if in.LeaseTTLSeconds != seconds {
		t.Fatalf("the attempt's lease: got %d s, want %d", in.LeaseTTLSeconds, seconds)
	}
	runner, nc := w.NATS.As(t, broker.Identity{
		Kind: broker.KindRunner, Name: in.AttemptID, Pool: pool.ID, WorkspaceID: in.WorkspaceID, RunID: in.RunID, Key: in.Key(),
	})
	lease, err := runner.AcquireLease(t.Context(), bus.LeaseConfig{Pool: pool.ID, Key: in.Key(), TTL: ttl, Value: messages.Lease{
		V: messages.Version, AttemptID: in.AttemptID, RunID: in.RunID, Epoch: in.Epoch, Nonce: "n",
	}})
	if err != nil {
		t.Fatal(err)
	}
	start(w, hasty())
	died := time.Now()
	nc.Close() // nothing is released: its host is dead
	w.Until(r.ID, "queued again", func(r run.Run) bool { return r.Plan.State == run.TaskQueued && r.Plan.Retries == 1 })
	// The reconciler looks at it for 5 s more.
	if took := time.Since(died); took < ttl*2/3+5*time.Second {
		t.Errorf("lost contact was noticed after %s, when the lease of %s had hardly ended", took, ttl)
	}
	_ = lease.Release(t.Context()) // ends its renewal
}
