package api_test

import (
	"net/http"
	"testing"

	"gantry.example/messages"
	"gantry.example/services/run"
)

func TestProjects(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const of = "/api/v2/organizations/default/projects"
	all := decoded[resources[attributes]](f.get(of, adminToken), http.StatusOK).Data
	equal(t, "projects at first", len(all), 1)
	equal(t, "the only one", all[0].Attributes["name"], any("Default Project"))
	f.call("DELETE", "/api/v2/projects/"+all[0].ID, adminToken, nil).want(http.StatusConflict, messages.CodeConflict)

	made := decoded[resource[attributes]](f.post(of, adminToken, doc("projects", attributes{"name": "net work"})), http.StatusCreated).Data
	f.post(of, adminToken, doc("projects", attributes{"name": "Net Work"})).want(http.StatusUnprocessableEntity, messages.CodeNameTaken)
	for _, bad := range []string{"", "ab", " abc", "a/b/c"} {
		f.post(of, adminToken, doc("projects", attributes{"name": bad})).want(http.StatusUnprocessableEntity, messages.CodeInvalid)
	}
	one := "/api/v2/projects/" + made.ID
	f.patch(one, adminToken, doc("projects", attributes{"description": "routers"})).want(http.StatusOK, "")
	f.patch(one+"/tag-bindings", adminToken, map[string]any{"data": []any{
		map[string]any{"type": "tag-bindings", "attributes": attributes{"key": "team", "value": "net"}}}}).want(http.StatusOK, "")
	f.patch(one, adminToken, doc("projects", attributes{"auto-destroy-activity-duration": "1d"})).want(http.StatusUnprocessableEntity, messages.CodeInvalid)

	f.patch("/api/v2/workspaces/"+f.ws.ID, adminToken, doc("workspaces", attributes{}, "project", "projects/"+made.ID)).want(http.StatusOK, "")
	inherited := decoded[resources[attributes]](f.get("/api/v2/workspaces/"+f.ws.ID+"/effective-tag-bindings", adminToken), http.StatusOK)
	equal(t, "inherited tags", len(inherited.Data), 1)
	equal(t, "inherited tag", inherited.Data[0].Attributes["value"], any("net"))
	f.call("DELETE", one, adminToken, nil).want(http.StatusConflict, messages.CodeConflict).wantDetail("1 workspaces")
	found := decoded[resources[attributes]](f.get("/api/v2/organizations/default/workspaces?include=project&filter[project][id]="+made.ID, adminToken), http.StatusOK).Data
	equal(t, "workspaces of the project", len(found), 1)
	f.patch("/api/v2/workspaces/"+f.ws.ID, adminToken, doc("workspaces", attributes{}, "project", "projects/prj-none")).want(http.StatusUnprocessableEntity, messages.CodeInvalid)
	f.patch("/api/v2/workspaces/"+f.ws.ID, adminToken, doc("workspaces", attributes{}, "project", "projects/"+all[0].ID)).want(http.StatusOK, "")
	f.call("DELETE", one, adminToken, nil).want(http.StatusNoContent, "")
	f.get(one, adminToken).want(http.StatusNotFound, messages.CodeNotFound)
}

func TestOrganizationsChangeAndGo(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	create := func(name string) {
		f.post("/api/v2/organizations", adminToken, doc("organizations", attributes{"name": name, "email": name + "@example.com", "cost-estimation-enabled": true})).want(http.StatusCreated, "")
	}
	create("acme")
	acme := func(a attributes) answer {
		return f.patch("/api/v2/organizations/acme", adminToken, doc("organizations", a))
	}
	acme(attributes{"user-tokens-enabled": false}).want(http.StatusUnprocessableEntity, messages.CodeInvalid).wantDetail("user-tokens-enabled")
	acme(attributes{"cost-estimation-enabled": "yes"}).want(http.StatusUnprocessableEntity, messages.CodeInvalid).wantDetail("true or false")
	acme(attributes{"default-execution-mode": "local"}).want(http.StatusUnprocessableEntity, messages.CodeInvalid)
	acme(attributes{"name": "default"}).want(http.StatusUnprocessableEntity, messages.CodeNameTaken)
	shown := decoded[resource[attributes]](acme(attributes{"name": "acme2", "email": "ops@example.com"}), http.StatusOK).Data
	equal(t, "what was kept", shown.Attributes["cost-estimation-enabled"], any(true))
	found := decoded[resources[attributes]](f.get("/api/v2/organizations?q=OPS@", adminToken), http.StatusOK).Data
	equal(t, "found by its address", len(found), 1)

	f.newRun(run.Options{})
	f.call("DELETE", "/api/v2/organizations/default", adminToken, nil).want(http.StatusConflict, messages.CodeWorkspaceLocked)
	f.call("DELETE", "/api/v2/organizations/acme2", adminToken, nil).want(http.StatusNoContent, "")
	f.get("/api/v2/organizations/acme2", adminToken).want(http.StatusNotFound, messages.CodeNotFound)
}

func TestWhatAWorkspaceKeepsForTFEsClients(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	path := "/api/v2/workspaces/" + f.ws.ID
	change := func(a attributes) answer { return f.patch(path, adminToken, doc("workspaces", a)) }
	got := decoded[resource[attributes]](change(attributes{"queue-all-runs": true, "trigger-prefixes": []string{"a"}, "allow-destroy-plan": false}), http.StatusOK).Data
	equal(t, "queue-all-runs", got.Attributes["queue-all-runs"], any(true))
	equal(t, "trigger-prefixes", got.Attributes["trigger-prefixes"], any([]any{"a"}))
	equal(t, "file-triggers-enabled", got.Attributes["file-triggers-enabled"], any(true))
	change(attributes{"auto-destroy-at": "2030-01-01T00:00:00Z"}).want(http.StatusUnprocessableEntity, messages.CodeInvalid).wantDetail("auto-destroy-at")
	change(attributes{"auto-destroy-at": nil}).want(http.StatusOK, "")

	f.newRun(run.Options{PlanOnly: true})
	destroy := doc("runs", attributes{"is-destroy": true}, "workspace", "workspaces/"+f.ws.ID)
	f.post("/api/v2/runs", adminToken, destroy).want(http.StatusConflict, messages.CodeConflict).wantDetail("allow-destroy-plan")
	change(attributes{"allow-destroy-plan": true}).want(http.StatusOK, "")
	f.post("/api/v2/runs", adminToken, destroy).want(http.StatusCreated, "")
}
