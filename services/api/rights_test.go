package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/api"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// member makes a user with a role in the organization and returns a token of theirs.
func (f *fixture) member(name, organization string, role postgres.Role) (postgres.User, string) {
	f.t.Helper()
	ctx := f.t.Context()
	u, err := f.db.CreateUser(ctx, postgres.NewUser{Username: name})
	must(f.t, err)
	if role != postgres.RoleNone {
		o, err := f.db.Organization(ctx, organization)
		must(f.t, err)
		_, err = f.db.SetMember(ctx, o.ID, u.ID, role)
		must(f.t, err)
	}
	_, token, err := f.db.CreateToken(ctx, postgres.NewToken{Description: name, UserID: u.ID})
	must(f.t, err)
	return u, token
}

// organizationToken makes a token of the organization and returns it.
func (f *fixture) organizationToken(organization string, role postgres.Role) string {
	f.t.Helper()
	o, err := f.db.Organization(f.t.Context(), organization)
	must(f.t, err)
	_, token, err := f.db.CreateToken(f.t.Context(), postgres.NewToken{Description: "ci " + string(role), OrganizationID: o.ID, Role: role})
	must(f.t, err)
	return token
}

// things are the ids by which the paths of the organization "default" are filled in.
func (f *fixture) things() map[string]string {
	f.t.Helper()
	ctx := f.t.Context()
	r := f.newRun(run.Options{})
	f.transition(r.ID, run.Cancel{})
	body := []byte(`{"version":4,"terraform_version":"1.11.4","serial":1,"lineage":"l","outputs":{"o":{"value":"x","type":"string"}},"resources":[]}`)
	sv, err := f.db.PushState(ctx, postgres.StatePush{WorkspaceID: f.ws.ID, Body: body, By: "test"})
	must(f.t, err)
	u, token := f.member("victim", "default", postgres.RoleRead)
	all, err := f.db.MembershipsOf(ctx, u.ID)
	must(f.t, err)
	held, err := f.db.Token(ctx, token)
	must(f.t, err)
	id := strings.TrimPrefix(r.ID, "run-")
	out := map[string]string{
		"organization": "default", "workspace": f.ws.ID, "name": f.ws.Name, "run": r.ID, "plan": "plan-" + id, "apply": "apply-" + id,
		"configuration": r.ConfigurationVersionID, "state": sv.ID, "output": "wsout-" + strings.TrimPrefix(sv.ID, "sv-") + "-o",
		"membership": all[0].ID, "user": u.Username, "token": held.ID,
	}
	f.addPool(out)
	f.addK8sConfig(out)
	f.addVariables(out)
	f.addProject(out)
	f.addToRun(out)
	f.addTeam(out)
	return out
}

// addTeam adds a team with a role in the workspace, and the one token of it.
func (f *fixture) addTeam(things map[string]string) {
	f.t.Helper()
	o, err := f.db.Organization(f.t.Context(), "default")
	must(f.t, err)
	team, err := f.db.CreateTeam(f.t.Context(), o.ID, postgres.TeamChange{Name: new(strings.ToLower(messages.NewID("t-")))})
	must(f.t, err)
	a, err := f.db.GiveAccess(f.t.Context(), team.ID, things["workspace"], postgres.RoleRead)
	must(f.t, err)
	_, _, err = f.db.CreateToken(f.t.Context(), postgres.NewToken{Description: "token of the team", Team: team})
	must(f.t, err)
	things["team"], things["access"] = team.ID, a.ID
}

// addToRun adds a comment and its event to the run, and a trigger to the workspace.
func (f *fixture) addToRun(things map[string]string) {
	f.t.Helper()
	c, err := f.db.AddComment(f.t.Context(), things["run"], "ann", "hello")
	must(f.t, err)
	things["comment"], things["event"] = c.ID, "re-"+strings.TrimPrefix(c.ID, "wsc-")
	source, err := f.db.CreateWorkspace(f.t.Context(), postgres.NewWorkspace{Organization: "default", Name: strings.ToLower(messages.NewID("s-"))})
	must(f.t, err)
	t, err := f.db.CreateRunTrigger(f.t.Context(), things["workspace"], source.ID)
	must(f.t, err)
	things["trigger"] = t.ID
	n, err := postgres.NotificationConfiguration{}.Changed(things["workspace"], postgres.NotificationChange{Name: new("ops"), Destination: new(postgres.DestinationSlack)})
	must(f.t, err)
	n, err = f.db.CreateNotificationConfiguration(f.t.Context(), n, nil)
	must(f.t, err)
	things["notification"] = n.ID
}

// addProject adds a project without workspaces.
func (f *fixture) addProject(things map[string]string) {
	f.t.Helper()
	name := strings.ToLower(messages.NewID("p-"))
	p, err := f.db.CreateProject(f.t.Context(), "default", postgres.ProjectChange{Name: &name})
	must(f.t, err)
	things["project"] = p.ID
}

