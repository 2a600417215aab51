package postgres_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

func terraformValue(key, value string) postgres.NewVariable {
	return postgres.NewVariable{Variable: wire.Variable{Key: key, Value: value, Category: wire.CategoryTerraform}}
}

func envValue(key, value string) postgres.NewVariable {
	return postgres.NewVariable{Variable: wire.Variable{Key: key, Value: value, Category: wire.CategoryEnv}}
}

func (w *world) set(name string, global, priority bool, workspaces []string, vars ...postgres.NewVariable) string {
	w.t.Helper()
	s, err := w.CreateVariableSet(w.t.Context(), postgres.NewVariableSet{
		Organization: "acme", Name: name, Global: global, Priority: priority, Workspaces: workspaces,
	})
	w.ok(err)
	for _, v := range vars {
		_, err := w.CreateVariable(w.t.Context(), postgres.Holder{SetID: s.ID}, v)
		w.ok(err)
	}
	return s.ID
}

// values are those of the claim, by category and key.
func values(c wire.Claim) map[string]string {
	out := map[string]string{}
	for _, v := range c.Inputs.Variables {
		out[v.Category+" "+v.Key] = v.Value
	}
	return out
}

func TestTheStrongestValueWins(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ws, other := w.workspace("net"), w.workspace("other")
	own := postgres.Holder{WorkspaceID: ws.ID}
	for _, v := range []postgres.NewVariable{terraformValue("a", "workspace"), terraformValue("b", "workspace"), terraformValue("c", "workspace"), envValue("a", "environment")} {
		_, err := w.CreateVariable(t.Context(), own, v)
		w.ok(err)
	}
	secret := terraformValue("b", "set")
	secret.Sensitive = true
	w.set("B", false, false, []string{ws.ID}, secret, terraformValue("d", "set B"), terraformValue("e", "set"))
	w.set("A", false, false, []string{ws.ID}, terraformValue("d", "set A"))
	w.set("G", true, false, nil, terraformValue("a", "global"), terraformValue("e", "global"), terraformValue("f", "global"))
	w.set("P", false, true, []string{ws.ID}, terraformValue("c", "priority"), terraformValue("g", "priority"))
	w.set("PG", true, true, nil, terraformValue("g", "global priority"))
	w.set("elsewhere", false, true, []string{other.ID}, terraformValue("z", "elsewhere"))

	r, err := w.CreateRun(t.Context(), postgres.NewRun{WorkspaceID: ws.ID, Variables: []wire.RunVariable{
		{Key: "a", Value: `"run 1"`}, {Key: "a", Value: `"run"`}, {Key: "b", Value: `"run"`}, {Key: "c", Value: `"run"`},
	}})
	w.ok(err)
	c, _ := w.claimed(r.ID)
	want := map[string]string{
		"terraform a": `"run"`, "terraform b": `"run"`, "terraform c": "priority", "terraform d": "set A", "terraform e": "set", "terraform f": "global",
		"terraform g": "global priority", "env a": "environment",
	}
	if diff := cmp.Diff(want, values(c)); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
	for _, v := range c.Inputs.Variables {
		if got, want := v.Sensitive, v.Key == "b"; got != want {
			t.Errorf("%s: got sensitive %v, want %v, because a set says so of its key", v.Key, got, want)
		}
	}
	if all, err := w.EffectiveVariables(t.Context(), ws); err != nil || len(all) != 8 || all[0].Value != "environment" || all[1].Value != "workspace" {
		t.Errorf("effective: got %+v, %v, want those of the workspace and its sets", all, err)
	}
}

