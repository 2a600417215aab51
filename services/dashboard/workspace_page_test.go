package dashboard_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/postgres"
)

func TestWorkspacesAreFoundByWhatTheyAre(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	_, err := f.db.CreateOrganization(t.Context(), "secret")
	must(t, err)
	for _, in := range []postgres.NewWorkspace{
		{Organization: "default", Name: "database", Tags: map[string]string{"env": "prod", "db": ""}},
		{Organization: "default", Name: "locked-one"}, {Organization: "secret", Name: "hidden"},
	} {
		ws, err := f.db.CreateWorkspace(t.Context(), in)
		must(t, err)
		if in.Name == "locked-one" {
			_, err := f.db.LockWorkspace(t.Context(), ws.ID, "ada", "moving house")
			must(t, err)
		}
	}
	f.newRun("first")
	f.enter("rita", postgres.RoleRead)
	for query, want := range map[string][]string{
		"":                     {"database", "locked-one", "network"},
		"?name=NET":            {"network"},
		"?label=env%3Dprod":    {"database"},
		"?label=db":            {"database"},
		"?label=env%3Dtest":    nil,
		"?locked=yes":          {"locked-one"},
		"?status=waiting":      {"network"},
		"?status=none":         {"database", "locked-one"},
		"?organization=secret": nil,
		"?status=none&name=lo": {"locked-one"},
	} {
		page := f.get("/app/~workspaces" + query).want(http.StatusOK)
		var got []string
		for _, name := range []string{"database", "hidden", "locked-one", "network"} {
			if strings.Contains(page.body, `class="name" href="/app/default/`+name+`"`) || strings.Contains(page.body, `/app/secret/`+name) {
				got = append(got, name)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
	}
	f.get("/app/~workspaces").want(http.StatusOK, "Locked by ada: moving house", "Plan queued")
}

func TestManyWorkspacesHavePages(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	for i := range 60 {
		f.newWorkspace("many-" + string(rune('a'+i/26)) + string(rune('a'+i%26)))
	}
	f.logIn(adminToken, "")
	first := f.get("/app/~workspaces").want(http.StatusOK, "many-aa", "many-bx", "Next page").without("many-by")
	_, rest, _ := strings.Cut(first.body, `<p class="pager"><a href="`)
	next, _, _ := strings.Cut(rest, `"`)
	f.get(strings.ReplaceAll(next, "&amp;", "&")).want(http.StatusOK, "many-by", "network").without("many-bx", "Next page")
}

func TestAWorkspaceIsLockedByHand(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	const page = "/app/default/network"
	f.enter("wanda", postgres.RoleWrite)
	f.post(page+"/lock", "do", "lock", "reason", "a <b>look</b>").leadsTo(http.StatusSeeOther, page)
	f.get(page).want(http.StatusOK, "Locked by <strong>wanda</strong>", "a &lt;b&gt;look&lt;/b&gt;", `value="unlock"`)
	f.enter("willi", postgres.RoleWrite)
	f.get(page).want(http.StatusOK).without(`value="unlock"`, `value="force-unlock"`)
	f.post(page+"/lock", "do", "unlock").want(http.StatusConflict, "is locked by User wanda")
	f.post(page+"/lock", "do", "force-unlock").want(http.StatusForbidden, "role admin")
	f.post(page+"/lock", "do", "explode").want(http.StatusNotFound)
	f.enter("adam", postgres.RoleAdmin)
	f.get(page).want(http.StatusOK, `value="force-unlock"`)
	f.post(page+"/lock", "do", "force-unlock").leadsTo(http.StatusSeeOther, page)
	f.get(page).want(http.StatusOK).without("Locked by")
}

func TestARunIsStartedFromThePage(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	f.enter("petra", postgres.RolePlan)
	f.post("/app/default/network/runs", "kind", "plan").want(http.StatusUnprocessableEntity, "has no configuration yet")
	f.newRun("brings a configuration")
	at := f.post("/app/default/network/runs", "kind", "plan", "message", "have a look").want(http.StatusSeeOther).header.Get("Location")
	f.get(at).want(http.StatusOK, "<h1>have a look</h1>", "Plan only", "petra")
}

func TestTheExecutionDocumentHasAForm(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	const page = "/app/default/network/settings"
	own := func() string {
		ws, err := f.db.Workspace(t.Context(), f.ws.ID)
		must(t, err)
		return string(ws.Execution)
	}
	f.enter("adam", postgres.RoleAdmin)
	f.post(page, "execution_mode", "local", "terraform_version", "~> 1.11", "workdir", " modules/net ", "timeouts.plan", "20m").
		leadsTo(http.StatusSeeOther, page+"?saved=yes")
	want := messages.Execution{Mode: "local", TerraformVersion: "~> 1.11", Workdir: "modules/net", Timeouts: messages.Timeouts{Plan: "20m"}}
	var got messages.Execution
	must(t, json.Unmarshal([]byte(own()), &got))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the document (-want +got):\n%s", diff)
	}
	f.get(page+"?saved=yes").want(http.StatusOK, "Saved.", `value="modules/net"`, `value="20m"`, "Kubernetes mode")
	before := own()
	f.post(page, "execution_mode", "local", "timeouts.plan", "soon", "workdir", "kept").want(http.StatusUnprocessableEntity, "timeouts.plan", `value="soon"`, `value="kept"`)
	// What belongs to another mode is not sent, so a switch of the mode needs no clearing of fields.
	f.post(page, "execution_mode", "local", "agent_pool_id", "1", "pod_template.image", "x").want(http.StatusSeeOther)
	if after := own(); strings.Contains(after, "agent_pool_id") || strings.Contains(after, "pod_template") || after == before {
		t.Errorf("got document %s, want one without fields of other modes", after)
	}
	f.enter("wanda", postgres.RoleWrite)
	f.get(page).want(http.StatusOK, "takes the role admin", "disabled")
	f.post(page, "execution_mode", "local").want(http.StatusForbidden, "role admin")
}

func TestVariablesOfAWorkspace(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	const page = "/app/default/network/variables"
	f.enter("wanda", postgres.RoleWrite)
	f.post(page, "key", "region", "value", "<eu>", "category", "terraform").leadsTo(http.StatusSeeOther, page)
	f.post(page, "key", "TOKEN", "value", "hunter2hunter2", "category", "env", "sensitive", "yes").leadsTo(http.StatusSeeOther, page)
	f.get(page).want(http.StatusOK, "region", "&lt;eu&gt;", "TOKEN", "sensitive").without("hunter2")
	f.post(page, "key", "not a name", "value", "x", "category", "terraform").want(http.StatusUnprocessableEntity, `value="not a name"`)
	all, err := f.db.Variables(t.Context(), postgres.Holder{WorkspaceID: f.ws.ID})
	must(t, err)
	byKey := map[string]postgres.Variable{}
	for _, v := range all {
		byKey[v.Key] = v
	}
	f.get(page+"?edit="+byKey["TOKEN"].ID).want(http.StatusOK, "Change TOKEN", "left empty").without("hunter2")
	f.post(page, "id", byKey["TOKEN"].ID, "key", "TOKEN", "value", "", "category", "env", "sensitive", "yes", "description", "of the cloud").want(http.StatusSeeOther)
	v, err := f.db.Variable(t.Context(), postgres.Holder{WorkspaceID: f.ws.ID}, byKey["TOKEN"].ID)
	must(t, err)
	if diff := cmp.Diff(wire.Variable{Key: "TOKEN", Value: "hunter2hunter2", Category: wire.CategoryEnv, Sensitive: true}, v.Variable); diff != "" || v.Description != "of the cloud" {
		t.Errorf("the value that was not given (-want +got):\n%s", diff)
	}
	f.post(page, "delete", byKey["region"].ID).leadsTo(http.StatusSeeOther, page)
	f.get(page).want(http.StatusOK).without("region")
	f.enter("rita", postgres.RoleRead)
	f.get(page).want(http.StatusOK).without("<form class=\"fields\"")
	f.post(page, "key", "x", "value", "x", "category", "terraform").want(http.StatusForbidden)
}

// TestAWorkspaceShowsWhoIsTold: a receiver that fails is seen, why only by who may change it, and its address by nobody.
func TestAWorkspaceShowsWhoIsTold(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	destination, url, on := postgres.DestinationGeneric, "https://hooks.example.com/secret", true
	for name, got := range map[string]postgres.DeliveryResponse{"well": {Code: 200, Successful: true}, "ill": {Code: 503, Body: "come back later"}} {
		c, err := postgres.NotificationConfiguration{}.Changed(f.ws.ID, postgres.NotificationChange{Name: &name, Destination: &destination, URL: &url, Enabled: &on})
		must(t, err)
		_, err = f.db.CreateNotificationConfiguration(t.Context(), c, &got)
		must(t, err)
	}
	f.enter("rita", postgres.RoleRead)
	f.get("/app/default/network").want(http.StatusOK, "Notifications", "Fails", "On").without("come back later", "hooks.example.com")
	f.enter("wim", postgres.RoleWrite)
	f.get("/app/default/network").want(http.StatusOK, "1 in a row, last: 503 come back later").without("hooks.example.com")
}
