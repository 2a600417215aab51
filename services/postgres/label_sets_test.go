package postgres_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// TestUnusedLabelSetsAreForgotten: a set stays while a run of it is open, and for a day after its last task.
func TestUnusedLabelSetsAreForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	p := w.pool("aws")
	runs := map[string]run.Run{}
	for _, label := range []string{"open", "over", "recent"} {
		ws := w.workspace(label)
		doc := messages.Execution{Mode: messages.ModeAgent, AgentPool: "aws", RequiredLabels: []string{label, "linux"}}
		_, err := w.UpdateWorkspace(ctx, ws.ID, postgres.WorkspaceChange{Execution: &doc})
		w.ok(err)
		runs[label] = w.newRun(ws, run.Options{})
	}
	w.cancel(runs["over"].ID)
	w.cancel(runs["recent"].ID)
	sets := func() [][]string {
		t.Helper()
		got, err := w.LabelSets(ctx, p.ID)
		w.ok(err)
		return got
	}
	w.ok(w.ForgetLabelSets(ctx))
	if got := len(sets()); got != 3 {
		t.Fatalf("sets of today: got %d, want 3", got)
	}
	past := time.Now().Add(-25 * time.Hour)
	for query, args := range map[string][]any{
		`UPDATE pool_label_sets SET used_at = $1`:                                       {past},
		`UPDATE tasks SET queued_at = $1 WHERE labels <> 'linux,recent' AND $1 < now()`: {past},
	} {
		_, err := w.raw.ExecContext(ctx, query, args...)
		w.ok(err)
	}
	w.ok(w.ForgetLabelSets(ctx))
	if got, want := sets(), [][]string{{"linux", "open"}, {"linux", "recent"}}; !cmp.Equal(got, want) {
		t.Errorf("after a day: got %v, want %v", got, want)
	}
}
