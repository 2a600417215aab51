package postgres_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

func (w *world) push(ws postgres.Workspace, body []byte, force bool) (postgres.StateVersion, error) {
	return w.PushState(w.t.Context(), postgres.StatePush{WorkspaceID: ws.ID, Body: body, Force: force, By: "ada"})
}

func TestStatePush(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ws := w.workspace("net")
	for _, step := range []struct {
		name  string
		body  []byte
		force bool
		want  messages.Code
		now   []byte // the current state afterwards
		count int
	}{
		{"no serial", []byte(`{"version":4,"lineage":"lin"}`), true, messages.CodeInvalid, nil, 0},
		{"not JSON", []byte(`{`), true, messages.CodeInvalid, nil, 0},
		{"the first", stateBody(3, "lin", "a"), false, "", stateBody(3, "lin", "a"), 1},
		{"the same again", stateBody(3, "lin", "a"), false, "", stateBody(3, "lin", "a"), 1},
		{"another under the same serial", stateBody(3, "lin", "b"), false, messages.CodeStateConflict, stateBody(3, "lin", "a"), 1},
		{"a lower serial", stateBody(2, "lin", "a"), false, messages.CodeStateConflict, stateBody(3, "lin", "a"), 1},
		{"another lineage", stateBody(9, "other", "a"), false, messages.CodeStateConflict, stateBody(3, "lin", "a"), 1},
		{"the next", stateBody(4, "lin", "c"), false, "", stateBody(4, "lin", "c"), 2},
		{"another lineage by force", stateBody(1, "other", "d"), true, "", stateBody(1, "other", "d"), 3},
	} {
		sv, err := w.push(ws, step.body, step.force)
		if got := codeOf(err); got != step.want || (err != nil && got == "") {
			t.Errorf("%s: got %v with code %q, want code %q", step.name, err, got, step.want)
		}
		if err == nil && (sv.CreatedBy != "ada" || sv.RunID != nil || sv.Superseded) {
			t.Errorf("%s: got %+v, want a version of ada and no run", step.name, sv)
		}
		if diff := cmp.Diff(string(step.now), w.current(ws)); diff != "" {
			t.Errorf("%s: current state (-want +got):\n%s", step.name, diff)
		}
		all, total, err := w.StateVersions(t.Context(), ws.ID, postgres.Page{Size: 1})
		w.ok(err)
		if total != step.count || (total > 0 && all[0].MD5 != mustCurrent(w, ws).MD5) {
			t.Errorf("%s: got %d versions, the newest %+v, want %d and the current one first", step.name, total, all, step.count)
		}
	}
	_, err := w.push(postgres.Workspace{ID: "ws-none"}, stateBody(1, "lin", ""), false)
	w.refused(err, messages.CodeNotFound)
}

func mustCurrent(w *world, ws postgres.Workspace) postgres.StateVersion {
	w.t.Helper()
	sv, err := w.CurrentStateVersion(w.t.Context(), ws.ID)
	w.ok(err)
	return sv
}

func TestNobodyPushesWhileTheWorkspaceIsHeld(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	ws := w.workspace("net")
	first, err := w.push(ws, stateBody(1, "lin", "a"), false)
	w.ok(err)
	refused := func(by, holder string) {
		t.Helper()
		_, push := w.PushState(ctx, postgres.StatePush{WorkspaceID: ws.ID, Body: stateBody(2, "lin", "b"), Force: true, By: by})
		_, back := w.RollbackState(ctx, ws.ID, first.ID, by)
		for _, err := range []error{push, back} {
			w.refused(err, messages.CodeWorkspaceLocked)
			if err != nil && !strings.Contains(err.Error(), holder) {
				t.Errorf("got %v, want it to name %s", err, holder)
			}
		}
	}
	r := w.newRun(ws, run.Options{})
	refused("ada", r.ID)
	w.planned(r.ID)
	refused("ada", r.ID)
	_, err = w.Transition(ctx, r.ID, run.Confirm{}, postgres.Cause{})
	w.ok(err)
	_, a := w.started(r.ID)
	w.ok(w.Project(ctx, []messages.Event{exitedEvent(a)}))
	refused("ada", "unknown")
	w.result(a, applyResult())
	if got := w.current(ws); got != string(stateBody(1, "lin", "a")) {
		t.Errorf("current state: got %s, want the first", got)
	}

	_, err = w.LockWorkspace(ctx, ws.ID, "ada", "")
	w.ok(err)
	refused("bob", "User ada")
	_, err = w.push(ws, stateBody(2, "lin", "b"), false) // as terraform state push does: lock, push, unlock
	w.ok(err)
}

