package api

import (
	"net/http"
	"time"

	"gantry.example/messages"
	"gantry.example/services/postgres"
)

// tfeObjectRoutes are TFE's calls about things that are: organizations, workspaces, configurations, states.
func (s *Server) tfeObjectRoutes() []route {
	return []route{
		{method: "GET", pattern: "/api/v2/organizations", access: person, summary: "List organizations", out: []tfeOrganization{}, query: paging(), handle: s.listOrganizations},
		{method: "POST", pattern: "/api/v2/organizations", access: person, summary: "Create an organization", in: tfeOrganizationInput{}, out: tfeOrganization{},
			status: http.StatusCreated, create: true, handle: s.createOrganization},
		{method: "GET", pattern: "/api/v2/organizations/{organization}", access: person, summary: "Show an organization", out: tfeOrganization{}, handle: s.showOrganization},
		{method: "GET", pattern: "/api/v2/organizations/{organization}/entitlement-set", access: person, summary: "Show what an organization can use",
			out: tfeEntitlements{}, handle: s.showEntitlements},

		{method: "GET", pattern: "/api/v2/organizations/{organization}/workspaces", access: person, summary: "List workspaces; search[name] is a part of the name, search[tags] a list with commas", out: []tfeWorkspace{}, query: paging("search[name]", "search[tags]", "search[exclude-tags]", "filter[tagged][0][key]", "filter[tagged][0][value]"), handle: s.listWorkspaces},
		{method: "POST", pattern: "/api/v2/organizations/{organization}/workspaces", access: person, summary: "Create a workspace", in: tfeWorkspaceInput{},
			out: tfeWorkspace{}, status: http.StatusCreated, create: true, handle: s.createWorkspace},
		{method: "GET", pattern: "/api/v2/organizations/{organization}/workspaces/{name}", access: person, summary: "Show a workspace by name", out: tfeWorkspace{}, handle: s.showWorkspace},
		{method: "PATCH", pattern: "/api/v2/organizations/{organization}/workspaces/{name}", access: person, summary: "Change a workspace by name",
			in: tfeWorkspaceInput{}, out: tfeWorkspace{}, handle: s.updateWorkspace},
		{method: "GET", pattern: "/api/v2/workspaces/{workspace}", access: person, summary: "Show a workspace", out: tfeWorkspace{}, handle: s.showWorkspace},
		{method: "PATCH", pattern: "/api/v2/workspaces/{workspace}", access: person, summary: "Change a workspace", in: tfeWorkspaceInput{}, out: tfeWorkspace{}, handle: s.updateWorkspace},

		{method: "POST", pattern: "/api/v2/workspaces/{workspace}/configuration-versions", access: person, summary: "Create a configuration version, to be uploaded",
			in: tfeConfigurationInput{}, out: tfeConfiguration{}, status: http.StatusCreated, create: true, handle: s.createConfiguration},
		{method: "GET", pattern: "/api/v2/configuration-versions/{configuration}", access: person, summary: "Show a configuration version", out: tfeConfiguration{}, handle: s.showConfiguration},

		{method: "GET", pattern: "/api/v2/workspaces/{workspace}/current-state-version", access: person, summary: "Show a workspace's current state version", out: tfeState{}, handle: s.showCurrentState},
		{method: "GET", pattern: "/api/v2/workspaces/{workspace}/current-state-version-outputs", access: person, summary: "List a workspace's outputs", out: []tfeOutput{}, handle: s.listCurrentOutputs},
		{method: "GET", pattern: "/api/v2/state-versions/{state}", access: person, summary: "Show a state version", out: tfeState{}, handle: s.showState},
		{method: "GET", pattern: "/api/v2/state-versions/{state}/download", access: person, summary: "Download a state", out: []byte{}, media: kindJSON, handle: s.downloadState},
		{method: "GET", pattern: "/api/v2/state-versions/{state}/outputs", access: person, summary: "List the outputs of a state version", out: []tfeOutput{}, query: paging(), handle: s.listOutputs},
		{method: "GET", pattern: "/api/v2/state-version-outputs/{output}", access: person, summary: "Show an output, also when it is sensitive", out: tfeOutput{}, handle: s.showOutput},
	}
}

