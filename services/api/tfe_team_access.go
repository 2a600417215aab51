package api

import (
	"net/http"

	"gantry.example/services/postgres"
)

// tfeTeamAccess is the role of a team in a workspace, with what TFE says of such a role.
type tfeTeamAccess struct {
	ID               string        `jsonapi:"primary,team-workspaces"`
	Access           postgres.Role `jsonapi:"attr,access"`
	Runs             string        `jsonapi:"attr,runs"`
	Variables        string        `jsonapi:"attr,variables"`
	StateVersions    string        `jsonapi:"attr,state-versions"`
	SentinelMocks    string        `jsonapi:"attr,sentinel-mocks"`
	WorkspaceLocking bool          `jsonapi:"attr,workspace-locking"`
	RunTasks         bool          `jsonapi:"attr,run-tasks"`
	Team             *teamRef      `jsonapi:"relation,team"`
	Workspace        *workspaceRef `jsonapi:"relation,workspace"`
}

type tfeTeamAccessInput struct {
	ID        string        `jsonapi:"primary,team-workspaces"`
	Access    *string       `jsonapi:"attr,access"`
	Team      *teamRef      `jsonapi:"relation,team"`
	Workspace *workspaceRef `jsonapi:"relation,workspace"`
}

// tfeTeamAccessRoutes are TFE's calls about what teams may do in workspaces.
func (s *Server) tfeTeamAccessRoutes() []route {
	const all, one = "/api/v2/team-workspaces", "/api/v2/team-workspaces/{access}"
	return []route{
		{method: "GET", pattern: all, access: person, summary: "List the teams that have a role in a workspace", out: []tfeTeamAccess{}, query: paging(filterWorkspaceID), handle: s.listTeamAccess},
		{method: "POST", pattern: all, access: person, summary: "Give a team a role in a workspace: read, plan, write or admin", in: tfeTeamAccessInput{}, out: tfeTeamAccess{},
			status: http.StatusCreated, create: true, handle: s.createTeamAccess},
		{method: "GET", pattern: one, access: person, summary: "Show the role of a team in a workspace", out: tfeTeamAccess{}, handle: s.showTeamAccess},
		{method: "PATCH", pattern: one, access: person, summary: "Change the role of a team in a workspace", in: tfeTeamAccessInput{}, out: tfeTeamAccess{}, handle: s.updateTeamAccess},
		{method: "DELETE", pattern: one, access: person, summary: "Take the role in a workspace from a team", handle: s.deleteTeamAccess},
	}
}

func teamAccessDocument(a postgres.TeamAccess) *tfeTeamAccess {
	doc := &tfeTeamAccess{
		ID: a.ID, Access: a.Role, Runs: "read", Variables: "read", StateVersions: "read", SentinelMocks: "none", Team: &teamRef{a.TeamID}, Workspace: &workspaceRef{a.WorkspaceID},
	}
	switch {
	case a.Role.Covers(postgres.RoleWrite):
		doc.Runs, doc.Variables, doc.StateVersions, doc.SentinelMocks, doc.WorkspaceLocking = "apply", "write", "write", "read", true
		doc.RunTasks = a.Role.Covers(postgres.RoleAdmin)
	case a.Role.Covers(postgres.RolePlan):
		doc.Runs = "plan"
	}
	return doc
}

func answerTeamAccess(a postgres.TeamAccess, err error) (reply, error) {
	if err != nil {
		return reply{}, err
	}
	return object(teamAccessDocument(a))
}

// role is the role that is asked for. TFE's custom access is refused: nothing here is finer than a role.
func (in tfeTeamAccessInput) role() (postgres.Role, error) {
	switch access := deref(in.Access); access {
	case "":
		return postgres.RoleNone, invalid("field access: missing: read, plan, write or admin")
	case "custom":
		return postgres.RoleNone, invalid("field access: custom is not possible on this server: read, plan, write or admin")
	default:
		return postgres.Role(access), nil
	}
}

func (s *Server) listTeamAccess(r *request) (reply, error) {
	p, err := r.page()
	if err != nil {
		return reply{}, err
	}
	workspace := r.URL.Query().Get(filterWorkspaceID)
	if workspace == "" {
		return reply{}, invalid("query parameter %s: missing: the id of the workspace", filterWorkspaceID)
	}
	w, err := s.db.Workspace(r.Context(), workspace)
	if err != nil {
		return reply{}, err
	}
	all, total, err := s.db.TeamAccesses(r.Context(), w.ID, p)
	if err != nil {
		return reply{}, err
	}
	out := make([]*tfeTeamAccess, len(all))
	for i, a := range all {
		out[i] = teamAccessDocument(a)
	}
	return list(out, p, total)
}

func (s *Server) createTeamAccess(r *request) (reply, error) {
	var in tfeTeamAccessInput
	if err := r.decodeObject(&in); err != nil {
		return reply{}, err
	}
	if in.Workspace == nil || in.Team == nil {
		return reply{}, invalid("relationships team and workspace: both are needed: which team has the role in which workspace")
	}
	if err := s.admitWorkspace(r, in.Workspace.ID, postgres.RoleAdmin); err != nil {
		return reply{}, err
	}
	role, err := in.role()
	if err != nil {
		return reply{}, err
	}
	return answerTeamAccess(s.db.GiveAccess(r.Context(), in.Team.ID, in.Workspace.ID, role))
}

func (s *Server) showTeamAccess(r *request) (reply, error) {
	return answerTeamAccess(s.db.TeamAccess(r.Context(), r.PathValue("access")))
}

func (s *Server) updateTeamAccess(r *request) (reply, error) {
	var in tfeTeamAccessInput
	if err := r.decodeObject(&in); err != nil {
		return reply{}, err
	}
	role, err := in.role()
	if err != nil {
		return reply{}, err
	}
	return answerTeamAccess(s.db.ChangeAccess(r.Context(), r.PathValue("access"), role))
}

func (s *Server) deleteTeamAccess(r *request) (reply, error) {
	return reply{}, s.db.EndAccess(r.Context(), r.PathValue("access"))
}