func TestAPushedStateIsWhatTheNextRunStartsFrom(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ws := w.workspace("net")
	_, err := w.push(ws, stateBody(7, "lin", "a"), false)
	w.ok(err)
	beside := w.newRun(ws, run.Options{PlanOnly: true}) // holds no gate, so a push may come between
	c, _ := w.claimed(beside.ID)
	_, err = w.push(ws, stateBody(8, "lin", "b"), false)
	w.ok(err)
	next, _ := w.claimed(w.newRun(ws, run.Options{}).ID)
	if got, want := []int64{c.Inputs.Base.Serial, next.Inputs.Base.Serial}, []int64{7, 8}; !cmp.Equal(got, want) {
		t.Errorf("bases: got %v, want %v", got, want)
	}
}

func TestRollback(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	ws, other := w.workspace("net"), w.workspace("dns")
	old := `{"version":4,"terraform_version":"1.11.4","serial":3,"lineage":"lin","outputs":{"n":{"value":12345678901234567890,"html":"<&>"}}}`
	first, err := w.push(ws, []byte(old), false)
	w.ok(err)
	_, err = w.push(ws, stateBody(9, "new", "b"), true)
	w.ok(err)
	sv, err := w.RollbackState(ctx, ws.ID, first.ID, "bob")
	w.ok(err)
	if sv.Serial != 10 || sv.Lineage != "new" || sv.CreatedBy != "bob" || sv.ID == first.ID || sv.TerraformVersion != "1.11.4" {
		t.Errorf("got %+v, want a new version of bob with serial 10 and lineage new", sv)
	}
	var want, got map[string]json.RawMessage
	w.ok(json.Unmarshal([]byte(strings.NewReplacer(`"serial":3`, `"serial":10`, `"lin"`, `"new"`).Replace(old)), &want))
	w.ok(json.Unmarshal([]byte(w.current(ws)), &got))
	for name := range want {
		if compact(t, got[name]) != compact(t, want[name]) {
			t.Errorf("field %s: got %s, want %s", name, got[name], want[name])
		}
	}
	for _, c := range []struct{ ws, state string }{{other.ID, first.ID}, {ws.ID, "sv-none"}, {"ws-none", first.ID}} {
		_, err := w.RollbackState(ctx, c.ws, c.state, "bob")
		w.refused(err, messages.CodeNotFound)
	}
}

func compact(t *testing.T, raw json.RawMessage) string {
	t.Helper()
	return strings.NewReplacer(" ", "", "\n", "").Replace(string(raw))
}

// TestAStateThatWasKeptAsideCanBeRolledBackTo: that is how a person takes it.
func TestAStateThatWasKeptAsideCanBeRolledBackTo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ws := w.workspace("net")
	_, late := w.applying(w.newRun(ws, run.Options{}).ID)
	w.result(late, applyResult())
	_, err := w.PutState(t.Context(), late, postgres.InMemory(stateBody(2, "lin", "late")))
	w.refused(err, messages.CodeStateStaleEpoch)
	all, _, err := w.StateVersions(t.Context(), ws.ID, postgres.Page{})
	w.ok(err)
	if len(all) != 1 || !all[0].Superseded {
		t.Fatalf("got %+v, want the one kept aside", all)
	}
	sv, err := w.RollbackState(t.Context(), ws.ID, all[0].ID, "ada")
	w.ok(err)
	if now := mustCurrent(w, ws); now.ID != sv.ID || now.Serial != 3 || now.Superseded {
		t.Errorf("current: got %+v, want %s with serial 3", now, sv.ID)
	}
}
