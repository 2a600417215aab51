package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// upload makes a configuration version as Terraform's CLI does.
func (f *fixture) upload(speculative bool) string {
	f.t.Helper()
	cv := decoded[resource[attributes]](f.post("/api/v2/workspaces/"+f.ws.ID+"/configuration-versions", adminToken,
		doc("configuration-versions", attributes{"auto-queue-runs": false, "speculative": speculative})), http.StatusCreated).Data
	equal(f.t, "status", cv.Attributes["status"], any("pending"))
	path, ok := strings.CutPrefix(cv.Attributes["upload-url"].(string), publicURL)
	if !ok {
		f.t.Fatalf("got upload-url %v, want it on %s", cv.Attributes["upload-url"], publicURL)
	}
	f.call("PUT", path, "", archive(f.t, 100)).want(http.StatusOK, "")
	shown := decoded[resource[attributes]](f.get("/api/v2/configuration-versions/"+cv.ID, adminToken), http.StatusOK).Data
	equal(f.t, "after the upload", []any{shown.Attributes["status"], shown.Attributes["upload-url"], shown.Attributes["speculative"]}, []any{"uploaded", nil, speculative})
	return cv.ID
}

func (f *fixture) createRun(cv string, attrs attributes) node[runAttributes] {
	f.t.Helper()
	return decoded[resource[runAttributes]](f.post("/api/v2/runs", adminToken,
		doc("runs", attrs, "workspace", "workspaces/"+f.ws.ID, "configuration-version", "configuration-versions/"+cv)), http.StatusCreated).Data
}

// finish stores the result of an attempt and projects it.
func (f *fixture) finish(c wire.Claim, res wire.Result) {
	f.t.Helper()
	a, err := f.db.AttemptByToken(f.t.Context(), c.Token)
	must(f.t, err)
	_, err = f.db.PutResult(f.t.Context(), a, res)
	must(f.t, err)
	must(f.t, f.db.Project(f.t.Context(), []messages.Event{{
		V: 1, Type: messages.EventFinished, AttemptID: c.AttemptID, RunID: c.Inputs.RunID, WorkspaceID: c.Inputs.WorkspaceID, Source: "server", Seq: 1,
	}}))
}

// planned carries out the plan of a run.
func (f *fixture) planned(r run.Run, changes bool) wire.Claim {
	f.t.Helper()
	c := f.claim(f.mustRun(r.ID).Plan.ID)
	f.start(c)
	f.finish(c, wire.Result{Outcome: wire.OutcomeSucceeded, HasChanges: changes, Changes: &wire.Changes{Add: 1, Change: 2, Destroy: 3, Import: 4}})
	return c
}

// runAttributes are what clients of TFE read of a run.
type runAttributes struct {
	Status           string            `json:"status"`
	HasChanges       bool              `json:"has-changes"`
	AutoApply        bool              `json:"auto-apply"`
	IsDestroy        bool              `json:"is-destroy"`
	PlanOnly         bool              `json:"plan-only"`
	Refresh          bool              `json:"refresh"`
	RefreshOnly      bool              `json:"refresh-only"`
	TargetAddrs      []string          `json:"target-addrs"`
	ReplaceAddrs     []string          `json:"replace-addrs"`
	Message          string            `json:"message"`
	Source           string            `json:"source"`
	CreatedAt        string            `json:"created-at"`
	ForceAt          string            `json:"force-cancel-available-at"`
	PositionInQueue  int               `json:"position-in-queue"`
	Code             messages.Code     `json:"code"`
	Failure          string            `json:"failure"`
	StatusTimestamps map[string]string `json:"status-timestamps"`
	Permissions      map[string]bool   `json:"permissions"`
	Actions          actions           `json:"actions"`
}

type actions struct {
	Cancelable      bool `json:"is-cancelable"`
	Confirmable     bool `json:"is-confirmable"`
	Discardable     bool `json:"is-discardable"`
	ForceCancelable bool `json:"is-force-cancelable"`
}

func (f *fixture) show(id string) node[runAttributes] {
	f.t.Helper()
	return decoded[resource[runAttributes]](f.get("/api/v2/runs/"+id, adminToken), http.StatusOK).Data
}

// look is everything that changes over a run's life: its status and actions, and the status of plan and apply.
type look struct {
	Run, Plan, Apply string
	Actions          actions
}

