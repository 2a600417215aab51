package api_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

func TestOrganization(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	made := decoded[resource[attributes]](f.post("/api/v2/organizations", adminToken, doc("organizations", attributes{"name": "acme", "email": "x@y"})), http.StatusCreated)
	equal(t, "id, type, mode", []any{made.Data.ID, made.Data.Type, made.Data.Attributes["default-execution-mode"]}, []any{"acme", "organizations", "remote"})
	shown := decoded[resource[attributes]](f.get("/api/v2/organizations/acme", adminToken), http.StatusOK)
	equal(t, "shown", shown, made)
	all := decoded[resources[attributes]](f.get("/api/v2/organizations", adminToken), http.StatusOK)
	equal(t, "count", all.Meta.Pagination.Count, 2)
	set := decoded[resource[attributes]](f.get("/api/v2/organizations/acme/entitlement-set", adminToken), http.StatusOK).Data
	equal(t, "entitlements", []any{set.Type, set.Attributes["operations"], set.Attributes["state-storage"]}, []any{"entitlement-sets", true, true})
}

// What Terraform's init does with a workspace that is not there.
func TestWorkspaceOfInit(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	byName := "/api/v2/organizations/default/workspaces/demo"
	f.get(byName, adminToken).want(http.StatusNotFound, messages.CodeNotFound)
	made := decoded[resource[attributes]](f.post("/api/v2/organizations/default/workspaces", adminToken, doc("workspaces", attributes{"name": "demo"})), http.StatusCreated).Data
	want := attributes{
		"name": "demo", "locked": false, "operations": true, "execution-mode": "remote", "terraform-version": "latest", "working-directory": "",
		"structured-run-output-enabled": false, "auto-apply": false,
	}
	got := attributes{}
	for name := range want {
		got[name] = made.Attributes[name]
	}
	equal(t, "attributes", got, want)
	equal(t, "organization", made.Relationships["organization"].Data, &reference{"default", "organizations"})
	for _, block := range []string{"permissions", "actions", "tag-names"} {
		if made.Attributes[block] == nil {
			t.Errorf("got no %s, want it", block)
		}
	}

	byID := "/api/v2/workspaces/" + made.ID
	f.patch(byID, adminToken, doc("workspaces", attributes{"terraform-version": "1.15.9-dev"})).want(http.StatusOK, "")
	if got := f.execution(made.ID).TerraformVersion; got != "" {
		t.Errorf("a development build: got version %q stored, want none, so that what is installed is used", got)
	}
	patched := decoded[resource[attributes]](f.patch(byName, adminToken, doc("workspaces", attributes{
		"terraform-version": "1.11.4", "working-directory": "/modules/x/", "description": "d", "auto-apply": true,
	})), http.StatusOK).Data
	equal(t, "patched", []any{patched.Attributes["terraform-version"], patched.Attributes["working-directory"], patched.Attributes["description"], patched.Attributes["auto-apply"]},
		[]any{"1.11.4", "modules/x", "d", true})
	equal(t, "document", f.execution(made.ID), messages.Execution{TerraformVersion: "1.11.4", Workdir: "modules/x"})
	shown := decoded[resource[attributes]](f.get(byID, adminToken), http.StatusOK).Data
	equal(t, "shown by id", shown, patched)
	back := decoded[resource[attributes]](f.patch(byID, adminToken, doc("workspaces", attributes{"terraform-version": "latest", "working-directory": "."})), http.StatusOK).Data
	equal(t, "taken back", []any{back.Attributes["terraform-version"], back.Attributes["working-directory"]}, []any{"latest", ""})
}

func TestWorkspaceMadeByTofuIsTofus(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	body, err := json.Marshal(doc("workspaces", attributes{"name": "demo"}))
	must(t, err)
	made := decoded[resource[attributes]](f.call("POST", "/api/v2/organizations/default/workspaces", adminToken, body,
		"User-Agent", "OpenTofu/1.12.6 (+https://opentofu.org)"), http.StatusCreated).Data
	if got, want := f.execution(made.ID).Engine, messages.EngineOpenTofu; got != want {
		t.Errorf("got engine %q, want %q", got, want)
	}
}

func (f *fixture) execution(workspace string) messages.Execution {
	f.t.Helper()
	w, err := f.db.Workspace(f.t.Context(), workspace)
	must(f.t, err)
	e, err := messages.ParseExecution(w.Execution)
	must(f.t, err)
	return e
}

