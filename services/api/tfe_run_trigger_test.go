package api_test

import (
	"net/http"
	"testing"

	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

func TestRunTriggersAndStateConsumers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	source, err := f.db.CreateWorkspace(t.Context(), postgres.NewWorkspace{Organization: "default", Name: "base"})
	must(t, err)
	path := "/api/v2/workspaces/" + f.ws.ID
	from := func(id string) answer {
		return f.post(path+"/run-triggers", adminToken, doc("run-triggers", nil, "sourceable", "workspaces/"+id))
	}
	made := decoded[resource[attributes]](from(source.ID), http.StatusCreated).Data
	from(source.ID).want(http.StatusUnprocessableEntity, messages.CodeNameTaken)
	from(f.ws.ID).want(http.StatusUnprocessableEntity, messages.CodeInvalid).wantDetail("its own runs")
	from("ws-none").want(http.StatusUnprocessableEntity, messages.CodeInvalid)
	f.post("/api/v2/workspaces/"+source.ID+"/run-triggers", adminToken, doc("run-triggers", nil, "sourceable", "workspaces/"+f.ws.ID)).
		want(http.StatusUnprocessableEntity, messages.CodeInvalid).wantDetail("never end")
	f.get(path+"/run-triggers", adminToken).want(http.StatusUnprocessableEntity, messages.CodeInvalid).wantDetail("filter[run-trigger][type]")
	for of, want := range map[string]int{path + "/run-triggers?filter[run-trigger][type]=inbound": 1, path + "/run-triggers?filter[run-trigger][type]=outbound": 0} {
		equal(t, of, len(decoded[resources[attributes]](f.get(of, adminToken), http.StatusOK).Data), want)
	}
	f.call("DELETE", "/api/v2/run-triggers/"+made.ID, adminToken, nil).want(http.StatusNoContent, "")

	consumers := path + "/relationships/remote-state-consumers"
	body := attributes{"data": []attributes{{"type": "workspaces", "id": source.ID}}}
	f.post(consumers, adminToken, body).want(http.StatusNoContent, "")
	f.post(consumers, adminToken, attributes{"data": []attributes{{"type": "workspaces", "id": "ws-none"}}}).want(http.StatusNotFound, messages.CodeNotFound)
	equal(t, "consumers", len(decoded[resources[attributes]](f.get(consumers, adminToken), http.StatusOK).Data), 1)
	f.patch(consumers, adminToken, attributes{"data": []attributes{}}).want(http.StatusNoContent, "")
	equal(t, "consumers in the end", len(decoded[resources[attributes]](f.get(consumers, adminToken), http.StatusOK).Data), 0)
}

func TestConfigurationsAreListedAndDownloaded(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := f.newRun(run.Options{})
	all := decoded[resources[attributes]](f.get("/api/v2/workspaces/"+f.ws.ID+"/configuration-versions", adminToken), http.StatusOK).Data
	equal(t, "configuration versions", len(all), 1)
	_, read := f.member("rita", "default", postgres.RoleRead)
	f.get("/api/v2/configuration-versions/"+r.ConfigurationVersionID+"/download", read).want(http.StatusForbidden, messages.CodeForbidden)
	got := f.get("/api/v2/configuration-versions/"+r.ConfigurationVersionID+"/download", adminToken).want(http.StatusOK, "")
	equal(t, "archive", string(got.body), "an archive")
}

func TestASetOfVariablesForAProject(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	p := decoded[resource[attributes]](f.post("/api/v2/organizations/default/projects", adminToken, doc("projects", attributes{"name": "net"})), http.StatusCreated).Data
	set := decoded[resource[attributes]](f.post("/api/v2/organizations/default/varsets", adminToken, doc("varsets", attributes{"name": "regions"})), http.StatusCreated).Data
	f.post("/api/v2/varsets/"+set.ID+"/relationships/vars", adminToken, doc("vars", attributes{"key": "region", "value": "eu", "category": "env"})).want(http.StatusCreated, "")
	give := attributes{"data": []attributes{{"type": "projects", "id": p.ID}}}
	f.post("/api/v2/varsets/"+set.ID+"/relationships/projects", adminToken, give).want(http.StatusNoContent, "")
	equal(t, "sets of the project", len(decoded[resources[attributes]](f.get("/api/v2/projects/"+p.ID+"/varsets", adminToken), http.StatusOK).Data), 1)
	count := func() int {
		return len(decoded[resources[attributes]](f.get("/api/v2/workspaces/"+f.ws.ID+"/all-vars", adminToken), http.StatusOK).Data)
	}
	equal(t, "variables outside of the project", count(), 0)
	f.patch("/api/v2/workspaces/"+f.ws.ID, adminToken, doc("workspaces", attributes{}, "project", "projects/"+p.ID)).want(http.StatusOK, "")
	equal(t, "variables in the project", count(), 1)
}
