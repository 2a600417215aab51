package api_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

const otherToken = "gantry-test-other"

func (f *fixture) other() string {
	f.t.Helper()
	must(f.t, f.db.EnsureToken(f.t.Context(), otherToken, postgres.TokenAdmin, "", "bob"))
	return otherToken
}

func TestLockAndUnlock(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	other := f.other()
	act := func(name, token, body string) answer {
		return f.call("POST", "/api/v2/workspaces/"+f.ws.ID+"/actions/"+name, token, []byte(body))
	}
	// Terraform's CLI sends a document with an empty type, and nothing to unlock.
	got := decoded[resource[attributes]](act("lock", adminToken, `{"data":{"type":"","attributes":{"reason":"Locked by Terraform"}}}`), http.StatusOK).Data
	equal(t, "locked", []any{got.Type, got.Attributes["locked"], got.Attributes["locked-reason"]}, []any{"workspaces", true, "Locked by test: Locked by Terraform"})
	act("lock", other, `{"reason":"me too"}`).want(http.StatusConflict, messages.CodeWorkspaceLocked).wantDetail("User test", "Locked by Terraform")
	act("unlock", other, "").want(http.StatusConflict, messages.CodeWorkspaceLocked).wantDetail("is locked by User test")
	r := f.newRun(run.Options{})
	equal(t, "a run behind the lock", r.Status, run.Pending)
	got = decoded[resource[attributes]](act("unlock", adminToken, ""), http.StatusOK).Data
	equal(t, "next run", got.Relationships["current-run"].Data, &reference{r.ID, "runs"})
	equal(t, "it was released", f.mustRun(r.ID).Status, run.PlanQueued)
	act("unlock", adminToken, "").want(http.StatusConflict, messages.CodeWorkspaceLocked).wantDetail("is locked by Run " + r.ID)

	act("lock", adminToken, `{"reason":"plain"}`).want(http.StatusOK, "") // the run goes on, the next one does not start
	act("force-unlock", other, "{}").want(http.StatusOK, "")
	f.transition(r.ID, run.Cancel{})
	for _, name := range []string{"unlock", "force-unlock"} {
		a := act(name, adminToken, "").want(http.StatusConflict, messages.CodeConflict)
		if strings.Contains(string(a.body), "is locked by") {
			t.Errorf("%s: got %s, want no holder named", name, a.body)
		}
	}
	act("lock", adminToken, `[]`).want(http.StatusUnprocessableEntity, messages.CodeInvalid)
}

func TestDeleteWorkspace(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const byName = "/api/v2/organizations/default/workspaces/"
	path := "/api/v2/workspaces/" + f.ws.ID
	const full = `{"version":4,"serial":1,"lineage":"l","resources":[{"mode":"managed","type":"x","name":"y","instances":[{}]}]}`
	f.post(path+"/state-versions", adminToken, stateDoc(full, nil)).want(http.StatusCreated, "")
	for _, safe := range []string{path + "/actions/safe-delete", byName + "network/actions/safe-delete"} {
		a := f.call("POST", safe, adminToken, nil).want(http.StatusConflict, messages.CodeConflict)
		a.wantDetail("1 resources")
		if strings.Contains(string(a.body), "locked") || strings.Contains(string(a.body), "being processed") {
			t.Errorf("got %s, want none of the words that mean something else to clients of TFE", a.body)
		}
	}
	f.call("POST", path+"/actions/lock", adminToken, nil).want(http.StatusOK, "")
	f.call("POST", path+"/actions/safe-delete", adminToken, nil).want(http.StatusConflict, messages.CodeWorkspaceLocked).wantDetail("locked")
	f.call("POST", path+"/actions/unlock", adminToken, nil).want(http.StatusOK, "")
	r := f.newRun(run.Options{})
	f.call("DELETE", path, adminToken, nil).want(http.StatusConflict, messages.CodeWorkspaceLocked).wantDetail(r.ID)
	f.transition(r.ID, run.Cancel{})
	f.call("DELETE", path, adminToken, nil).want(http.StatusNoContent, "")
	f.get(path, adminToken).want(http.StatusNotFound, messages.CodeNotFound)
	f.get("/api/v2/runs/"+r.ID, adminToken).want(http.StatusNotFound, messages.CodeNotFound)

	for _, name := range []string{"a", "b"} {
		f.post(strings.TrimSuffix(byName, "/"), adminToken, doc("workspaces", attributes{"name": name})).want(http.StatusCreated, "")
	}
	f.call("DELETE", byName+"a", adminToken, nil).want(http.StatusNoContent, "")
	f.call("POST", byName+"b/actions/safe-delete", adminToken, nil).want(http.StatusNoContent, "")
	equal(t, "left", decoded[resources[attributes]](f.get(byName[:len(byName)-1], adminToken), http.StatusOK).Meta.Pagination.Count, 0)
}

// TestAStreamOfADeletedRunEnds: its end can't be told any more.
func TestAStreamOfADeletedRunEnds(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := f.newRun(run.Options{PlanOnly: true})
	f.follow(t.Context(), "/api/gantry/v1/runs/"+r.ID+"/events", "", func(e sent) bool {
		if e.event == "snapshot" {
			f.call("DELETE", "/api/v2/workspaces/"+f.ws.ID, adminToken, nil).want(http.StatusNoContent, "")
		}
		return true
	})
}

func TestSearchOfWorkspaces(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const path = "/api/v2/organizations/default/workspaces"
	for _, name := range []string{"net-prod", "db_prod", "dbxprod"} {
		f.post(path, adminToken, doc("workspaces", attributes{"name": name})).want(http.StatusCreated, "")
	}
	for part, want := range map[string][]string{"PROD": {"db_prod", "dbxprod", "net-prod"}, "b_p": {"db_prod"}, "net": {"net-prod", "network"}, "none": nil} {
		got := decoded[resources[attributes]](f.get(path+"?search[name]="+part, adminToken), http.StatusOK)
		var names []string
		for _, w := range got.Data {
			names = append(names, w.Attributes["name"].(string))
		}
		equal(t, part, names, want)
		equal(t, part+": count", got.Meta.Pagination.Count, len(want))
	}
}

// TestTwoPatchesOfOneDocument change different fields of it at the same time.
func TestTwoPatchesOfOneDocument(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	path := "/api/v2/workspaces/" + f.ws.ID
	for range 10 {
		f.call("PUT", "/api/gantry/v1/workspaces/"+f.ws.ID+"/execution", adminToken, []byte(`{}`)).want(http.StatusOK, "")
		var wg sync.WaitGroup
		for name, value := range (attributes{"working-directory": "x", "terraform-version": "1.11.4"}) {
			wg.Go(func() { f.patch(path, adminToken, doc("workspaces", attributes{name: value})).want(http.StatusOK, "") })
		}
		wg.Wait()
		equal(t, "document", f.execution(f.ws.ID), messages.Execution{Workdir: "x", TerraformVersion: "1.11.4"})
	}
}