func TestAnApplyGetsTheValuesOfItsPlan(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ws := w.workspace("net")
	own := postgres.Holder{WorkspaceID: ws.ID}
	made := map[string]string{}
	for _, v := range []postgres.NewVariable{terraformValue("x", "old"), envValue("TF_VAR_y", "old"), envValue("TOKEN", "old"), envValue("GONE", "old")} {
		one, err := w.CreateVariable(t.Context(), own, v)
		w.ok(err)
		made[v.Key] = one.ID
	}
	r, err := w.CreateRun(t.Context(), postgres.NewRun{WorkspaceID: ws.ID, Options: run.Options{AutoApply: true}})
	w.ok(err)
	request := claimRequest(r.Plan.ID, "n1")
	plan, err := w.Claim(t.Context(), messages.LocalPool, request)
	w.ok(err)
	renewed := "new"
	for _, key := range []string{"x", "TF_VAR_y", "TOKEN"} {
		_, err := w.UpdateVariable(t.Context(), own, made[key], postgres.VariableChange{Value: &renewed})
		w.ok(err)
	}
	w.ok(w.DeleteVariable(t.Context(), own, made["GONE"]))
	again, err := w.Claim(t.Context(), messages.LocalPool, request)
	w.ok(err)
	if diff := cmp.Diff(plan.Inputs.Variables, again.Inputs.Variables); diff != "" {
		t.Errorf("the same claim again (-want +got):\n%s", diff)
	}
	a, err := w.AttemptByToken(t.Context(), plan.Token)
	w.ok(err)
	_, err = w.Start(t.Context(), a, startOf(plan, "runner"))
	w.ok(err)
	w.result(a, planResult())
	apply, _ := w.claimed(r.ID)
	want := map[string]string{"terraform x": "old", "env TF_VAR_y": "old", "env TOKEN": "new"}
	if diff := cmp.Diff(want, values(apply)); diff != "" {
		t.Errorf("values of the apply (-want +got):\n%s", diff)
	}
}

func TestValuesAreSealed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ws := w.workspace("net")
	_, err := w.CreateVariable(t.Context(), postgres.Holder{WorkspaceID: ws.ID}, terraformValue("x", "geheim"))
	w.ok(err)
	r, err := w.CreateRun(t.Context(), postgres.NewRun{WorkspaceID: ws.ID})
	w.ok(err)
	w.claimed(r.ID)
	for _, table := range []string{"variables", "attempt_variables", "run_events", "runs"} {
		// A bytea is shown as hexadecimal digits, so the value is looked for in these too.
		found := w.count(`SELECT count(*) FROM ` + table + ` t WHERE t::text LIKE '%geheim%' OR t::text LIKE '%' || encode('geheim', 'hex') || '%'`)
		if n := w.count(`SELECT count(*) FROM ` + table); n == 0 || found != 0 {
			t.Errorf("table %s: got the value in clear in %d of %d rows, want 0 of at least 1", table, found, n)
		}
	}
}

func TestSensitiveStaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	own := postgres.Holder{WorkspaceID: w.workspace("net").ID}
	secret := terraformValue("x", "geheim")
	secret.Sensitive = true
	v, err := w.CreateVariable(t.Context(), own, secret)
	w.ok(err)
	text, no := "y", false
	_, err = w.UpdateVariable(t.Context(), own, v.ID, postgres.VariableChange{Sensitive: &no})
	w.refused(err, messages.CodeInvalid)
	changed, err := w.UpdateVariable(t.Context(), own, v.ID, postgres.VariableChange{Value: &text, Description: &text})
	w.ok(err)
	if changed.Value != "y" || changed.Key != "x" || !changed.Sensitive || changed.VersionID == v.VersionID {
		t.Errorf("got %+v, want another value and version", changed)
	}
	_, err = w.CreateVariable(t.Context(), own, terraformValue("x", ""))
	w.refused(err, messages.CodeNameTaken)
	_, err = w.CreateVariable(t.Context(), own, envValue("TF_DATA_DIR", ""))
	w.refused(err, messages.CodeInvalid)
	_, err = w.Variable(t.Context(), postgres.Holder{SetID: "varset-other"}, v.ID)
	w.refused(err, messages.CodeNotFound)
}