func (f *fixture) look(id string) look {
	f.t.Helper()
	r := f.show(id)
	plan := decoded[resource[attributes]](f.get("/api/v2/plans/"+r.Relationships["plan"].Data.ID, adminToken), http.StatusOK).Data
	apply := decoded[resource[attributes]](f.get("/api/v2/applies/"+r.Relationships["apply"].Data.ID, adminToken), http.StatusOK).Data
	equal(f.t, "types", []string{plan.Type, apply.Type}, []string{"plans", "applies"})
	return look{r.Attributes.Status, plan.Attributes["status"].(string), apply.Attributes["status"].(string), r.Attributes.Actions}
}

func TestLifeOfARun(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	cancelable := actions{Cancelable: true}
	made := f.createRun(f.upload(false), attributes{"auto-apply": false, "refresh": true, "save-plan": false, "message": "hello"})
	equal(t, "created", []any{made.Type, made.Attributes.Message, made.Attributes.Source, made.Attributes.Refresh}, []any{"runs", "hello", "tfe-api", true})
	equal(t, "workspace", made.Relationships["workspace"].Data, &reference{f.ws.ID, "workspaces"})
	equal(t, "plan", made.Relationships["plan"].Data, &reference{"plan-" + strings.TrimPrefix(made.ID, "run-"), "plans"})
	equal(t, "queued", f.look(made.ID), look{"plan_queued", "queued", "pending", cancelable})

	c := f.claim(f.mustRun(made.ID).Plan.ID)
	equal(t, "claimed", f.look(made.ID), look{"plan_queued", "queued", "pending", cancelable})
	f.start(c)
	equal(t, "planning", f.look(made.ID), look{"planning", "running", "pending", cancelable})
	f.post("/api/v2/runs/"+made.ID+"/actions/apply", adminToken, attributes{}).want(http.StatusConflict, messages.CodeRunNotAllowed).wantDetail(made.ID, "planning")

	f.finish(c, wire.Result{Outcome: wire.OutcomeSucceeded, HasChanges: true, Changes: &wire.Changes{Add: 1, Change: 2, Destroy: 3, Import: 4}})
	equal(t, "planned", f.look(made.ID), look{"planned", "finished", "pending", actions{Confirmable: true, Discardable: true}})
	plan := decoded[resource[attributes]](f.get("/api/v2/plans/"+made.Relationships["plan"].Data.ID, adminToken), http.StatusOK).Data.Attributes
	equal(t, "counts", []any{plan["has-changes"], plan["resource-additions"], plan["resource-changes"], plan["resource-destructions"], plan["resource-imports"]},
		[]any{true, 1.0, 2.0, 3.0, 4.0})
	f.post("/api/v2/runs/"+made.ID+"/actions/cancel", adminToken, attributes{}).want(http.StatusConflict, messages.CodeRunNotAllowed)

	f.post("/api/v2/runs/"+made.ID+"/actions/apply", adminToken, attributes{"comment": "go"}).want(http.StatusAccepted, "")
	equal(t, "confirmed", f.look(made.ID), look{"apply_queued", "finished", "queued", cancelable})
	c = f.claim(f.mustRun(made.ID).Apply.ID)
	f.start(c)
	equal(t, "applying", f.look(made.ID), look{"applying", "finished", "running", cancelable})
	f.transition(made.ID, run.LoseContact{AttemptID: c.AttemptID})
	equal(t, "contact lost", f.look(made.ID), look{"applying", "finished", "running", cancelable})
	f.finish(c, wire.Result{Outcome: wire.OutcomeSucceeded, Changes: &wire.Changes{Add: 1}})
	equal(t, "applied", f.look(made.ID), look{"applied", "finished", "finished", actions{}})

	last := f.show(made.ID).Attributes
	for _, at := range []string{"plan-queueable-at", "plan-queued-at", "planning-at", "planned-at", "confirmed-at", "apply-queued-at", "applying-at", "applied-at"} {
		if last.StatusTimestamps[at] == "" {
			t.Errorf("got no timestamp %s in %v, want it", at, last.StatusTimestamps)
		}
	}
}

