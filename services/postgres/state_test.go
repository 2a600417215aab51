package postgres_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

func stateBody(serial int64, lineage, note string) []byte {
	return fmt.Appendf(nil, `{"version":4,"terraform_version":"1.11.4","serial":%d,"lineage":%q,"outputs":{"note":%q}}`, serial, lineage, note)
}

func (w *world) current(ws postgres.Workspace) string {
	w.t.Helper()
	sv, err := w.CurrentStateVersion(w.t.Context(), ws.ID)
	if codeOf(err) == messages.CodeNotFound {
		return ""
	}
	w.ok(err)
	body, err := w.StateBody(w.t.Context(), sv.ID)
	w.ok(err)
	return string(body)
}

func TestStateWrites(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ws := w.workspace("net")
	_, a := w.applying(w.newRun(ws, run.Options{}).ID)
	for _, step := range []struct {
		name string
		body []byte
		want messages.Code // "" means taken
		now  []byte        // the current state afterwards
	}{
		{"no state", []byte(`{"serial":1}`), messages.CodeInvalid, nil},
		{"not JSON", []byte(`{`), messages.CodeInvalid, nil},
		{"the first", stateBody(3, "lin", "a"), "", stateBody(3, "lin", "a")},
		{"the same again", stateBody(3, "lin", "a"), "", stateBody(3, "lin", "a")},
		{"another under the same serial", stateBody(3, "lin", "b"), messages.CodeStateConflict, stateBody(3, "lin", "a")},
		{"a lower serial", stateBody(2, "lin", "a"), messages.CodeStateConflict, stateBody(3, "lin", "a")},
		{"another lineage", stateBody(9, "other", "a"), messages.CodeStateConflict, stateBody(3, "lin", "a")},
		{"the next", stateBody(4, "lin", "c"), "", stateBody(4, "lin", "c")},
		{"one that skips serials", stateBody(8, "lin", "d"), "", stateBody(8, "lin", "d")},
	} {
		_, err := w.PutState(t.Context(), a, postgres.InMemory(step.body))
		if got := codeOf(err); got != step.want || (err != nil && got == "") {
			t.Errorf("%s: got %v with code %q, want code %q", step.name, err, got, step.want)
		}
		if diff := cmp.Diff(string(step.now), w.current(ws)); diff != "" {
			t.Errorf("%s: current state (-want +got):\n%s", step.name, diff)
		}
	}
	// What was refused is not thrown away: somebody may need it.
	for aside, want := range map[bool]int{false: 3, true: 3} {
		if got := w.count(`SELECT count(*) FROM state_versions WHERE superseded = $1`, aside); got != want {
			t.Errorf("state versions kept aside %v: got %d, want %d", aside, got, want)
		}
	}
}

func TestAStateOfAStaleEpochIsKeptAside(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ws := w.workspace("net")
	_, late := w.applying(w.newRun(ws, run.Options{}).ID)
	w.result(late, applyResult())
	_, now := w.applying(w.newRun(ws, run.Options{}).ID)
	_, err := w.PutState(t.Context(), now, postgres.InMemory(stateBody(1, "lin", "now")))
	w.ok(err)
	for range 3 {
		_, err = w.PutState(t.Context(), late, postgres.InMemory(stateBody(2, "lin", "late")))
		w.refused(err, messages.CodeStateStaleEpoch)
	}
	if diff := cmp.Diff(string(stateBody(1, "lin", "now")), w.current(ws)); diff != "" {
		t.Errorf("current state (-want +got):\n%s", diff)
	}
	var ids []string
	w.ok(w.raw.Select(&ids, `SELECT id FROM state_versions WHERE superseded AND epoch = 2`))
	if len(ids) != 1 {
		t.Fatalf("got %d states kept aside, want 1", len(ids))
	}
	body, err := w.StateBody(t.Context(), ids[0])
	w.ok(err)
	if diff := cmp.Diff(string(stateBody(2, "lin", "late")), string(body)); diff != "" {
		t.Errorf("state kept aside (-want +got):\n%s", diff)
	}
	if n := w.count(`SELECT count(*) FROM state_versions WHERE position('lineage'::bytea IN sealed) > 0`); n != 0 {
		t.Error("a state is readable in the database")
	}
}

func TestTheEpochFencesAnAttemptThatIsStillOpen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ws := w.workspace("net")
	_, a := w.applying(w.newRun(ws, run.Options{}).ID)
	w.raw.MustExec(`UPDATE workspaces SET epoch = epoch + 1`) // as whoever takes the workspace over does
	_, err := w.PutState(t.Context(), a, postgres.InMemory(stateBody(1, "lin", "")))
	w.refused(err, messages.CodeStateStaleEpoch)
	if got := w.current(ws); got != "" {
		t.Errorf("current state: got %s, want none", got)
	}
}

func TestOnlyAStartedApplyWritesState(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ws := w.workspace("net")
	beside := w.newRun(ws, run.Options{PlanOnly: true})
	_, a := w.started(beside.ID)
	_, err := w.PutState(t.Context(), a, postgres.InMemory(stateBody(1, "lin", "")))
	w.refused(err, messages.CodeForbidden)

	r := w.newRun(ws, run.Options{})
	_, a = w.started(r.ID)
	_, err = w.PutState(t.Context(), a, postgres.InMemory(stateBody(1, "lin", "")))
	w.refused(err, messages.CodeForbidden)
	w.result(a, planResult())
	_, err = w.Transition(t.Context(), r.ID, run.Confirm{}, postgres.Cause{Actor: "ada"})
	w.ok(err)
	_, a = w.claimed(r.ID)
	_, err = w.PutState(t.Context(), a, postgres.InMemory(stateBody(1, "lin", "")))
	w.refused(err, messages.CodeStateStaleEpoch)
	if got := w.current(ws); got != "" {
		t.Errorf("current state: got %s, want none", got)
	}
}

func TestPlansAreTakenFromTheAttemptThatRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	ws := w.workspace("net")
	r := w.newRun(ws, run.Options{})
	c, a := w.claimed(r.ID)
	w.refused(w.putPlan(a, postgres.BlobPlan, "early"), messages.CodeAttemptClosed)
	_, err := w.Start(ctx, a, startOf(c, "n"))
	w.ok(err)
	w.ok(w.putPlan(a, postgres.BlobPlan, "plan"))
	w.result(a, planResult())
	w.ok(w.putPlan(a, postgres.BlobPlanJSON, "{}"))
	w.refused(w.putPlan(a, postgres.BlobPlan, "late"), messages.CodeAttemptClosed)
	const part = 4 << 20
	for _, size := range []int{part, part + 1, 2*part + 7, 2 * part, 1} { // a smaller one leaves nothing of a larger one
		large := bytes.Repeat([]byte("0123456789abcdef-"), size/17+1)[:size]
		w.ok(w.putPlan(a, postgres.BlobPlanJSON, string(large)))
		if got, err := w.blob(r.ID, postgres.BlobPlanJSON); err != nil || got != string(large) {
			t.Errorf("%d bytes: got %d, %v, want the same", size, len(got), err)
		}
	}
	w.ok(w.putPlan(a, postgres.BlobPlanJSON, "{}"))
	for kind, want := range map[postgres.BlobKind]string{postgres.BlobPlan: "plan", postgres.BlobPlanJSON: "{}"} {
		got, err := w.blob(r.ID, kind)
		w.ok(err)
		if got != want {
			t.Errorf("%s: got %q, want %q", kind, got, want)
		}
	}
	_, err = w.Blob(ctx, "run-none", postgres.BlobPlan)
	w.refused(err, messages.CodeNotFound)
}
