package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// pool makes a pool of agents in the world's organization.
func (w *world) pool(name string) postgres.Pool {
	w.t.Helper()
	p, err := w.CreatePool(w.t.Context(), "acme", postgres.PoolChange{Name: &name})
	w.ok(err)
	return p
}

func TestAPoolIsNamedByIDNameOrNumber(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p, ws := w.pool("aws"), w.workspace("x")
	for _, ref := range []string{p.ID, "aws", "AWS", fmt.Sprint(p.Number)} {
		doc := messages.Execution{Mode: messages.ModeAgent, AgentPool: messages.Ref(ref), RequiredLabels: []string{"gpu", "aws", "gpu"}}
		changed, err := w.UpdateWorkspace(t.Context(), ws.ID, postgres.WorkspaceChange{Execution: &doc})
		w.ok(err)
		target, err := changed.Target()
		w.ok(err)
		if got, want := string(target.AgentPool), p.ID; got != want {
			t.Errorf("pool %q: got %q, want %q", ref, got, want)
		}
	}
	r := w.newRun(ws, run.Options{})
	if got, want := []any{r.Pool, r.Execution.RequiredLabels}, []any{p.ID, []string{"aws", "gpu"}}; !cmp.Equal(got, want) {
		t.Errorf("run: got %v, want %v", got, want)
	}
	w.refused(w.DeletePool(t.Context(), p.ID), messages.CodeConflict)
	_, err := w.CreatePool(t.Context(), "acme", postgres.PoolChange{Name: new("Aws")})
	w.refused(err, messages.CodeNameTaken)
	_, err = w.CreatePool(t.Context(), "acme", postgres.PoolChange{Name: new("7")})
	w.refused(err, messages.CodeInvalid)
}

// TestAPoolHasALeaseOfItsOwn: for its attempts, until it is given back to the server.
func TestAPoolHasALeaseOfItsOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p, ws := w.pool("far"), w.workspace("x")
	for _, bad := range []int{-1, 1, 4, 301} {
		_, err := w.UpdatePool(t.Context(), p.ID, postgres.PoolChange{LeaseTTLSeconds: &bad})
		w.refused(err, messages.CodeInvalid)
	}
	doc := messages.Execution{Mode: messages.ModeAgent, AgentPool: messages.Ref(p.ID)}
	_, err := w.UpdateWorkspace(t.Context(), ws.ID, postgres.WorkspaceChange{Execution: &doc})
	w.ok(err)
	theServers := int(postgres.DefaultTiming().LeaseTTL / time.Second)
	for _, c := range []struct{ set, want int }{{60, 60}, {0, theServers}} {
		changed, err := w.UpdatePool(t.Context(), p.ID, postgres.PoolChange{LeaseTTLSeconds: &c.set})
		w.ok(err)
		r := w.newRun(ws, run.Options{PlanOnly: true})
		claim, err := w.Claim(t.Context(), r.Pool, claimRequest(newest(r).ID, messages.NewID("nonce-")))
		w.ok(err)
		if got, want := []int{changed.LeaseTTLSeconds, claim.Inputs.LeaseTTLSeconds}, []int{c.set, c.want}; !cmp.Equal(got, want) {
			t.Errorf("pool and attempt: got %v, want %v", got, want)
		}
	}
	local := w.newRun(w.workspace("here"), run.Options{PlanOnly: true})
	if claim, _ := w.claimed(local.ID); claim.Inputs.LeaseTTLSeconds != theServers {
		t.Errorf("a local attempt: got %d s, want the server's %d", claim.Inputs.LeaseTTLSeconds, theServers)
	}
}

func TestAPoolIsForChosenWorkspaces(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, out := w.workspace("in").ID, w.workspace("out").ID
	_, err := w.CreatePool(t.Context(), "acme", postgres.PoolChange{Name: new("some"), OrganizationScoped: new(false), Workspaces: &[]string{in}})
	w.ok(err)
	doc := messages.Execution{Mode: messages.ModeAgent, AgentPool: "some"}
	_, err = w.UpdateWorkspace(t.Context(), in, postgres.WorkspaceChange{Execution: &doc})
	w.ok(err)
	if _, err = w.UpdateWorkspace(t.Context(), out, postgres.WorkspaceChange{Execution: &doc}); err == nil {
		t.Error("a workspace that was not chosen: got no error, want one")
	}
	_, err = w.CreateOrganization(t.Context(), "other")
	w.ok(err)
	if _, err = w.CreateWorkspace(t.Context(), postgres.NewWorkspace{Organization: "other", Name: "x", Execution: doc}); err == nil {
		t.Error("the pool of another organization: got no error, want one")
	}
}

func TestWhatAnAgentSaysAndIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p, ctx := w.pool("aws"), t.Context()
	say := func(s wire.WorkerStatus) wire.WorkerOrders {
		t.Helper()
		s.Name, s.Slots = "agent-7", 2
		orders, err := w.SawWorker(ctx, p.ID, "192.0.2.7", s)
		w.ok(err)
		return orders
	}
	agent := func() postgres.Agent {
		t.Helper()
		all, n, err := w.Agents(ctx, p.ID, postgres.Page{})
		w.ok(err)
		if n != 1 {
			t.Fatalf("agents: got %d, want 1", n)
		}
		return all[0]
	}
	say(wire.WorkerStatus{Instance: "a", Labels: []string{"aws"}, Runs: []string{"run-1"}, Busy: 1})
	a := agent()
	at := a.SeenAt
	for after, want := range map[time.Duration]postgres.AgentStatus{0: postgres.AgentBusy, time.Minute: postgres.AgentUnknown, time.Hour: postgres.AgentErrored} {
		if got := a.Status(at.Add(after)); got != want {
			t.Errorf("status after %s: got %s, want %s", after, got, want)
		}
	}
	w.refused(w.ForgetAgent(ctx, a.ID), messages.CodeConflict)
	_, err := w.DrainAgent(ctx, a.ID)
	w.ok(err)
	if got := say(wire.WorkerStatus{Instance: "a"}); !got.Drain {
		t.Error("an agent that is to drain: was not told")
	}
	if got := say(wire.WorkerStatus{Instance: "b", State: wire.WorkerExited}); got.Drain || got.Rival != "192.0.2.7" {
		t.Errorf("another process of the name: got %+v, want no drain and a rival", got)
	}
	if got := agent().Status(time.Now()); got != postgres.AgentDraining {
		t.Errorf("status after another process used the name: got %s, want that of the one it belongs to", got)
	}
	if got := say(wire.WorkerStatus{Instance: "b", After: "a"}); got.Drain || got.Rival != "" {
		t.Errorf("a process in the folder of the one before: got %+v, want no drain and no rival", got)
	}
	say(wire.WorkerStatus{Instance: "b", State: wire.WorkerExited})
	if got := say(wire.WorkerStatus{Instance: "c"}); got.Rival != "" {
		t.Errorf("a process after another ended: got %+v, want no rival", got)
	}
	say(wire.WorkerStatus{Instance: "c", State: wire.WorkerExited})
	w.ok(w.ForgetAgent(ctx, a.ID))
}