// tfeOrganization is an organization. TFE identifies it by its name.
type tfeOrganization struct {
	Name                 string          `jsonapi:"primary,organizations"`
	NameAttribute        string          `jsonapi:"attr,name"`
	ExternalID           string          `jsonapi:"attr,external-id"`
	CreatedAt            time.Time       `jsonapi:"attr,created-at,iso8601"`
	DefaultExecutionMode string          `jsonapi:"attr,default-execution-mode"`
	Permissions          map[string]bool `jsonapi:"attr,permissions"`
}

type tfeOrganizationInput struct {
	ID   string `jsonapi:"primary,organizations"`
	Name string `jsonapi:"attr,name"`
}

// tfeEntitlements says what an organization can use. Terraform's CLI plans and applies on the user's machine without
// operations.
type tfeEntitlements struct {
	ID                    string `jsonapi:"primary,entitlement-sets"`
	Operations            bool   `jsonapi:"attr,operations"`
	StateStorage          bool   `jsonapi:"attr,state-storage"`
	Agents                bool   `jsonapi:"attr,agents"`
	AuditLogging          bool   `jsonapi:"attr,audit-logging"`
	CostEstimation        bool   `jsonapi:"attr,cost-estimation"`
	PrivateModuleRegistry bool   `jsonapi:"attr,private-module-registry"`
	RunTasks              bool   `jsonapi:"attr,run-tasks"`
	Sentinel              bool   `jsonapi:"attr,sentinel"`
	SSO                   bool   `jsonapi:"attr,sso"`
	Teams                 bool   `jsonapi:"attr,teams"`
	VCSIntegrations       bool   `jsonapi:"attr,vcs-integrations"`
}

func organizationDocument(o postgres.Organization, role postgres.Role) (*tfeOrganization, error) {
	target, err := o.Effective()
	return &tfeOrganization{
		Name: o.Name, NameAttribute: o.Name, ExternalID: o.ID, CreatedAt: o.CreatedAt, DefaultExecutionMode: shownMode(target.Mode),
		Permissions: organizationPermissions(role),
	}, err
}

// shownMode is the execution mode in TFE's words: everything that runs on the platform's side is "remote", agents are
// "agent". TFE's "local", the user's own machine, is none of Gantry's modes.
func shownMode(m messages.Mode) string {
	if m == messages.ModeAgent {
		return "agent"
	}
	return "remote"
}

func (s *Server) listOrganizations(r *request) (reply, error) {
	p, err := r.page()
	if err != nil {
		return reply{}, err
	}
	all, total, err := s.db.Organizations(r.Context(), r.token, p)
	if err != nil {
		return reply{}, err
	}
	out := make([]*tfeOrganization, len(all))
	for i, o := range all {
		role, err := s.db.RoleIn(r.Context(), r.token, o.ID)
		if err != nil {
			return reply{}, err
		}
		if out[i], err = organizationDocument(o, role); err != nil {
			return reply{}, err
		}
	}
	return list(out, p, total)
}

func (s *Server) createOrganization(r *request) (reply, error) {
	var in tfeOrganizationInput
	if err := r.decodeObject(&in); err != nil {
		return reply{}, err
	}
	o, err := s.db.CreateOrganization(r.Context(), in.Name)
	if err == nil && r.token.UserID != "" { // who makes it, looks after it
		_, err = s.db.SetMember(r.Context(), o.ID, r.token.UserID, postgres.RoleAdmin)
	}
	if err != nil {
		return reply{}, err
	}
	return answerOrganization(r, o)
}

func (s *Server) showOrganization(r *request) (reply, error) {
	o, err := s.db.Organization(r.Context(), r.PathValue("organization"))
	if err != nil {
		return reply{}, err
	}
	return answerOrganization(r, o)
}

func answerOrganization(r *request, o postgres.Organization) (reply, error) {
	doc, err := organizationDocument(o, r.role)
	if err != nil {
		return reply{}, err
	}
	return object(doc)
}

func (s *Server) showEntitlements(r *request) (reply, error) {
	o, err := s.db.Organization(r.Context(), r.PathValue("organization"))
	if err != nil {
		return reply{}, err
	}
	return object(&tfeEntitlements{ID: o.ID, Operations: true, StateStorage: true, Agents: true})
}
