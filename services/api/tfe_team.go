package api

import (
	"encoding/json"
	"net/http"
	"strings"

	"gantry.example/services/postgres"
)

// tfeTeam is a team. What it may do is said by team accesses, workspace by workspace.
type tfeTeam struct {
	ID                 string           `jsonapi:"primary,teams"`
	Name               string           `jsonapi:"attr,name"`
	UsersCount         int              `jsonapi:"attr,users-count"`
	OrganizationAccess map[string]bool  `jsonapi:"attr,organization-access"`
	Permissions        map[string]bool  `jsonapi:"attr,permissions"`
	Users              []*userRef       `jsonapi:"relation,users"`
	Memberships        []*membershipRef `jsonapi:"relation,organization-memberships"`
	more
}

type teamRef struct {
	ID string `jsonapi:"primary,teams"`
}

type membershipRef struct {
	ID string `jsonapi:"primary,organization-memberships"`
}

// tfeTeamInput is what of a team can be set, beside kept attributes and organization-access. Nil means "not said".
type tfeTeamInput struct {
	ID   string  `jsonapi:"primary,teams"`
	Name *string `jsonapi:"attr,name"`
}

func teamKept() (kept, fixed) {
	return kept{"visibility": "secret", "sso-team-id": "", "allow-member-token-management": true}, fixed{"is-unified": false}
}

// organizationAccess are TFE's rights of a team in its organization. They are kept and shown only: what somebody may do there is
// the role of their membership.
func organizationAccess() []string {
	return []string{"manage-policies", "manage-policy-overrides", "delegate-policy-overrides", "manage-workspaces", "manage-vcs-settings", "manage-providers",
		"manage-modules", "manage-run-tasks", "manage-projects", "read-workspaces", "read-projects", "manage-membership", "manage-teams",
		"manage-organization-access", "access-secret-teams", "manage-agent-pools"}
}

// tfeTeamRoutes are TFE's calls about teams, their members and their tokens.
func (s *Server) tfeTeamRoutes() []route {
	const org, one = "/api/v2/organizations/{organization}", "/api/v2/teams/{team}"
	const users, members, token = one + "/relationships/users", one + "/relationships/organization-memberships", one + "/authentication-token"
	return []route{
		{method: "GET", pattern: org + "/teams", access: person, summary: "List teams; q is a part of the name", out: []tfeTeam{}, query: paging("filter[names]", "q", "include"), handle: s.listTeams},
		{method: "POST", pattern: org + "/teams", access: person, summary: "Create a team", in: tfeTeamInput{}, out: tfeTeam{}, status: http.StatusCreated, create: true, handle: s.createTeam},
		{method: "GET", pattern: one, access: person, summary: "Show a team", out: tfeTeam{}, query: []string{"include"}, handle: s.showTeam},
		{method: "PATCH", pattern: one, access: person, summary: "Change a team", in: tfeTeamInput{}, out: tfeTeam{}, handle: s.updateTeam},
		{method: "DELETE", pattern: one, access: person, summary: "Delete a team with its tokens; its members stay in the organization", handle: s.deleteTeam},
		{method: "POST", pattern: users, access: person, summary: "Add members of the organization to a team, by their usernames", in: resourceList{}, handle: s.changeTeam(s.userIDs, s.db.AddToTeam)},
		{method: "DELETE", pattern: users, access: person, summary: "Take users out of a team", in: resourceList{}, handle: s.changeTeam(s.userIDs, s.db.RemoveFromTeam)},
		{method: "POST", pattern: members, access: person, summary: "Add members of the organization to a team", in: resourceList{}, handle: s.changeTeam(s.memberIDs, s.db.AddToTeam)},
		{method: "DELETE", pattern: members, access: person, summary: "Take members of the organization out of a team", in: resourceList{}, handle: s.changeTeam(s.memberIDs, s.db.RemoveFromTeam)},
		{method: "GET", pattern: org + "/team-tokens", access: person, summary: "List the tokens of an organization's teams; q is a part of a team's name", out: []tfeToken{}, query: paging("q", "sort"), handle: s.listTeamTokens},
		{method: "GET", pattern: token, access: person, summary: "Show the team's token made by this call", out: tfeToken{}, handle: s.showTeamToken},
		{method: "POST", pattern: token, access: person, summary: "Create the team's token, in place of the one there is",
			in: tfeTokenInput{}, out: tfeToken{}, status: http.StatusCreated, handle: s.createTeamToken},
		{method: "DELETE", pattern: token, access: person, summary: "Revoke the team's token made by this call", handle: s.deleteTeamToken},
		{method: "POST", pattern: one + "/authentication-tokens", access: person, summary: "Create a token of the team with a description, beside the others",
			in: tfeTokenInput{}, out: tfeToken{}, status: http.StatusCreated, handle: s.createNamedTeamToken},
	}
}

