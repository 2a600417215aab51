package postgres_test

import (
	"testing"

	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// TestAnAppliedRunBeginsOthers: each applied run of a source begins one run, once, whoever looks how often.
func TestAnAppliedRunBeginsOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	target, empty := w.workspace("target"), w.workspace("elsewhere")
	elsewhere := true
	_, err := w.UpdateWorkspace(ctx, empty.ID, postgres.WorkspaceChange{RunsElsewhere: &elsewhere})
	w.ok(err)
	w.cancel(w.newRun(target, run.Options{}).ID) // has a configuration now
	w.ok(w.NoteTriggers(ctx))
	source, _ := w.lived("source", stateBody(1, "lin", "a"))
	for _, ws := range []postgres.Workspace{target, empty} {
		_, err := w.CreateRunTrigger(ctx, ws.ID, source.ID)
		w.ok(err)
	}
	for range 3 {
		w.ok(w.NoteTriggers(ctx))
	}
	var made, refused int
	for {
		got, ok, err := w.BeginTriggered(ctx)
		w.ok(err)
		if !ok {
			break
		}
		switch {
		case got.WorkspaceID == empty.ID:
			w.refused(got.Refused, messages.CodeExecutionUnsupported)
			refused++
		default:
			w.ok(got.Refused)
			made++
			if got.Run.Source != "tfe-run-trigger" || got.Run.WorkspaceID != target.ID || got.Run.Options.AutoApply {
				t.Errorf("got run %+v, want one of the target that waits for approval", got.Run)
			}
		}
	}
	if made != 1 || refused != 1 {
		t.Errorf("got %d runs and %d refusals, want one of each", made, refused)
	}
	if n := w.count(`SELECT count(*) FROM runs WHERE workspace_id = '` + empty.ID + `'`); n != 0 {
		t.Errorf("got %d runs in the workspace that runs elsewhere, want none", n)
	}
}
