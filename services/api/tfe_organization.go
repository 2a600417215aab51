package api

import (
	"encoding/json"
	"net/http"
	"time"

	"gantry.example/messages"
	"gantry.example/services/postgres"
)

// tfeObjectRoutes are TFE's calls about things that are: organizations, workspaces, configurations, states.
func (s *Server) tfeObjectRoutes() []route {
	return []route{
		{method: "GET", pattern: "/api/v2/organizations", access: person, summary: "List organizations; q is a part of the name or the email address", out: []tfeOrganization{}, query: paging("q", "q[name]", "q[email]"), handle: s.listOrganizations},
		{method: "POST", pattern: "/api/v2/organizations", access: person, summary: "Create an organization", in: tfeOrganizationInput{}, out: tfeOrganization{},
			status: http.StatusCreated, create: true, handle: s.createOrganization},
		{method: "GET", pattern: "/api/v2/organizations/{organization}", access: person, summary: "Show an organization", out: tfeOrganization{}, query: []string{"include"}, handle: s.showOrganization},
		{method: "PATCH", pattern: "/api/v2/organizations/{organization}", access: person, summary: "Change an organization", in: tfeOrganizationInput{}, out: tfeOrganization{}, handle: s.updateOrganization},
		{method: "DELETE", pattern: "/api/v2/organizations/{organization}", access: person, summary: "Delete an organization with all that belongs to it, unless a run holds one of its workspaces", handle: s.deleteOrganization},
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
	Email                string          `jsonapi:"attr,email"`
	ExternalID           string          `jsonapi:"attr,external-id"`
	CreatedAt            time.Time       `jsonapi:"attr,created-at,iso8601"`
	DefaultExecutionMode string          `jsonapi:"attr,default-execution-mode"`
	Permissions          map[string]bool `jsonapi:"attr,permissions"`
	DefaultProject       *projectRef     `jsonapi:"relation,default-project"`
	DefaultAgentPool     *agentPoolRef   `jsonapi:"relation,default-agent-pool"`
	more
}

// tfeOrganizationInput is what of an organization can be set. Nil means "not said".
type tfeOrganizationInput struct {
	ID                   string        `jsonapi:"primary,organizations"`
	Name                 *string       `jsonapi:"attr,name"`
	Email                *string       `jsonapi:"attr,email"`
	DefaultExecutionMode *string       `jsonapi:"attr,default-execution-mode"`
	DefaultAgentPool     *agentPoolRef `jsonapi:"relation,default-agent-pool"`
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

func organizationDocument(o postgres.Organization, role postgres.Role, site bool) (*tfeOrganization, error) {
	target, err := o.Effective()
	if err != nil {
		return nil, err
	}
	mode, err := organizationMode(o)
	if err != nil {
		return nil, err
	}
	shown, err := keptShown(organizationKept, o.Kept)
	doc := &tfeOrganization{
		Name: o.Name, NameAttribute: o.Name, Email: o.Email, ExternalID: o.ID, CreatedAt: o.CreatedAt, DefaultExecutionMode: mode,
		Permissions: organizationPermissions(role, site), DefaultProject: &projectRef{postgres.DefaultProjectID(o.ID)}, more: more{shown},
	}
	if id := string(target.AgentPool); id != "" {
		doc.DefaultAgentPool = &agentPoolRef{id}
	}
	return doc, err
}

// organizationMode is the default execution mode of an organization in TFE's words.
func organizationMode(o postgres.Organization) (string, error) {
	target, err := o.Effective()
	return shownMode(target.Mode), err
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
	q := r.URL.Query()
	all, total, err := s.db.FindOrganizations(r.Context(), r.token, postgres.OrganizationFilter{Name: q.Get("q[name]"), Email: q.Get("q[email]"), Any: q.Get("q")}, p)
	if err != nil {
		return reply{}, err
	}
	out := make([]*tfeOrganization, len(all))
	for i, o := range all {
		role, err := s.db.RoleIn(r.Context(), r.token, o.ID)
		if err != nil {
			return reply{}, err
		}
		if out[i], err = organizationDocument(o, role, r.token.Site()); err != nil {
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
	create := postgres.NewOrganization{Name: deref(in.Name), Email: deref(in.Email)}
	var err error
	if create.Kept, err = r.keep(organizationKept()); err != nil {
		return reply{}, err
	}
	if create.Execution, err = in.execution(postgres.Organization{Execution: []byte("{}")}); err != nil {
		return reply{}, err
	}
	o, err := s.db.AddOrganization(r.Context(), create)
	if err == nil && r.token.UserID != "" { // who makes it, looks after it
		_, err = s.db.SetMember(r.Context(), o.ID, r.token.UserID, postgres.RoleAdmin)
	}
	if err != nil {
		return reply{}, err
	}
	return s.answerOrganization(r, o)
}

// execution writes TFE's attributes into the organization's default document. An organization whose default is the users'
// own machines is none of Gantry's: each workspace says so for itself.
func (in tfeOrganizationInput) execution(o postgres.Organization) (messages.Execution, error) {
	var e messages.Execution
	if err := json.Unmarshal(o.Execution, &e); err != nil {
		return e, err
	}
	target, err := o.Effective()
	if err != nil {
		return e, err
	}
	if mode := in.DefaultExecutionMode; mode != nil {
		if *mode == modeElsewhere {
			return e, invalid("field default-execution-mode: %q is for workspaces only on this server: set it on each that runs on its users' machines", *mode)
		}
		if e, err = switchMode(e, target.Mode, *mode); err != nil {
			return e, err
		}
	}
	if in.DefaultAgentPool != nil {
		e.AgentPool = messages.Ref(in.DefaultAgentPool.ID)
	}
	return e, nil
}

func (s *Server) updateOrganization(r *request) (reply, error) {
	var in tfeOrganizationInput
	if err := r.decodeObject(&in); err != nil {
		return reply{}, err
	}
	change := postgres.OrganizationChange{Name: in.Name, Email: in.Email}
	var err error
	if change.Kept, err = r.keep(organizationKept()); err != nil {
		return reply{}, err
	}
	if in.DefaultExecutionMode != nil || in.DefaultAgentPool != nil {
		change.Revise = in.execution
	}
	o, err := s.db.UpdateOrganization(r.Context(), r.PathValue("organization"), change)
	if err != nil {
		return reply{}, err
	}
	return s.answerOrganization(r, o)
}

func (s *Server) deleteOrganization(r *request) (reply, error) {
	return reply{}, s.db.DeleteOrganization(r.Context(), r.PathValue("organization"), r.token.Actor())
}

func (s *Server) showOrganization(r *request) (reply, error) {
	o, err := s.db.Organization(r.Context(), r.PathValue("organization"))
	if err != nil {
		return reply{}, err
	}
	return s.answerOrganization(r, o)
}

func (s *Server) answerOrganization(r *request, o postgres.Organization) (reply, error) {
	doc, err := organizationDocument(o, r.role, r.token.Site())
	if err != nil {
		return reply{}, err
	}
	side := r.include()
	err = side.add("default_project", o.ID, func() (any, error) {
		p, err := s.db.ProjectByID(r.Context(), postgres.DefaultProjectID(o.ID))
		if err != nil {
			return nil, err
		}
		return s.projectDocument(r, p)
	})
	if err != nil {
		return reply{}, err
	}
	return object(doc, side.docs...)
}

func (s *Server) showEntitlements(r *request) (reply, error) {
	o, err := s.db.Organization(r.Context(), r.PathValue("organization"))
	if err != nil {
		return reply{}, err
	}
	return object(&tfeEntitlements{ID: o.ID, Operations: true, StateStorage: true, Agents: true, Teams: true})
}
