package api_test

import (
	"net/http"
	"strings"
	"testing"

	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

func TestWhoMayPlanOnly(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx := t.Context()
	_, plan := f.member("pam", "default", postgres.RolePlan)
	_, write := f.member("will", "default", postgres.RoleWrite)
	others := f.newRun(run.Options{AutoApply: true}) // also makes a configuration
	f.post("/api/v2/runs/"+others.ID+"/actions/cancel", plan, attributes{}).want(http.StatusForbidden, messages.CodeForbidden).wantDetail("role write")

	f.post("/api/v2/runs", plan, doc("runs", attributes{"auto-apply": true}, "workspace", "workspaces/"+f.ws.ID)).want(http.StatusForbidden, messages.CodeForbidden)
	f.post("/api/gantry/v1/runs", plan, attributes{"workspace_id": f.ws.ID, "options": attributes{"auto_apply": true}}).want(http.StatusForbidden, messages.CodeForbidden)
	f.post("/api/gantry/v1/runs", write, attributes{"workspace_id": f.ws.ID, "execution": attributes{"execution_mode": "local"}}).
		want(http.StatusForbidden, messages.CodeForbidden).wantDetail("role admin")

	yes := true
	_, err := f.db.UpdateWorkspace(ctx, f.ws.ID, postgres.WorkspaceChange{AutoApply: &yes})
	must(t, err)
	own := decoded[resource[attributes]](f.post("/api/v2/runs", plan, doc("runs", attributes{}, "workspace", "workspaces/"+f.ws.ID)), http.StatusCreated).Data
	equal(t, "auto-apply of a workspace for who may plan", own.Attributes["auto-apply"], any(false))
	equal(t, "created-by", own.Attributes["created-by"], any("pam"))
	may := own.Attributes["permissions"].(map[string]any)
	equal(t, "permissions", []any{may["can-apply"], may["can-cancel"], may["can-force-cancel"]}, []any{false, true, false})
	f.post("/api/v2/runs/"+own.ID+"/actions/apply", plan, attributes{}).want(http.StatusForbidden, messages.CodeForbidden)
	f.post("/api/v2/runs/"+own.ID+"/actions/discard", plan, attributes{}).want(http.StatusAccepted, "")
	theirs := decoded[resource[attributes]](f.post("/api/v2/runs", write, doc("runs", attributes{}, "workspace", "workspaces/"+f.ws.ID)), http.StatusCreated).Data
	equal(t, "auto-apply of a workspace for who may apply", theirs.Attributes["auto-apply"], any(true))
}

func TestWhereAWorkspaceExecutesIsForAdmins(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, write := f.member("will", "default", postgres.RoleWrite)
	change := func(a attributes) answer { return f.patch("/api/v2/workspaces/"+f.ws.ID, write, doc("workspaces", a)) }
	change(attributes{"execution-mode": "remote", "description": "x"}).want(http.StatusOK, "")
	change(attributes{"execution-mode": "agent"}).want(http.StatusForbidden, messages.CodeForbidden)
	change(attributes{"agent-pool-id": "apool-x"}).want(http.StatusForbidden, messages.CodeForbidden)
}

func TestAnUploadAddressIsForThoseWhoMayPlan(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, read := f.member("rita", "default", postgres.RoleRead)
	_, plan := f.member("pam", "default", postgres.RolePlan)
	cv, err := f.db.CreateConfigurationVersion(t.Context(), postgres.NewConfigurationVersion{WorkspaceID: f.ws.ID})
	must(t, err)
	for token, want := range map[string]bool{read: false, plan: true} {
		body := string(f.get("/api/v2/configuration-versions/"+cv.ID, token).want(http.StatusOK, "").body)
		if got := strings.Contains(body, "/signed/"); got != want {
			t.Errorf("an upload address is shown: got %v, want %v", got, want)
		}
	}
}

func TestOneSeesOnlyOnesOrganizations(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, err := f.db.CreateOrganization(t.Context(), "other")
	must(t, err)
	_, err = f.db.CreateWorkspace(t.Context(), postgres.NewWorkspace{Organization: "other", Name: "secret"})
	must(t, err)
	_, token := f.member("ann", "default", postgres.RoleRead)
	for _, c := range []struct {
		token string
		want  []string
	}{{token, []string{"default"}}, {f.organizationToken("other", postgres.RoleRead), []string{"other"}}, {adminToken, []string{"default", "other"}}} {
		var names []string
		for _, o := range decoded[resources[attributes]](f.get("/api/v2/organizations", c.token), http.StatusOK).Data {
			names = append(names, o.ID)
		}
		equal(t, "organizations", names, c.want)
	}
	missing := f.get("/api/v2/organizations/none", token).want(http.StatusNotFound, messages.CodeNotFound)
	hidden := f.get("/api/v2/organizations/other", token).want(http.StatusNotFound, messages.CodeNotFound)
	equal(t, "what is hidden and what is not there", strings.ReplaceAll(string(hidden.body), "other", "none"), string(missing.body))
	f.get("/api/v2/organizations/other/workspaces/secret", token).want(http.StatusNotFound, messages.CodeNotFound)
}