func TestExecutionModeIsTranslated(t *testing.T) {
	t.Parallel()
	f := newFixtureWith(t, postgres.Config{Modes: []messages.Mode{messages.ModeLocal, messages.ModeAgent, messages.ModeK8s}})
	path := "/api/v2/workspaces/" + f.ws.ID
	mode := func(word string) answer {
		return f.patch(path, adminToken, doc("workspaces", attributes{"execution-mode": word}))
	}
	c, err := f.db.CreateK8sConfig(t.Context(), "default", postgres.K8sChange{Name: new("prod"), Namespace: new("iac"),
		Access: &postgres.ClusterAccess{Kind: wire.ClusterRemote}, PodTemplate: &messages.PodTemplate{Image: "terraform"}})
	must(t, err)
	k8s := messages.Execution{Mode: messages.ModeK8s, K8sConfig: messages.Ref(c.ID), Namespace: "iac", Workdir: "x"}
	_, err = f.db.UpdateWorkspace(t.Context(), f.ws.ID, postgres.WorkspaceChange{Execution: &k8s})
	must(t, err)

	shown := decoded[resource[attributes]](mode("remote"), http.StatusOK).Data
	equal(t, "k8s is shown as", shown.Attributes["execution-mode"], any("remote"))
	equal(t, "the shown mode written back", f.execution(f.ws.ID), k8s)

	p, err := f.db.CreatePool(t.Context(), "default", postgres.PoolChange{Name: new("aws")})
	must(t, err)
	mode("agent").want(http.StatusUnprocessableEntity, messages.CodeExecutionInvalid).wantDetail("field agent_pool_id: missing")
	shown = decoded[resource[attributes]](f.patch(path, adminToken, doc("workspaces", attributes{"execution-mode": "agent", "agent-pool-id": p.ID})), http.StatusOK).Data
	equal(t, "agent is shown as", shown.Attributes["execution-mode"], any("agent"))
	equal(t, "its pool", shown.Attributes["agent-pool-id"], any(p.ID))
	equal(t, "another mode keeps what is common", f.execution(f.ws.ID), messages.Execution{Mode: messages.ModeAgent, AgentPool: messages.Ref(p.ID), Workdir: "x"})

	mode("remote").want(http.StatusOK, "")
	equal(t, "remote from agent", f.execution(f.ws.ID), messages.Execution{Mode: messages.ModeLocal, Workdir: "x"})

	shown = decoded[resource[attributes]](mode("local"), http.StatusOK).Data
	equal(t, "on the user's machine", []any{shown.Attributes["execution-mode"], shown.Attributes["operations"]}, []any{"local", false})
	equal(t, "local is no execution document's", f.execution(f.ws.ID), messages.Execution{Mode: messages.ModeLocal, Workdir: "x"})
	f.post("/api/v2/runs", adminToken, doc("runs", attributes{}, "workspace", "workspaces/"+f.ws.ID)).
		want(http.StatusUnprocessableEntity, messages.CodeExecutionUnsupported).wantDetail("own machine", "remote")
	mode("local").want(http.StatusOK, "")
	mode("remote").want(http.StatusOK, "")
	equal(t, "back from the user's machine", f.execution(f.ws.ID), messages.Execution{Mode: messages.ModeLocal, Workdir: "x"})

	mode("cloud").want(http.StatusUnprocessableEntity, messages.CodeInvalid).wantDetail("field execution-mode", "cloud")
	for name, value := range (attributes{"working-directory": "../x", "terraform-version": "newest", "name": "a b"}) {
		f.patch(path, adminToken, doc("workspaces", attributes{name: value})).want(http.StatusUnprocessableEntity, messages.CodeInvalid).wantDetail("field " + name)
	}
}

func TestAnAbsoluteFolderIsNotTFEs(t *testing.T) {
	t.Parallel()
	f := newFixtureWith(t, postgres.Config{Workdirs: []string{"/srv/gantry"}})
	path, own := "/api/v2/workspaces/"+f.ws.ID, "/api/gantry/v1/workspaces/"+f.ws.ID+"/execution"
	for _, refused := range []string{"/etc", "/srv/gantry2", "/srv"} {
		f.call("PUT", own, adminToken, []byte(`{"workdir":"`+refused+`"}`)).
			want(http.StatusUnprocessableEntity, messages.CodeExecutionInvalid).wantDetail("field workdir", refused, "only what is below /srv/gantry")
	}
	want := messages.Execution{Workdir: "/srv/gantry/network"}
	f.call("PUT", own, adminToken, []byte(`{"workdir":"/srv/gantry/network"}`)).want(http.StatusOK, "")
	for _, shown := range []string{"", "/"} {
		got := decoded[resource[attributes]](f.patch(path, adminToken, doc("workspaces", attributes{"working-directory": shown})), http.StatusOK).Data
		equal(t, "shown folder", got.Attributes["working-directory"], any(""))
		equal(t, "the shown folder written back", f.execution(f.ws.ID), want)
	}
}

func TestWorkspaceIsLockedWhileARunHoldsIt(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	show := func() node[attributes] {
		return decoded[resource[attributes]](f.get("/api/v2/workspaces/"+f.ws.ID, adminToken), http.StatusOK).Data
	}
	r := f.newRun(run.Options{})
	got := show()
	equal(t, "locked", got.Attributes["locked"], any(true))
	equal(t, "current run", got.Relationships["current-run"].Data, &reference{r.ID, "runs"})

	f.planned(r, true)
	f.transition(r.ID, run.Confirm{})
	c := f.claim(f.mustRun(r.ID).Apply.ID)
	f.start(c)
	f.transition(r.ID, run.Exit{AttemptID: c.AttemptID, Detail: "killed"})
	got = show()
	equal(t, "locked by an unknown outcome", got.Attributes["locked"], any(true))
	equal(t, "current run", got.Relationships["current-run"].Data, &reference{r.ID, "runs"})
}

func TestWorkspaceIsFreeAfterItsRun(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := f.newRun(run.Options{})
	f.planned(r, false)
	got := decoded[resource[attributes]](f.get("/api/v2/workspaces/"+f.ws.ID, adminToken), http.StatusOK).Data
	equal(t, "locked", got.Attributes["locked"], any(false))
	// As in TFE the newest run stays the current one; Terraform's CLI takes one that is over for none.
	equal(t, "current run", got.Relationships["current-run"].Data, &reference{r.ID, "runs"})
}