// addK8sConfig adds a k8s config with a token of its dispatcher.
func (f *fixture) addK8sConfig(things map[string]string) {
	f.t.Helper()
	name := strings.ToLower(messages.NewID("k-"))
	c, err := f.db.CreateK8sConfig(f.t.Context(), "default", postgres.K8sChange{Name: &name, Namespace: new("iac"), Access: &postgres.ClusterAccess{Kind: wire.ClusterRemote}})
	must(f.t, err)
	held, _, err := f.db.CreateToken(f.t.Context(), postgres.NewToken{Description: "dispatcher", PoolID: c.ID})
	must(f.t, err)
	things["k8s"], things["dispatcher"] = c.ID, held.ID
}

// addPool adds a pool of agents with an agent that is gone, and one that is there.
func (f *fixture) addPool(things map[string]string) {
	f.t.Helper()
	name := strings.ToLower(messages.NewID("p-"))
	p, err := f.db.CreatePool(f.t.Context(), "default", postgres.PoolChange{Name: &name})
	must(f.t, err)
	things["pool"] = p.ID
	for name, state := range map[string]wire.WorkerState{"agent": "", "agent that is gone": wire.WorkerExited} {
		_, err := f.db.SawWorker(f.t.Context(), p.ID, "192.0.2.1", wire.WorkerStatus{Name: strings.ReplaceAll(name, " ", "-"), Slots: 1, State: state})
		must(f.t, err)
	}
	all, _, err := f.db.Agents(f.t.Context(), p.ID, postgres.Page{})
	must(f.t, err)
	things["agent"], things["agent that is gone"] = all[0].ID, all[1].ID
}

// addVariables adds a variable of the workspace and a variable set with another one.
func (f *fixture) addVariables(things map[string]string) {
	f.t.Helper()
	ctx := f.t.Context()
	set, err := f.db.CreateVariableSet(ctx, postgres.NewVariableSet{Organization: "default", Name: things["workspace"]})
	must(f.t, err)
	things["varset"] = set.ID
	for name, holder := range map[string]postgres.Holder{"variable": {WorkspaceID: things["workspace"]}, "variable of a set": {SetID: set.ID}} {
		v, err := f.db.CreateVariable(ctx, holder, postgres.NewVariable{Variable: wire.Variable{Key: "v", Category: wire.CategoryEnv}})
		must(f.t, err)
		things[name] = v.ID
	}
}

// rightsCall is a call of a route on the things, whose body can do no harm.
func rightsCall(r api.RouteInfo, things map[string]string) (path string, body []byte) {
	path = r.Pattern
	if strings.Contains(path, "{varset}") {
		path = strings.ReplaceAll(path, "{variable}", things["variable of a set"])
	}
	for name, id := range things {
		path = strings.ReplaceAll(path, "{"+name+"}", id)
	}
	switch {
	case r.Pattern == "/api/v2/runs":
		body = fmt.Appendf(nil, `{"data":{"type":"runs","relationships":{"workspace":{"data":{"type":"workspaces","id":%q}}}}}`, things["workspace"])
	case r.Pattern == "/api/gantry/v1/runs" && r.Method == "POST":
		body = fmt.Appendf(nil, `{"workspace_id":%q}`, things["workspace"])
	case r.Pattern == "/api/v2/vars" && r.Method == "POST":
		body = fmt.Appendf(nil, `{"data":{"type":"vars","relationships":{"workspace":{"data":{"type":"workspaces","id":%q}}}}}`, things["workspace"])
	case r.Pattern == "/api/v2/team-workspaces" && r.Method == "POST":
		body = fmt.Appendf(nil, `{"data":{"type":"team-workspaces","relationships":{"team":{"data":{"type":"teams","id":"team-x"}},"workspace":{"data":{"type":"workspaces","id":%q}}}}}`, things["workspace"])
	case r.In != nil:
		body = []byte("{") // is refused after the caller is let in
	}
	if slices.Contains(r.Query, "filter[organization][name]") {
		path += "?filter[organization][name]=" + things["organization"] + "&filter[workspace][name]=" + things["name"]
	}
	if slices.Contains(r.Query, "filter[workspace][id]") {
		path += "?filter[workspace][id]=" + things["workspace"]
	}
	if slices.Contains(r.Query, "organization") {
		path += "?organization=" + things["organization"]
	}
	return path, body
}

// answerOf returns the status and the code of an answer, and does not wait for the end of a stream.
func (f *fixture) answerOf(method, path, token string, body []byte) (int, messages.Code) {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), method, f.server.URL+path, bytes.NewReader(body))
	must(f.t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := f.server.Client().Do(req)
	must(f.t, err)
	defer res.Body.Close()
	if res.StatusCode < 400 {
		return res.StatusCode, ""
	}
	b, err := io.ReadAll(res.Body)
	must(f.t, err)
	var doc struct {
		Errors []struct{ Code messages.Code }
	}
	must(f.t, json.Unmarshal(b, &doc))
	return res.StatusCode, doc.Errors[0].Code
}

