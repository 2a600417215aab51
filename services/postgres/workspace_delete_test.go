package postgres_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// lived is a workspace whose first run was applied, with everything a run leaves behind.
func (w *world) lived(name string, state []byte) (postgres.Workspace, run.Run) {
	w.t.Helper()
	ws := w.workspace(name)
	r := w.newRun(ws, run.Options{})
	_, a := w.started(r.ID)
	w.ok(w.putPlan(a, postgres.BlobPlan, "plan"))
	w.ok(w.AppendLog(w.t.Context(), postgres.LogChunk{AttemptID: a.ID, Data: []byte("log")}))
	w.result(a, planResult())
	_, err := w.Transition(w.t.Context(), r.ID, run.Confirm{}, postgres.Cause{Actor: "ada"})
	w.ok(err)
	_, a = w.started(r.ID)
	_, err = w.PutState(w.t.Context(), a, postgres.InMemory(state))
	w.ok(err)
	w.result(a, applyResult())
	w.drain()
	return ws, w.get(r.ID)
}

func (w *world) rows() map[string]int {
	w.t.Helper()
	out := map[string]int{}
	for _, table := range []string{
		"workspaces", "configuration_versions", "runs", "tasks", "attempts", "attempt_tokens", "run_events", "run_variables", "blobs",
		"state_versions", "results", "logs", "log_chunks",
	} {
		out[table] = w.count(`SELECT count(*) FROM ` + table)
	}
	return out
}

func TestADeletedWorkspaceLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.lived("other", stateBody(1, "lin", "other"))
	want := w.rows()
	ws, _ := w.lived("net", stateBody(1, "lin", strings.Repeat("large", blobPart/4)))
	if n := w.count(`SELECT count(*) FROM blobs WHERE kind = 'state'`); n != 1 {
		t.Errorf("got %d blobs of states, want that of the large one", n)
	}
	w.ok(w.DeleteWorkspace(ctx, ws.ID, "ada", false))
	if diff := cmp.Diff(want, w.rows()); diff != "" {
		t.Errorf("rows (-before +after):\n%s", diff)
	}
	w.refused(w.DeleteWorkspace(ctx, ws.ID, "ada", false), messages.CodeNotFound)
	_, err := w.CreateConfigurationVersion(ctx, postgres.NewConfigurationVersion{WorkspaceID: ws.ID})
	w.refused(err, messages.CodeNotFound)
	w.ok(w.Refold(ctx))
	if diff := cmp.Diff(want, w.rows()); diff != "" {
		t.Errorf("rows after a refold (-before +after):\n%s", diff)
	}
}

func TestDeletingStopsPlanOnlyRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	ws := w.workspace("net")
	queued, started := w.newRun(ws, run.Options{PlanOnly: true}), w.newRun(ws, run.Options{PlanOnly: true})
	c, a := w.started(started.ID)
	w.drain()
	w.ok(w.DeleteWorkspace(ctx, ws.ID, "ada", false))
	got := map[string]int{}
	for _, row := range w.drain() {
		got[row]++
	}
	if got["delete plan "+queued.ID] != 1 || got["command "+started.ID] == 0 {
		t.Errorf("outbox: got %v, want the queued task's message taken back and the runner told", got)
	}
	_, err := w.AttemptByToken(ctx, c.Token)
	w.refused(err, messages.CodeUnauthorized)
	_, err = w.Claim(ctx, messages.LocalPool, claimRequest(queued.Plan.ID, "n"))
	w.refused(err, messages.CodeTaskGone)
	w.refused(w.put(a, planResult()), messages.CodeNotFound)
	w.ok(w.Project(ctx, []messages.Event{finishedEvent(a)})) // reports of runs that are gone are over
}

func TestWhatMayNotBeDeleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	resources := func(mode string) []byte {
		return fmt.Appendf(nil, `{"version":4,"serial":1,"lineage":"l","resources":[{"mode":%q,"type":"x","name":"y","instances":[{}]}]}`, mode)
	}
	ws, _ := w.lived("full", resources("managed"))
	w.refused(w.DeleteWorkspace(ctx, ws.ID, "ada", true), messages.CodeConflict)
	_, err := w.LockWorkspace(ctx, ws.ID, "ada", "")
	w.ok(err)
	w.refused(w.DeleteWorkspace(ctx, ws.ID, "ada", true), messages.CodeWorkspaceLocked)
	_, err = w.UnlockWorkspace(ctx, ws.ID, "ada", false)
	w.ok(err)
	r := w.newRun(ws, run.Options{})
	for _, safely := range []bool{true, false} {
		w.refused(w.DeleteWorkspace(ctx, ws.ID, "ada", safely), messages.CodeWorkspaceLocked)
	}
	w.cancel(r.ID)
	w.ok(w.DeleteWorkspace(ctx, ws.ID, "ada", false))

	ws, _ = w.lived("data", resources("data"))
	w.ok(w.DeleteWorkspace(ctx, ws.ID, "ada", true))
	w.ok(w.DeleteWorkspace(ctx, w.workspace("empty").ID, "ada", true))
}

// TestDeletingWhileOthersWrite: whoever comes too late is told that the thing is gone, and leaves nothing behind.
func TestDeletingWhileOthersWrite(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	want := w.rows()
	for range 5 {
		ws := w.workspace("net")
		r := w.newRun(ws, run.Options{PlanOnly: true})
		_, a := w.started(r.ID)
		cv, err := w.CreateConfigurationVersion(ctx, postgres.NewConfigurationVersion{WorkspaceID: ws.ID})
		w.ok(err)
		var wg sync.WaitGroup
		for _, do := range []func() error{
			func() error { return w.DeleteWorkspace(ctx, ws.ID, "ada", false) },
			func() error { return w.putPlan(a, postgres.BlobPlan, "plan") },
			func() error { return w.put(a, planResult()) },
			func() error { return w.Project(ctx, []messages.Event{finishedEvent(a)}) },
			func() error {
				_, err := w.UploadConfiguration(ctx, cv.ID, postgres.InMemory([]byte("late")))
				return err
			},
			func() error {
				_, err := w.CreateRun(ctx, postgres.NewRun{WorkspaceID: ws.ID, Options: run.Options{PlanOnly: true}})
				return err
			},
			func() error {
				_, err := w.CreateConfigurationVersion(ctx, postgres.NewConfigurationVersion{WorkspaceID: ws.ID})
				return err
			},
			func() error { _, err := w.Transition(ctx, r.ID, run.Cancel{}, postgres.Cause{}); return err },
		} {
			wg.Go(func() {
				if err := do(); err != nil && codeOf(err) == "" {
					t.Errorf("got %v, want an answer with a code", err)
				}
			})
		}
		wg.Wait()
		if diff := cmp.Diff(want, w.rows()); diff != "" {
			t.Fatalf("rows (-before +after):\n%s", diff)
		}
	}
}
