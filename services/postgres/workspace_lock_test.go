package postgres_test

import (
	"strings"
	"sync"
	"testing"

	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

func TestAManualLockStopsTheNextRunAndOutlivesThisOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	ws := w.workspace("net")
	r1 := w.newRun(ws, run.Options{})
	locked, err := w.LockWorkspace(ctx, ws.ID, "ada", "freeze")
	w.ok(err)
	if !locked.Locked || locked.LockedBy != "ada" || locked.LockReason != "freeze" {
		t.Errorf("got %+v, want it locked by ada for a freeze", locked)
	}
	r2 := w.newRun(ws, run.Options{})
	_, a := w.applying(r1.ID)
	w.result(a, applyResult())
	w.status(r1.ID, run.Applied)
	w.ok(w.FreeGates(ctx))
	w.status(r2.ID, run.Pending)
	if now, err := w.Workspace(ctx, ws.ID); err != nil || !now.Locked {
		t.Errorf("after the run: got locked %t (%v), want the lock of ada", now.Locked, err)
	}

	w.drain()
	unlocked, err := w.UnlockWorkspace(ctx, ws.ID, "ada", false)
	w.ok(err)
	w.status(r2.ID, run.PlanQueued)
	if unlocked.Locked || unlocked.LockedBy != "" || unlocked.LockReason != "" || unlocked.GateRunID == nil || *unlocked.GateRunID != r2.ID {
		t.Errorf("got %+v, want it unlocked, with its gate held by %s", unlocked, r2.ID)
	}
	if got := w.drain(); len(got) != 1 || got[0] != "task plan "+r2.ID {
		t.Errorf("outbox: got %v, want the task of the next run", got)
	}
}

func TestWhoMayLockAndUnlock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	ws := w.workspace("net")
	says := func(step string, err error, code messages.Code, words string) {
		t.Helper()
		if got := codeOf(err); got != code || (err != nil && !strings.Contains(err.Error(), words)) {
			t.Errorf("%s: got %v with code %q, want code %q and the words %q", step, err, got, code, words)
		}
	}
	unlock := func(by string, force bool) error {
		_, err := w.UnlockWorkspace(ctx, ws.ID, by, force)
		return err
	}
	lock := func(by string) error {
		_, err := w.LockWorkspace(ctx, ws.ID, by, "why not")
		return err
	}
	says("unlock of none", unlock("ada", false), messages.CodeConflict, "unlocked")
	says("lock", lock("ada"), "", "")
	says("lock again", lock("ada"), messages.CodeWorkspaceLocked, `User ada ("why not")`)
	says("lock by another", lock("bob"), messages.CodeWorkspaceLocked, "User ada")
	says("unlock by another", unlock("bob", false), messages.CodeWorkspaceLocked, "is locked by User ada")
	says("forced by another", unlock("bob", true), "", "")
	says("forced again", unlock("bob", true), messages.CodeConflict, "unlocked")
	r := w.newRun(ws, run.Options{})
	says("unlock of a run's", unlock("ada", false), messages.CodeWorkspaceLocked, "is locked by Run "+r.ID)
	says("forced of a run's", unlock("ada", true), messages.CodeWorkspaceLocked, "is locked by Run "+r.ID)
	w.status(r.ID, run.PlanQueued)
	_, err := w.LockWorkspace(ctx, "ws-none", "ada", "")
	says("no such workspace", err, messages.CodeNotFound, "ws-none")
}

// TestChangesOfOneDocumentKeepEachOther: both read the document under the row lock.
func TestChangesOfOneDocumentKeepEachOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	ws := w.workspace("net")
	set := func(edit func(*messages.Execution)) {
		_, err := w.UpdateWorkspace(ctx, ws.ID, postgres.WorkspaceChange{Revise: func(now postgres.Workspace) (messages.Execution, error) {
			e, err := messages.ParseExecution(now.Execution)
			edit(&e)
			return e, err
		}})
		if err != nil {
			t.Error(err)
		}
	}
	for range 10 {
		set(func(e *messages.Execution) { *e = messages.Execution{} })
		var wg sync.WaitGroup
		wg.Go(func() { set(func(e *messages.Execution) { e.Workdir = "x" }) })
		wg.Go(func() { set(func(e *messages.Execution) { e.TerraformVersion = "1.11.4" }) })
		wg.Wait()
		now, err := w.Workspace(ctx, ws.ID)
		w.ok(err)
		if e, err := messages.ParseExecution(now.Execution); err != nil || e.Workdir != "x" || e.TerraformVersion != "1.11.4" {
			t.Fatalf("got %s (%v), want both changes", now.Execution, err)
		}
	}
}
