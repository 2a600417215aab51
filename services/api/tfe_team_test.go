package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"gantry.example/messages"
	"gantry.example/services/postgres"
)

// newTeam makes a team of the organization "default" by the API, and returns its id.
func (f *fixture) newTeam(name string) string {
	f.t.Helper()
	return decoded[resource[attributes]](f.post("/api/v2/organizations/default/teams", adminToken, doc("teams", attributes{"name": name})), http.StatusCreated).Data.ID
}

// access gives the team a role in a workspace and returns the id of that.
func (f *fixture) access(team, workspace, role string) string {
	f.t.Helper()
	return decoded[resource[attributes]](f.post("/api/v2/team-workspaces", adminToken,
		doc("team-workspaces", attributes{"access": role}, "team", "teams/"+team, "workspace", "workspaces/"+workspace)), http.StatusCreated).Data.ID
}

func (f *fixture) delete(path, token string, body any) answer {
	f.t.Helper()
	b, err := json.Marshal(body)
	must(f.t, err)
	return f.call("DELETE", path, token, b)
}

func named(kind string, ids ...string) attributes {
	list := []attributes{}
	for _, id := range ids {
		list = append(list, attributes{"type": kind, "id": id})
	}
	return attributes{"data": list}
}

// TestATeamRaisesTheRoleInAWorkspace: in that one, for its members, for as long as they are, and by every path to the workspace.
func TestATeamRaisesTheRoleInAWorkspace(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ann, annToken := f.member("ann", "default", postgres.RoleRead)
	_, bobToken := f.member("bob", "default", postgres.RoleRead)
	other, err := f.db.CreateWorkspace(t.Context(), postgres.NewWorkspace{Organization: "default", Name: "other"})
	must(t, err)
	team := f.newTeam("deployers")
	access := f.access(team, f.ws.ID, "write")
	may := func(token, workspace string) int {
		t.Helper()
		status, _ := f.answerOf("PATCH", "/api/v2/workspaces/"+workspace, token, []byte("{"))
		return status
	}
	equal(t, "ann before she is in the team", may(annToken, f.ws.ID), http.StatusForbidden)
	f.post("/api/v2/teams/"+team+"/relationships/users", adminToken, named("users", "ann")).want(http.StatusNoContent, "")
	equal(t, "ann in the team", may(annToken, f.ws.ID), http.StatusUnprocessableEntity)
	equal(t, "ann in another workspace", may(annToken, other.ID), http.StatusForbidden)
	equal(t, "bob, who is not in the team", may(bobToken, f.ws.ID), http.StatusForbidden)
	byName, _ := f.answerOf("PATCH", "/api/v2/organizations/default/workspaces/"+f.ws.Name, annToken, []byte("{"))
	equal(t, "ann by the workspace's name", byName, http.StatusUnprocessableEntity)
	shown := decoded[resource[attributes]](f.get("/api/v2/workspaces/"+f.ws.ID, annToken), http.StatusOK).Data.Attributes["permissions"].(map[string]any)
	equal(t, "what is shown", []any{shown["can-update"], shown["can-destroy"]}, []any{true, false})
	status, _ := f.answerOf("POST", "/api/v2/organizations/default/workspaces", annToken, []byte("{"))
	equal(t, "ann in the organization", status, http.StatusForbidden)

	f.patch("/api/v2/team-workspaces/"+access, adminToken, doc("team-workspaces", attributes{"access": "plan"})).want(http.StatusOK, "")
	equal(t, "ann with less", may(annToken, f.ws.ID), http.StatusForbidden)
	f.patch("/api/v2/team-workspaces/"+access, adminToken, doc("team-workspaces", attributes{"access": "admin"})).want(http.StatusOK, "")
	equal(t, "ann with more", may(annToken, f.ws.ID), http.StatusUnprocessableEntity)

	o, err := f.db.Organization(t.Context(), "default")
	must(t, err)
	must(t, f.db.RemoveMember(t.Context(), o.ID, ann.ID))
	equal(t, "ann outside of the organization", may(annToken, f.ws.ID), http.StatusNotFound)
	_, err = f.db.SetMember(t.Context(), o.ID, ann.ID, postgres.RoleRead)
	must(t, err)
	equal(t, "ann back in the organization, not in the team", may(annToken, f.ws.ID), http.StatusForbidden)
}

