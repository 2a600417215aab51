package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

func TestARunWithItsOwnDocument(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const path = "/api/gantry/v1/runs"
	yes, workdir := true, messages.Execution{Workdir: "base", TerraformVersion: "1.11.4"}
	_, err := f.db.UpdateWorkspace(t.Context(), f.ws.ID, postgres.WorkspaceChange{AutoApply: &yes, Execution: &workdir})
	must(t, err)
	cv := f.upload(false)
	body := fmt.Appendf(nil, `{"workspace_id":%q,"configuration_version_id":%q,"message":"why","options":{"destroy":true,"target_addrs":["a.b"],
		"variables":[{"key":"v","value":"\"geheim\""}]},"execution":{"workdir":"own"}}`, f.ws.ID, cv)
	create := func(key string) (a answer, got run.Run) {
		a = f.call("POST", path, adminToken, body, "Idempotency-Key", key).want(http.StatusCreated, "")
		equal(t, "content type", a.header.Get("Content-Type"), "application/json")
		must(t, json.Unmarshal(a.body, &got))
		return a, got
	}
	a, got := create("k")
	equal(t, "run", []any{got.ConfigurationVersionID, got.Note, got.Source, got.CreatedBy, got.Status}, []any{cv, "why", "gantry-api", "test", run.PlanQueued})
	equal(t, "options: exactly those asked for", got.Options, run.Options{Destroy: true, TargetAddrs: []string{"a.b"}})
	equal(t, "document", got.Execution, messages.Execution{Mode: messages.ModeLocal, Workdir: "own", TerraformVersion: "1.11.4"})
	equal(t, "the workspace's stays", f.execution(f.ws.ID), workdir)
	if strings.Contains(string(a.body), "geheim") {
		t.Errorf("the answer shows a variable: %s", a.body)
	}
	again, _ := create("k")
	equal(t, "the same request again", string(again.body), string(a.body))
	if _, other := create("l"); other.ID == got.ID {
		t.Error("another key made the same run")
	}
	equal(t, "variables of the claim", f.claim(got.Plan.ID).Inputs.Variables, []wire.Variable{{Key: "v", Value: `"geheim"`, Category: wire.CategoryTerraform, HCL: true}})

	for _, c := range []struct {
		body string
		code messages.Code
		says string
	}{
		{`{}`, messages.CodeInvalid, "field workspace_id"},
		{`[]`, messages.CodeInvalid, "JSON"},
		{`{"workspace_id":"WS","options":{"plan-only":true}}`, messages.CodeInvalid, "field options.plan-only"},
		{`{"workspace_id":"WS","execution":{"pod_template":{"cpu":1}}}`, messages.CodeExecutionUnknownField, "field execution.pod_template.cpu"},
		{`{"workspace_id":"WS","execution":{"workdir":1}}`, messages.CodeExecutionInvalid, "field execution.workdir"},
		{`{"workspace_id":"WS","execution":{"execution_mode":"k8s"}}`, messages.CodeExecutionUnsupported, "execution_mode"},
		{`{"workspace_id":"WS","options":{"refresh_only":true,"destroy":true}}`, messages.CodeInvalid, "field options.refresh_only"},
		{`{"workspace_id":"WS","options":{"variables":[{"value":"1"}]}}`, messages.CodeInvalid, "field options.variables[0].key"},
	} {
		f.call("POST", path, adminToken, []byte(strings.ReplaceAll(c.body, "WS", f.ws.ID))).want(http.StatusUnprocessableEntity, c.code).wantDetail(c.says)
	}
	f.call("POST", path, adminToken, []byte(`{"workspace_id":"ws-none"}`)).want(http.StatusNotFound, messages.CodeNotFound)
}

func TestNobodyIsShownNonces(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r, c := f.claimApply()
	f.start(c)
	a := f.get("/api/gantry/v1/runs/"+r.ID, adminToken).want(http.StatusOK, "")
	if strings.Contains(string(a.body), "nonce") {
		t.Errorf("got %s, want no nonce", a.body)
	}
	if at := f.mustRun(r.ID).Apply.Last(); at.Nonce == "" || at.RunnerNonce == "" {
		t.Errorf("got %+v, want the stored run to keep its nonces", at)
	}
}