func TestRunsThatEndOtherwise(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	cv, speculative := f.upload(false), f.upload(true)

	r := f.createRun(cv, attributes{})
	f.planned(f.mustRun(r.ID), false)
	equal(t, "no changes", f.look(r.ID), look{"planned_and_finished", "finished", "unreachable", actions{}})

	r = f.createRun(speculative, attributes{"auto-apply": true})
	equal(t, "plan-only follows the configuration", r.Attributes.PlanOnly, true)
	f.planned(f.mustRun(r.ID), true)
	equal(t, "plan-only", f.look(r.ID), look{"planned_and_finished", "finished", "unreachable", actions{}})

	r = f.createRun(cv, attributes{})
	f.planned(f.mustRun(r.ID), true)
	f.call("POST", "/api/v2/runs/"+r.ID+"/actions/discard", adminToken, nil).want(http.StatusAccepted, "")
	equal(t, "discarded", f.look(r.ID), look{"discarded", "finished", "unreachable", actions{}})

	r = f.createRun(cv, attributes{})
	f.post("/api/v2/runs/"+r.ID+"/actions/cancel", adminToken, attributes{}).want(http.StatusAccepted, "")
	equal(t, "canceled while queued", f.look(r.ID), look{"canceled", "canceled", "unreachable", actions{}})

	r = f.createRun(cv, attributes{})
	c := f.claim(f.mustRun(r.ID).Plan.ID)
	f.start(c)
	f.finish(c, wire.Result{Outcome: wire.OutcomeFailed, Message: "boom"})
	equal(t, "failed", f.look(r.ID), look{"errored", "errored", "unreachable", actions{}})
	got := f.show(r.ID).Attributes
	equal(t, "why", []any{got.Code, got.Failure}, []any{messages.CodeRunTerraformFailed, "boom"})

	r = f.createRun(cv, attributes{"auto-apply": true})
	f.planned(f.mustRun(r.ID), true)
	c = f.claim(f.mustRun(r.ID).Apply.ID)
	f.start(c)
	f.transition(r.ID, run.Exit{AttemptID: c.AttemptID, Detail: "killed"})
	equal(t, "outcome unknown", f.look(r.ID), look{"errored", "finished", "errored", actions{}})
	equal(t, "why", f.show(r.ID).Attributes.Code, messages.CodeRunOutcomeUnknown)
	var shown struct{ Condition *run.Condition }
	f.get("/api/gantry/v1/runs/"+r.ID, adminToken).into(&shown)
	equal(t, "condition", []any{shown.Condition.Name, shown.Condition.AttemptID}, []any{run.ConditionOutcomeUnknown, c.AttemptID})
	recovery := "/api/gantry/v1/runs/" + r.ID + "/recover"
	var recovered run.Run
	if err := json.Unmarshal(f.post(recovery, adminToken, attributes{"comment": "look"}).want(http.StatusCreated, "").body, &recovered); err != nil {
		t.Fatal(err)
	}
	equal(t, "recovery", []any{recovered.Recovers, recovered.Status, recovered.Note}, []any{r.ID, run.PlanQueued, "look"})
	f.post("/api/gantry/v1/runs/"+recovered.ID+"/recover", adminToken, attributes{}).want(http.StatusConflict, messages.CodeRunNotAllowed)
}

func TestForceCancelHasToWait(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := f.createRun(f.upload(false), attributes{})
	path := "/api/v2/runs/" + r.ID + "/actions/"
	f.start(f.claim(f.mustRun(r.ID).Plan.ID))
	f.post(path+"force-cancel", adminToken, attributes{}).want(http.StatusConflict, messages.CodeRunNotAllowed).wantDetail("cancel it first")
	equal(t, "before", f.show(r.ID).Attributes.ForceAt, "")

	f.post(path+"cancel", adminToken, attributes{}).want(http.StatusAccepted, "")
	equal(t, "canceled", f.look(r.ID), look{"planning", "running", "pending", actions{}})
	at := f.show(r.ID).Attributes.ForceAt
	if at == "" {
		t.Error("got no force-cancel-available-at after a cancel, want it")
	}
	f.post(path+"force-cancel", adminToken, attributes{}).want(http.StatusConflict, messages.CodeRunNotAllowed).wantDetail(at)

	// Nothing tells that time has passed.
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	patience := time.After(30 * time.Second)
	for !f.show(r.ID).Attributes.Actions.ForceCancelable {
		select {
		case <-tick.C:
		case <-patience:
			t.Fatal("the run could not be force-canceled within 30 s of its cancel")
		}
	}
	f.post(path+"force-cancel", adminToken, attributes{}).want(http.StatusAccepted, "")
	equal(t, "forced", f.look(r.ID), look{"force_canceled", "canceled", "unreachable", actions{}})
}