func TestATeamsTokenMayWhatTheTeamMay(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	team := f.newTeam("ci")
	f.access(team, f.ws.ID, "plan")
	made := decoded[resource[attributes]](f.post("/api/v2/teams/"+team+"/authentication-token", adminToken, doc("authentication-tokens", attributes{})), http.StatusCreated).Data
	token := made.Attributes["token"].(string)
	f.get("/api/v2/workspaces/"+f.ws.ID, token).want(http.StatusOK, "")
	create, _ := f.answerOf("POST", "/api/v2/workspaces/"+f.ws.ID+"/configuration-versions", token, []byte("{"))
	equal(t, "what takes the role plan", create, http.StatusUnprocessableEntity)
	lock, _ := f.answerOf("POST", "/api/v2/workspaces/"+f.ws.ID+"/actions/lock", token, []byte("{"))
	equal(t, "what takes the role write", lock, http.StatusForbidden)
	f.post("/api/gantry/v1/tokens", token, attributes{"description": "mine"}).want(http.StatusForbidden, messages.CodeForbidden)
	equal(t, "whose token it is", decoded[resource[attributes]](f.get("/api/v2/account/details", token), http.StatusOK).Data.Attributes["username"], any("team ci"))

	f.post("/api/v2/teams/"+team+"/authentication-token", adminToken, doc("authentication-tokens", attributes{})).want(http.StatusCreated, "")
	f.get("/api/v2/workspaces/"+f.ws.ID, token).want(http.StatusUnauthorized, messages.CodeUnauthorized)
	again := doc("authentication-tokens", attributes{"description": "nightly"})
	f.post("/api/v2/teams/"+team+"/authentication-tokens", adminToken, again).want(http.StatusCreated, "")
	f.post("/api/v2/teams/"+team+"/authentication-tokens", adminToken, again).want(http.StatusConflict, messages.CodeConflict)
	list := decoded[resources[attributes]](f.get("/api/v2/organizations/default/team-tokens?q=CI", adminToken), http.StatusOK)
	equal(t, "tokens of teams", len(list.Data), 2)
	f.delete("/api/v2/teams/"+team, adminToken, nil).want(http.StatusNoContent, "")
	list = decoded[resources[attributes]](f.get("/api/v2/organizations/default/team-tokens", adminToken), http.StatusOK)
	equal(t, "tokens of teams that are gone", len(list.Data), 0)
}

// TestOwnersAreTheAdmins of the organization, who cannot be lost.
func TestOwnersAreTheAdmins(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.member("ann", "default", postgres.RoleAdmin)
	f.member("bob", "default", postgres.RoleRead)
	owners := decoded[resources[attributes]](f.get("/api/v2/organizations/default/teams?filter[names]=owners", adminToken), http.StatusOK).Data[0]
	equal(t, "owners", []any{owners.Attributes["name"], owners.Attributes["users-count"]}, []any{"owners", 1.0})
	path := "/api/v2/teams/" + owners.ID
	f.post(path+"/relationships/users", adminToken, named("users", "bob")).want(http.StatusNoContent, "")
	equal(t, "owners with bob", decoded[resource[attributes]](f.get(path, adminToken), http.StatusOK).Data.Attributes["users-count"], any(2.0))
	f.delete(path+"/relationships/users", adminToken, named("users", "bob")).want(http.StatusNoContent, "")
	f.delete(path+"/relationships/users", adminToken, named("users", "ann")).want(http.StatusConflict, messages.CodeConflict).wantDetail("last admin")
	f.delete(path, adminToken, nil).want(http.StatusConflict, messages.CodeConflict)
	f.patch(path, adminToken, doc("teams", attributes{"name": "bosses"})).want(http.StatusConflict, messages.CodeConflict)
}

// TestWhatTFESaysOfATeamIsKept, each right of organization-access by itself.
func TestWhatTFESaysOfATeamIsKept(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	team := "/api/v2/teams/" + f.newTeam("blue")
	f.patch(team, adminToken, doc("teams", attributes{"visibility": "organization", "organization-access": attributes{"manage-modules": true}})).want(http.StatusOK, "")
	got := decoded[resource[attributes]](f.patch(team, adminToken, doc("teams", attributes{"organization-access": attributes{"manage-teams": true}})), http.StatusOK).Data.Attributes
	access := got["organization-access"].(map[string]any)
	equal(t, "kept", []any{got["visibility"], access["manage-modules"], access["manage-teams"], access["read-projects"]}, []any{"organization", true, true, false})
	f.patch(team, adminToken, doc("teams", attributes{"organization-access": attributes{"manage-teams": "yes"}})).want(http.StatusUnprocessableEntity, messages.CodeInvalid)
}

func TestWhatATeamIsRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, err := f.db.CreateOrganization(t.Context(), "elsewhere")
	must(t, err)
	foreign, err := f.db.CreateWorkspace(t.Context(), postgres.NewWorkspace{Organization: "elsewhere", Name: "foreign"})
	must(t, err)
	f.member("eve", "elsewhere", postgres.RoleRead)
	team := f.newTeam("red")
	give := func(role, workspace string) answer {
		return f.post("/api/v2/team-workspaces", adminToken, doc("team-workspaces", attributes{"access": role}, "team", "teams/"+team, "workspace", "workspaces/"+workspace))
	}
	give("write", foreign.ID).want(http.StatusNotFound, messages.CodeNotFound)
	give("custom", f.ws.ID).want(http.StatusUnprocessableEntity, messages.CodeInvalid).wantDetail("custom is not possible")
	give("boss", f.ws.ID).want(http.StatusUnprocessableEntity, messages.CodeInvalid).wantDetail("field access")
	f.post("/api/v2/teams/"+team+"/relationships/users", adminToken, named("users", "eve")).want(http.StatusNotFound, messages.CodeNotFound).wantDetail("no member of the organization")
	f.post("/api/v2/organizations/default/teams", adminToken, doc("teams", attributes{"name": "RED"})).want(http.StatusUnprocessableEntity, messages.CodeNameTaken)
	f.post("/api/v2/organizations/default/teams", adminToken, doc("teams", attributes{"name": strings.Repeat("x", 91)})).want(http.StatusUnprocessableEntity, messages.CodeInvalid)
	f.get("/api/v2/organizations/none/teams", adminToken).want(http.StatusNotFound, messages.CodeNotFound)
	f.get("/api/v2/team-workspaces", adminToken).want(http.StatusUnprocessableEntity, messages.CodeInvalid)
}