// TestARunnerPastItsLimitIsTold on every answer, as by a cancel.
func TestARunnerPastItsLimitIsTold(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, c := f.claimApply()
	f.start(c)
	one := attempts + c.AttemptID
	if got := f.get(one, c.Token).header.Get(wire.HeaderCancel); got != "" {
		t.Errorf("before: got %s %q, want none", wire.HeaderCancel, got)
	}
	f.transition(c.Inputs.RunID, run.Timeout{AttemptID: c.AttemptID, Limit: time.Hour})
	a := f.get(one, c.Token)
	var status wire.AttemptStatus
	a.into(&status)
	equal(t, "status", status, wire.AttemptStatus{Open: true, Cancel: true})
	equal(t, "header", a.header.Get(wire.HeaderCancel), "cancel")
	f.finish(c, wire.Result{Outcome: wire.OutcomeCanceled})
	got := f.show(c.Inputs.RunID).Attributes
	equal(t, "end", []any{got.Status, got.Code}, []any{"errored", messages.CodeRunTimedOut})
	if !strings.Contains(got.Failure, "within 1h,") {
		t.Errorf("got failure %q, want it to name the limit", got.Failure)
	}
}

func TestARunKnowsTheProgramThatMadeIt(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	body, err := json.Marshal(doc("runs", nil, "workspace", "workspaces/"+f.ws.ID, "configuration-version", "configuration-versions/"+f.upload(false)))
	must(t, err)
	for _, c := range []struct{ header, value, want string }{
		{"User-Agent", "gantry", "gantry-cli"},
		{"User-Agent", "curl/8", "tfe-api"},
		{"X-Terraform-Integration", "cloud", "terraform+cloud"},
	} {
		f.call("POST", "/api/v2/runs", adminToken, body, c.header, c.value).want(http.StatusCreated, "")
		all, _, err := f.db.Runs(t.Context(), postgres.RunFilter{WorkspaceID: f.ws.ID})
		must(t, err)
		equal(t, c.value, all[0].Source, c.want)
	}
}

func TestAWrongMethodIsToldFromAWrongPath(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.call("DELETE", "/api/v2/runs/run-1", adminToken, nil).want(http.StatusMethodNotAllowed, messages.CodeMethodNotAllowed).wantDetail("this path takes GET")
	f.call("PATCH", "/api/gantry/v1/organizations/default/execution", adminToken, nil).want(http.StatusMethodNotAllowed, messages.CodeMethodNotAllowed).wantDetail("GET, PUT")
	f.call("GET", "/api/v2/nothing", adminToken, nil).want(http.StatusNotFound, messages.CodeNotFound)
}

func TestWhyARunWaits(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := f.newRun(run.Options{})
	var got run.Waiting
	f.get("/api/gantry/v1/runs/"+r.ID+"/waiting", adminToken).into(&got)
	equal(t, "reason", got.Reason, run.WaitNoWorker)
	f.call("POST", "/api/gantry/v1/workers", poolToken, []byte(`{"name":"w","slots":1,"busy":1}`)).want(http.StatusOK, "")
	f.call("POST", "/api/gantry/v1/workers", poolToken, []byte(`{"name":"w w"}`)).want(http.StatusUnprocessableEntity, messages.CodeInvalid)
	f.call("POST", "/api/gantry/v1/workers", adminToken, []byte(`{"name":"w"}`)).want(http.StatusForbidden, messages.CodeForbidden)
	f.get("/api/gantry/v1/runs/"+r.ID+"/waiting", adminToken).into(&got)
	equal(t, "reason", got.Reason, run.WaitNoSlot)
	f.get("/api/gantry/v1/runs/run-none/waiting", adminToken).want(http.StatusNotFound, messages.CodeNotFound)
}