// TestEveryRouteAsksForItsRight walks every route with every role, with the token of another organization, and without any.
func TestEveryRouteAsksForItsRight(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, err := f.db.CreateOrganization(t.Context(), "other")
	must(t, err)
	things := f.things()
	_, outsider := f.member("outsider", "other", postgres.RoleAdmin)
	tokens := map[postgres.Role][]string{}
	for _, role := range postgres.Roles() {
		_, token := f.member("member-"+string(role), "default", role)
		tokens[role] = []string{token, f.organizationToken("default", role)}
	}
	strangers := []string{outsider, f.organizationToken("other", postgres.RoleAdmin)}
	for _, r := range api.Describe() {
		if r.Access != "person" {
			continue
		}
		name := r.Method + " " + r.Pattern
		path, body := rightsCall(r, things)
		need := postgres.Role(r.Needs)
		if strings.HasSuffix(r.Pattern, "/actions/discard") || strings.HasSuffix(r.Pattern, "/actions/cancel") {
			need = postgres.RoleWrite // the run is somebody else's, see TestWhoMayPlanOnly
		}
		inOrganization := slices.Contains(postgres.Roles(), need)
		switch {
		case r.Needs == "":
			t.Errorf("%s has no row in the table of rights", name)
			continue
		case inOrganization && r.Method != "GET" && need == postgres.RoleRead:
			t.Errorf("%s: changing something takes no more than the role read", name)
		}
		if status, _ := f.answerOf(r.Method, path, "", body); status != http.StatusUnauthorized {
			t.Errorf("%s without a token: got %d, want 401", name, status)
		}
		for _, token := range strangers {
			status, code := f.answerOf(r.Method, path, token, body)
			if inOrganization && (status != http.StatusNotFound || code != messages.CodeNotFound) {
				t.Errorf("%s from outside: got %d %s, want 404", name, status, code)
			}
			if r.Needs == "site" && status != http.StatusForbidden {
				t.Errorf("%s from outside: got %d %s, want 403", name, status, code)
			}
		}
		for _, role := range postgres.Roles() {
			for i, token := range tokens[role] {
				f.checkRole(r, things, token, fmt.Sprintf("%s as %s (%d)", name, role, i), need, role)
			}
		}
	}
}

// checkRole calls the route as a member with the role. What the call may delete is made anew.
func (f *fixture) checkRole(r api.RouteInfo, things map[string]string, token, name string, need, role postgres.Role) {
	f.t.Helper()
	if r.Method == "DELETE" || strings.HasSuffix(r.Pattern, "safe-delete") {
		things = f.perishable(things, name)
	}
	path, body := rightsCall(r, things)
	status, code := f.answerOf(r.Method, path, token, body)
	allowed := r.Needs == "own" || r.Needs != "site" && role.Covers(need)
	switch {
	case status == http.StatusInternalServerError:
		f.t.Errorf("%s: got 500", name)
	case r.Needs == "own": // what is whose is for other tests
	case !allowed && (status != http.StatusForbidden || code != messages.CodeForbidden):
		f.t.Errorf("%s: got %d %s, want 403", name, status, code)
	case allowed && (status == http.StatusForbidden || status == http.StatusUnauthorized):
		f.t.Errorf("%s: got %d %s, want it allowed", name, status, code)
	case allowed && status == http.StatusNotFound && !strings.HasSuffix(r.Pattern, "authentication-token"):
		f.t.Errorf("%s: got 404 for what is there", name)
	}
}

// perishable are things for one call to delete.
func (f *fixture) perishable(things map[string]string, name string) map[string]string {
	f.t.Helper()
	ctx := f.t.Context()
	id := strings.ToLower(messages.NewID("x-"))
	ws, err := f.db.CreateWorkspace(ctx, postgres.NewWorkspace{Organization: "default", Name: id})
	must(f.t, err)
	u, token := f.member(id, "default", postgres.RoleRead)
	all, err := f.db.MembershipsOf(ctx, u.ID)
	must(f.t, err)
	held, err := f.db.Token(ctx, token)
	must(f.t, err)
	out := map[string]string{}
	for k, v := range things {
		out[k] = v
	}
	out["workspace"], out["name"], out["membership"], out["user"], out["token"] = ws.ID, ws.Name, all[0].ID, u.Username, held.ID
	f.addVariables(out)
	f.addPool(out)
	f.addProject(out)
	f.addToRun(out)
	f.addTeam(out)
	f.addK8sConfig(out)
	out["agent"] = out["agent that is gone"]
	return out
}