// teamDocument shows a team with what is asked for beside it.
func (s *Server) teamDocument(r *request, side *sideLoad, t postgres.Team) (*tfeTeam, error) {
	shown, err := keptShown(teamKept, t.Kept)
	if err != nil {
		return nil, err
	}
	stored := map[string]bool{}
	if err := json.Unmarshal(t.Access, &stored); err != nil {
		return nil, err
	}
	admin := r.role.Covers(postgres.RoleAdmin)
	doc := &tfeTeam{
		ID: t.ID, Name: t.Name, UsersCount: t.Members, OrganizationAccess: map[string]bool{}, Users: []*userRef{}, Memberships: []*membershipRef{}, more: more{shown},
		Permissions: map[string]bool{"can-destroy": admin && !t.Owners(), "can-update-membership": admin, "can-update-organization-access": admin, "can-update-api-token": admin},
	}
	for _, name := range organizationAccess() {
		doc.OrganizationAccess[name] = stored[name] || t.Owners()
	}
	all, err := s.db.TeamMembers(r.Context(), t.ID)
	if err != nil {
		return nil, err
	}
	for _, m := range all {
		doc.Users = append(doc.Users, &userRef{m.UserID})
		doc.Memberships = append(doc.Memberships, &membershipRef{m.ID})
		if err := side.add("users", m.UserID, func() (any, error) {
			u, err := s.db.User(r.Context(), m.UserID)
			return userDocument(u), err
		}); err != nil {
			return nil, err
		}
		if err := side.add("organization_memberships", m.ID, func() (any, error) { return membershipDocument(m), nil }); err != nil {
			return nil, err
		}
	}
	return doc, nil
}

func (s *Server) answerTeam(r *request, t postgres.Team, err error) (reply, error) {
	if err != nil {
		return reply{}, err
	}
	side := r.include()
	doc, err := s.teamDocument(r, side, t)
	if err != nil {
		return reply{}, err
	}
	return object(doc, side.docs...)
}

func (s *Server) listTeams(r *request) (reply, error) {
	p, err := r.page()
	if err != nil {
		return reply{}, err
	}
	o, err := s.db.Organization(r.Context(), r.PathValue("organization"))
	if err != nil {
		return reply{}, err
	}
	q := r.URL.Query()
	f := postgres.TeamFilter{Names: words(strings.Join(q["filter[names]"], ",")), Part: q.Get("q"), Page: p}
	all, total, err := s.db.Teams(r.Context(), o.ID, f)
	if err != nil {
		return reply{}, err
	}
	out, side := make([]*tfeTeam, len(all)), r.include()
	for i, t := range all {
		if out[i], err = s.teamDocument(r, side, t); err != nil {
			return reply{}, err
		}
	}
	return list(out, p, total, side.docs...)
}

// teamChange reads what of a team is set.
func (r *request) teamChange() (postgres.TeamChange, error) {
	var in tfeTeamInput
	if err := r.decodeObject(&in); err != nil {
		return postgres.TeamChange{}, err
	}
	c := postgres.TeamChange{Name: in.Name}
	access, err := r.organizationAccess()
	if err != nil {
		return c, err
	}
	if c.Access, err = json.Marshal(access); err != nil {
		return c, err
	}
	c.Kept, err = r.keep(teamKept())
	return c, err
}

// organizationAccess reads which of those rights the body sets.
func (r *request) organizationAccess() (map[string]bool, error) {
	var doc struct {
		Data struct {
			Attributes struct {
				Access map[string]*bool `json:"organization-access"`
			} `json:"attributes"`
		} `json:"data"`
	}
	if err := json.Unmarshal(r.body, &doc); err != nil {
		return nil, invalid("field organization-access: want true or false by TFE's names: %v", err)
	}
	out := map[string]bool{}
	for _, name := range organizationAccess() {
		if value := doc.Data.Attributes.Access[name]; value != nil {
			out[name] = *value
		}
	}
	return out, nil
}

func (s *Server) createTeam(r *request) (reply, error) {
	c, err := r.teamChange()
	if err != nil {
		return reply{}, err
	}
	o, err := s.db.Organization(r.Context(), r.PathValue("organization"))
	if err != nil {
		return reply{}, err
	}
	t, err := s.db.CreateTeam(r.Context(), o.ID, c)
	return s.answerTeam(r, t, err)
}

func (s *Server) showTeam(r *request) (reply, error) {
	t, err := s.db.Team(r.Context(), r.PathValue("team"))
	return s.answerTeam(r, t, err)
}

func (s *Server) updateTeam(r *request) (reply, error) {
	c, err := r.teamChange()
	if err != nil {
		return reply{}, err
	}
	t, err := s.db.UpdateTeam(r.Context(), r.PathValue("team"), c)
	return s.answerTeam(r, t, err)
}

func (s *Server) deleteTeam(r *request) (reply, error) {
	return reply{}, s.db.DeleteTeam(r.Context(), r.PathValue("team"))
}