func TestForceExecuteEndsWhatIsAhead(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	cv := f.upload(false)
	planning, between, wanted, after := f.createRun(cv, attributes{}), f.createRun(cv, attributes{}), f.createRun(cv, attributes{}), f.createRun(cv, attributes{})
	beside := f.createRun(cv, attributes{"plan-only": true})
	const action = "/actions/force-execute"
	f.post("/api/v2/runs/"+planning.ID+action, adminToken, attributes{}).want(http.StatusConflict, messages.CodeRunNotAllowed).wantDetail("only a pending run waits")
	f.post("/api/v2/runs/"+wanted.ID+action, adminToken, attributes{}).want(http.StatusAccepted, "")
	var got []run.Status
	for _, r := range []string{planning.ID, between.ID, wanted.ID, after.ID, beside.ID} {
		got = append(got, f.mustRun(r).Status)
	}
	equal(t, "statuses", got, []run.Status{run.Canceled, run.Canceled, run.PlanQueued, run.Pending, run.PlanQueued})
}

func TestRunWaitsBehindOthers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	cv := f.upload(false)
	var ids []string
	for range 3 {
		ids = append(ids, f.createRun(cv, attributes{}).ID)
	}
	for i, want := range []look{
		{"plan_queued", "queued", "pending", actions{Cancelable: true}},
		{"pending", "pending", "pending", actions{Cancelable: true, Discardable: true}},
		{"pending", "pending", "pending", actions{Cancelable: true, Discardable: true}},
	} {
		equal(t, "waiting", f.look(ids[i]), want)
	}
	for _, path := range []string{"/api/v2/organizations/default/runs/queue", "/api/v2/workspaces/" + f.ws.ID + "/runs", "/api/v2/organizations/default/runs"} {
		got := decoded[resources[runAttributes]](f.get(path, adminToken), http.StatusOK)
		var order []string
		var positions []int
		for _, r := range got.Data {
			order, positions = append(order, r.ID), append(positions, r.Attributes.PositionInQueue)
		}
		equal(t, path+": newest first", order, []string{ids[2], ids[1], ids[0]})
		equal(t, path+": runs ahead", positions, []int{2, 1, 0})
	}
	capacity := decoded[resource[attributes]](f.get("/api/v2/organizations/default/capacity", adminToken), http.StatusOK).Data
	equal(t, "capacity", capacity, node[attributes]{ID: "default", Type: "organization-capacity", Attributes: attributes{"pending": 3.0, "running": 0.0}})
	some := decoded[resources[runAttributes]](f.get("/api/v2/workspaces/"+f.ws.ID+"/runs?filter[status]=plan_queued,planning", adminToken), http.StatusOK)
	if len(some.Data) != 1 || some.Data[0].ID != ids[0] {
		t.Errorf("got %v by status, want run %s alone", some.Data, ids[0])
	}
}

func TestRunOptions(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	cv := f.upload(false)
	made := f.createRun(cv, attributes{
		"is-destroy": true, "refresh": false, "target-addrs": []string{"a.b"}, "replace-addrs": []string{"c.d"}, "plan-only": true,
		"variables": []attributes{{"key": "secret", "value": `"geheim"`}},
	})
	equal(t, "options", f.mustRun(made.ID).Options, run.Options{PlanOnly: true, Destroy: true, SkipRefresh: true, TargetAddrs: []string{"a.b"}, ReplaceAddrs: []string{"c.d"}})
	equal(t, "variables", f.claim(f.mustRun(made.ID).Plan.ID).Inputs.Variables, []wire.Variable{{Key: "secret", Value: `"geheim"`, Category: wire.CategoryTerraform, HCL: true}})
	if b := f.get("/api/v2/runs/"+made.ID, adminToken).body; strings.Contains(string(b), "geheim") {
		t.Errorf("got %s, want no value of a variable", b)
	}

	yes := true
	_, err := f.db.UpdateWorkspace(t.Context(), f.ws.ID, postgres.WorkspaceChange{AutoApply: &yes})
	must(t, err)
	equal(t, "auto-apply of the workspace", f.createRun(cv, attributes{}).Attributes.AutoApply, true)
	equal(t, "auto-apply of the run", f.createRun(cv, attributes{"auto-apply": false}).Attributes.AutoApply, false)

	for _, c := range []struct {
		attrs attributes
		says  string
	}{
		{attributes{"save-plan": true, "auto-apply": true}, "field save-plan"},
		{attributes{"refresh-only": true, "is-destroy": true}, "field refresh-only"},
		{attributes{"refresh-only": true, "refresh": false}, "field refresh-only"},
		{attributes{"refresh-only": true, "replace-addrs": []string{"a.b"}}, "field refresh-only"},
		{attributes{"variables": "x"}, "field variables"},
		{attributes{"variables": []attributes{{"value": "1"}}}, "field variables[0].key"},
	} {
		f.post("/api/v2/runs", adminToken, doc("runs", c.attrs, "workspace", "workspaces/"+f.ws.ID)).want(http.StatusUnprocessableEntity, messages.CodeInvalid).wantDetail(c.says)
	}
}

func TestRunSideLoadsWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := f.createRun(f.upload(false), attributes{})
	plan := *r.Relationships["plan"].Data
	for query, want := range map[string][]reference{
		"":                            nil,
		"?include=task_stages":        nil,
		"?include=workspace%2Cplan":   {{f.ws.ID, "workspaces"}, plan},
		"?include=plan,created_by,xy": {plan, {"test", "users"}},
	} {
		got := decoded[resource[runAttributes]](f.get("/api/v2/runs/"+r.ID+query, adminToken), http.StatusOK)
		equal(t, "included with "+query, got.Included, want)
	}
}

func TestRunEventsAndComments(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := f.newRun(run.Options{})
	of := "/api/v2/runs/" + r.ID
	_, read := f.member("rita", "default", postgres.RoleRead)
	f.post(of+"/comments", read, doc("comments", attributes{"body": "hi"})).want(http.StatusForbidden, messages.CodeForbidden)
	f.post(of+"/comments", adminToken, doc("comments", attributes{"body": ""})).want(http.StatusUnprocessableEntity, messages.CodeInvalid)
	said := decoded[resource[attributes]](f.post(of+"/comments", adminToken, doc("comments", attributes{"body": "looks good"})), http.StatusCreated).Data
	f.transition(r.ID, run.Cancel{})
	events := decoded[resources[attributes]](f.get(of+"/run-events?include=actor,comment", read), http.StatusOK)
	var actions []any
	for _, e := range events.Data {
		actions = append(actions, e.Attributes["action"])
		one := decoded[resource[attributes]](f.get("/api/v2/run-events/"+e.ID, read), http.StatusOK).Data
		equal(t, "the event by itself", one.Attributes["action"], e.Attributes["action"])
	}
	equal(t, "events", actions, []any{"created", "plan_queued", "commented", "cancel_requested", "canceled"})
	equal(t, "the comment", decoded[resource[attributes]](f.get("/api/v2/comments/"+said.ID, read), http.StatusOK).Data.Attributes["body"], any("looks good"))
	f.get("/api/v2/run-events/re-none", read).want(http.StatusNotFound, messages.CodeNotFound)
}

func TestCreatesAreIdempotent(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	cv := f.upload(false)
	body, err := json.Marshal(doc("runs", attributes{}, "workspace", "workspaces/"+f.ws.ID, "configuration-version", "configuration-versions/"+cv))
	must(t, err)
	once := func(body []byte) answer {
		return f.call("POST", "/api/v2/runs", adminToken, body, "Idempotency-Key", "k1")
	}
	first := decoded[resource[runAttributes]](once(body), http.StatusCreated).Data
	again := decoded[resource[runAttributes]](once(body), http.StatusCreated).Data
	equal(t, "the same request again", again, first)
	_, total, err := f.db.Runs(t.Context(), postgres.RunFilter{WorkspaceID: f.ws.ID})
	must(t, err)
	equal(t, "runs", total, 1)
	other, err := json.Marshal(doc("runs", attributes{"message": "other"}, "workspace", "workspaces/"+f.ws.ID))
	must(t, err)
	once(other).want(http.StatusUnprocessableEntity, messages.CodeIdempotencyMismatch).wantDetail("k1")
}

func TestConfigurationIsNeverQueuedByItself(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.post("/api/v2/workspaces/"+f.ws.ID+"/configuration-versions", adminToken, doc("configuration-versions", attributes{"auto-queue-runs": true})).
		want(http.StatusUnprocessableEntity, messages.CodeInvalid).wantDetail("field auto-queue-runs")
}