// TestValuesStayWhileSomebodyNeedsThem: a runner that reads its inputs anew, the apply of a plan that was saved, and whoever shows a
// plan, in which they are to be hidden.
func TestValuesStayWhileSomebodyNeedsThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ws := w.workspace("net")
	_, err := w.CreateVariable(t.Context(), postgres.Holder{WorkspaceID: ws.ID}, terraformValue("x", "geheim"))
	w.ok(err)
	saved := w.newRun(ws, run.Options{SavePlan: true})
	_, plan := w.started(saved.ID)
	w.result(plan, planResult())
	w.status(saved.ID, run.PlannedAndSaved)
	planOnly := w.newRun(ws, run.Options{PlanOnly: true})
	_, waits := w.claimed(planOnly.ID)
	shown := w.newRun(ws, run.Options{PlanOnly: true})
	_, a := w.started(shown.ID)
	w.result(a, planResult())
	w.sweepsLater(t)
	w.ok(w.putPlan(a, postgres.BlobPlanJSON, "{}")) // it comes after the result, when there is time
	over := w.newRun(ws, run.Options{PlanOnly: true})
	_, b := w.started(over.ID)
	w.result(b, planResult())

	w.exec(`UPDATE attempts SET closed_at = closed_at - interval '2 hours'`)
	w.sweepsLater(t)
	in, err := w.Inputs(t.Context(), waits)
	w.ok(err)
	if len(in.Variables) != 1 {
		t.Errorf("inputs of an open plan-only attempt: got variables %v, want the one it was given", in.Variables)
	}
	w.confirm(saved.ID)
	if c, _ := w.claimed(saved.ID); len(c.Inputs.Variables) != 1 {
		t.Errorf("apply of a saved plan: got variables %v, want that of its plan", c.Inputs.Variables)
	}
	for id, want := range map[string]int{shown.ID: 1, over.ID: 0} {
		if got, err := w.RunValues(t.Context(), id); err != nil || len(got) != want {
			t.Errorf("values of a run that is over (with a plan to show: %v): got %d and error %v, want %d", id == shown.ID, len(got), err, want)
		}
	}
	w.exec(`UPDATE logs SET complete = true`)
	w.ages(48 * time.Hour)
	w.retains(postgres.Retention{Logs: 24 * time.Hour}, postgres.Removed{Logs: 2})
	if got, err := w.RunValues(t.Context(), shown.ID); err != nil || len(got) != 0 {
		t.Errorf("values of a run whose plan was removed: got %d and error %v, want none", len(got), err)
	}
}

// TestAPlanWhoseValuesAreGoneIsNotShown: a JSON plan that comes after its values were swept would be shown with nothing hidden.
func TestAPlanWhoseValuesAreGoneIsNotShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ws := w.workspace("net")
	_, err := w.CreateVariable(t.Context(), postgres.Holder{WorkspaceID: ws.ID}, terraformValue("x", "geheim"))
	w.ok(err)
	var attempts []postgres.Attempt
	for _, o := range []run.Options{{PlanOnly: true}, {PlanOnly: true}, {SavePlan: true}} {
		r := w.newRun(ws, o)
		_, a := w.started(r.ID)
		w.result(a, planResult())
		attempts = append(attempts, a)
	}
	gone, kept, waits := attempts[0], attempts[1], attempts[2]
	w.ok(w.putPlan(kept, postgres.BlobPlanJSON, "{}"))
	w.exec(`UPDATE attempts SET closed_at = closed_at - interval '2 hours'`)
	w.exec(`UPDATE runs SET doc = regexp_replace(doc::text, '"closed_at": *"[^"]*"', '"closed_at": "2020-01-01T00:00:00Z"', 'g')::jsonb`)
	w.sweepsLater(t)
	w.refused(w.putPlan(gone, postgres.BlobPlanJSON, "{}"), messages.CodeAttemptClosed)
	if _, err := w.blob(gone.RunID, postgres.BlobPlanJSON); codeOf(err) != messages.CodeNotFound {
		t.Errorf("the JSON plan of a run whose values are gone: got %v, want none", err)
	}
	w.ok(w.putPlan(kept, postgres.BlobPlanJSON, `{"again":true}`))
	w.ok(w.putPlan(waits, postgres.BlobPlanJSON, "{}"))
}

// sweepsLater sweeps two hours after all values were given.
func (w *world) sweepsLater(t *testing.T) {
	t.Helper()
	w.exec(`UPDATE attempt_variables SET created_at = created_at - interval '2 hours'`)
	w.ok(w.Sweep(t.Context()))
}
