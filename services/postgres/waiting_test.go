package postgres_test

import (
	"strings"
	"testing"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// TestWhyARunWaits goes through the reasons in the order in which a run meets them.
func TestWhyARunWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	ws := w.workspace("net")
	expect := func(id string, reason run.WaitReason, says ...string) run.Waiting {
		t.Helper()
		r, err := w.Run(ctx, id)
		w.ok(err)
		got, err := w.Waiting(ctx, r)
		w.ok(err)
		if got.Reason != reason {
			t.Errorf("got %s (%s), want %s", got.Reason, got.Text, reason)
		}
		for _, words := range says {
			if !strings.Contains(got.Text, words) {
				t.Errorf("got %q, want it to say %q", got.Text, words)
			}
		}
		return got
	}
	worker := func(busy int, refusing string) {
		t.Helper()
		_, err := w.SawWorker(ctx, messages.LocalPool, "127.0.0.1", wire.WorkerStatus{Name: "local-host", Slots: 2, Busy: busy, Refusing: refusing})
		w.ok(err)
	}
	_, err := w.LockWorkspace(ctx, ws.ID, "ada", "maintenance until noon")
	w.ok(err)
	first := w.newRun(ws, run.Options{}).ID
	expect(first, run.WaitLocked, "Workspace acme/net is locked by ada (maintenance until noon)", "when the workspace is unlocked")
	_, err = w.UnlockWorkspace(ctx, ws.ID, "ada", false)
	w.ok(err)

	expect(first, run.WaitNoWorker, "No worker of pool local is connected")
	worker(0, "the disk of /data is 97 % full")
	expect(first, run.WaitWorkersRefuse, "local-host (the disk of /data is 97 % full)")
	worker(2, "")
	expect(first, run.WaitNoSlot, "2 of at most 2 tasks")
	worker(1, "")
	expect(first, run.WaitQueue, "The plan is queued")

	second, third := w.newRun(ws, run.Options{}).ID, w.newRun(ws, run.Options{}).ID
	got := expect(third, run.WaitBehindRun, "Behind run "+first+", which is plan queued", "1 other run comes first")
	if got.Behind != first || got.Ahead != 2 || got.Since == nil {
		t.Errorf("got %+v, want it behind %s, after 2 runs, since it was created", got, first)
	}
	beside := w.newRun(ws, run.Options{PlanOnly: true}).ID
	expect(beside, run.WaitQueue, "1 older task is queued")

	_, a := w.started(first)
	expect(first, "")
	w.result(a, wire.Result{V: 1, Outcome: wire.OutcomeSucceeded, HasChanges: true})
	expect(first, run.WaitApproval, "apply or discard it")
	expect(second, run.WaitBehindRun, "Behind run "+first+", which waits for approval.")
	_, err = w.Transition(ctx, first, run.Discard{}, postgres.Cause{Actor: "ada"})
	w.ok(err)
	expect(first, "")
}

// TestWhyARunWaitsForAnAgent goes through what a pool of agents may lack.
func TestWhyARunWaitsForAnAgent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	p, ws := w.pool("aws"), w.workspace("net")
	doc := messages.Execution{Mode: messages.ModeAgent, AgentPool: "aws", RequiredLabels: []string{"gpu", "linux"}}
	_, err := w.UpdateWorkspace(ctx, ws.ID, postgres.WorkspaceChange{Execution: &doc})
	w.ok(err)
	r := w.newRun(ws, run.Options{})
	expect := func(reason run.WaitReason, says string) {
		t.Helper()
		got, err := w.Waiting(ctx, r)
		w.ok(err)
		if got.Reason != reason || !strings.Contains(got.Text, says) {
			t.Errorf("got %s: %q, want %s: %q", got.Reason, got.Text, reason, says)
		}
	}
	agent := func(s wire.WorkerStatus) {
		t.Helper()
		s.Slots = 2
		_, err := w.SawWorker(ctx, p.ID, "192.0.2.7", s)
		w.ok(err)
	}
	expect(run.WaitNoWorker, "No agent of pool aws is connected.")
	agent(wire.WorkerStatus{Name: "agent-6"})
	agent(wire.WorkerStatus{Name: "agent-7", Labels: []string{"linux"}})
	expect(run.WaitNoLabels, "No agent in pool aws offers [gpu, linux]; closest: agent-7 lacks gpu.")
	able := wire.WorkerStatus{Name: "agent-8", Labels: []string{"gpu", "linux", "more"}, Busy: 2}
	agent(able)
	expect(run.WaitNoSlot, "pool aws carries out 2 of at most 2 tasks.")
	able.State = wire.WorkerDraining
	agent(able)
	expect(run.WaitWorkersRefuse, "Every agent of pool aws that could take it is draining")
	full := wire.WorkerStatus{Name: "agent-9", Labels: able.Labels, Refusing: "its disk is full"}
	agent(full)
	expect(run.WaitWorkersRefuse, "agent-9 (its disk is full)")
	full.Refusing = ""
	agent(full)
	expect(run.WaitQueue, "The plan is queued, waiting for a free agent of pool aws.")
}

// TestWhyARunWaitsForPods: what dispatchers carry out is bounded by max_pods, not by how many Pods they make at the same time.
func TestWhyARunWaitsForPods(t *testing.T) {
	t.Parallel()
	w, ctx := newK8sWorld(t), t.Context()
	c, ws := w.k8s("prod", postgres.K8sChange{PodTemplate: &messages.PodTemplate{Image: "terraform:1.11.4"}}), w.workspace("net")
	_, err := w.UpdateWorkspace(ctx, ws.ID, postgres.WorkspaceChange{Execution: &messages.Execution{Mode: messages.ModeK8s, K8sConfig: "prod"}})
	w.ok(err)
	r := w.newRun(ws, run.Options{})
	expect := func(reason run.WaitReason, says string) {
		t.Helper()
		got, err := w.Waiting(ctx, r)
		w.ok(err)
		if got.Reason != reason || !strings.Contains(got.Text, says) {
			t.Errorf("got %s: %q, want %s: %q", got.Reason, got.Text, reason, says)
		}
	}
	expect(run.WaitNoWorker, "No dispatcher of k8s config prod is connected.")
	for _, s := range []wire.WorkerStatus{
		{Name: "dispatcher-1", Slots: 16, Busy: 16},
		{Name: "dispatcher-1", Slots: 16, Refusing: "50 Pods are there, as many as k8s config prod allows at the same time (max_pods)"},
	} {
		_, err := w.SawWorker(ctx, c.ID, "192.0.2.7", s)
		w.ok(err)
		if s.Refusing == "" {
			expect(run.WaitNoSlot, "The dispatchers of k8s config prod are making 16 Pods at the same time")
		} else {
			expect(run.WaitWorkersRefuse, "(max_pods)")
		}
	}
}
