package api

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"gantry.example/services/postgres"
)

// tfeVariableSetRoutes are TFE's calls about variable sets.
func (s *Server) tfeVariableSetRoutes() []route {
	const set, vars = "/api/v2/varsets/{varset}", "/api/v2/varsets/{varset}/relationships/vars"
	return []route{
		{method: "GET", pattern: "/api/v2/organizations/{organization}/varsets", access: person, summary: "List variable sets; q is a part of the name", out: []tfeVariableSet{},
			query: paging("q", "include"), handle: s.listVariableSets},
		{method: "GET", pattern: "/api/v2/workspaces/{workspace}/varsets", access: person, summary: "List the variable sets that a workspace has variables from",
			out: []tfeVariableSet{}, query: paging("include"), handle: s.listWorkspaceVariableSets},
		{method: "POST", pattern: "/api/v2/organizations/{organization}/varsets", access: person, summary: "Create a variable set", in: tfeVariableSetInput{}, out: tfeVariableSet{},
			status: http.StatusCreated, create: true, handle: s.createVariableSet},
		{method: "GET", pattern: set, access: person, summary: "Show a variable set; include may name vars and workspaces", out: tfeVariableSet{}, query: []string{"include"}, handle: s.showVariableSet},
		{method: "PATCH", pattern: set, access: person, summary: "Change a variable set; workspaces replace those it was given to", in: tfeVariableSetInput{}, out: tfeVariableSet{},
			query: []string{"include"}, handle: s.updateVariableSet},
		{method: "DELETE", pattern: set, access: person, summary: "Delete a variable set with its variables", handle: s.deleteVariableSet},
		{method: "POST", pattern: set + "/relationships/workspaces", access: person, summary: "Give a variable set to workspaces", in: resourceList{},
			status: http.StatusNoContent, handle: s.moveVariableSet("workspaces", s.db.GiveVariableSet)},
		{method: "DELETE", pattern: set + "/relationships/workspaces", access: person, summary: "Take a variable set from workspaces", in: resourceList{},
			handle: s.moveVariableSet("workspaces", s.db.TakeVariableSet)},
		{method: "GET", pattern: "/api/v2/projects/{project}/varsets", access: person, summary: "List the variable sets that all workspaces of a project have",
			out: []tfeVariableSet{}, query: paging("include"), handle: s.listProjectVariableSets},
		{method: "POST", pattern: set + "/relationships/projects", access: person, summary: "Give a variable set to all workspaces of projects", in: resourceList{},
			status: http.StatusNoContent, handle: s.moveVariableSet("projects", s.db.GiveVariableSetToProjects)},
		{method: "DELETE", pattern: set + "/relationships/projects", access: person, summary: "Take a variable set from projects", in: resourceList{},
			handle: s.moveVariableSet("projects", s.db.TakeVariableSetFromProjects)},

		{method: "GET", pattern: vars, access: person, summary: "List the variables of a variable set, all of them unless a page is asked for", out: []tfeVariable{},
			query: paging(), handle: s.listWorkspaceVariables},
		{method: "POST", pattern: vars, access: person, summary: "Create a variable of a variable set", in: tfeVariableInput{}, out: tfeVariable{},
			status: http.StatusCreated, create: true, handle: s.createVariable},
		{method: "GET", pattern: vars + "/{variable}", access: person, summary: "Show a variable of a variable set", out: tfeVariable{}, handle: s.showVariable},
		{method: "PATCH", pattern: vars + "/{variable}", access: person, summary: "Change a variable of a variable set", in: tfeVariableInput{}, out: tfeVariable{}, handle: s.updateVariable},
		{method: "DELETE", pattern: vars + "/{variable}", access: person, summary: "Delete a variable of a variable set", handle: s.deleteVariable},
	}
}

// tfeVariableSet is a variable set.
type tfeVariableSet struct {
	ID             string           `jsonapi:"primary,varsets"`
	Name           string           `jsonapi:"attr,name"`
	Description    string           `jsonapi:"attr,description"`
	Global         bool             `jsonapi:"attr,global"`
	Priority       bool             `jsonapi:"attr,priority"`
	CreatedAt      time.Time        `jsonapi:"attr,created-at,iso8601"`
	UpdatedAt      time.Time        `jsonapi:"attr,updated-at,iso8601"`
	VarCount       int              `jsonapi:"attr,var-count"`
	WorkspaceCount int              `jsonapi:"attr,workspace-count"`
	ProjectCount   int              `jsonapi:"attr,project-count"`
	Organization   *organizationRef `jsonapi:"relation,organization"`
	Parent         *organizationRef `jsonapi:"relation,parent"`
	Workspaces     []*workspaceRef  `jsonapi:"relation,workspaces"`
	Projects       []*projectRef    `jsonapi:"relation,projects"`
	Variables      []*variableRef   `jsonapi:"relation,vars"`
}

// tfeVariableSetInput is what of a variable set can be set. Nil means "not said".
type tfeVariableSetInput struct {
	ID          string           `jsonapi:"primary,varsets"`
	Name        *string          `jsonapi:"attr,name"`
	Description *string          `jsonapi:"attr,description"`
	Global      *bool            `jsonapi:"attr,global"`
	Priority    *bool            `jsonapi:"attr,priority"`
	Parent      *organizationRef `jsonapi:"relation,parent"` // the organization, which the path names too
	Workspaces  []*workspaceRef  `jsonapi:"relation,workspaces"`
	Projects    []*projectRef    `jsonapi:"relation,projects"`
}

// resourceList names resources of one type.
type resourceList struct {
	Data []struct {
		Type string `json:"type"`
		ID   string `json:"id"`
	} `json:"data"`
}

func variableSetDocument(v postgres.VariableSet) *tfeVariableSet {
	out := &tfeVariableSet{
		ID: v.ID, Name: v.Name, Description: v.Description, Global: v.Global, Priority: v.Priority, CreatedAt: v.CreatedAt, UpdatedAt: v.UpdatedAt,
		VarCount: len(v.Variables), WorkspaceCount: len(v.Workspaces), ProjectCount: len(v.Projects), Projects: []*projectRef{},
		Organization: &organizationRef{v.OrganizationName}, Parent: &organizationRef{v.OrganizationName},
		Workspaces: []*workspaceRef{}, Variables: []*variableRef{},
	}
	for _, id := range v.Workspaces {
		out.Workspaces = append(out.Workspaces, &workspaceRef{id})
	}
	for _, id := range v.Projects {
		out.Projects = append(out.Projects, &projectRef{id})
	}
	for _, id := range v.Variables {
		out.Variables = append(out.Variables, &variableRef{id})
	}
	return out
}

// answerVariableSet shows the set with what the query asks to include.
func (s *Server) answerVariableSet(r *request, v postgres.VariableSet) (reply, error) {
	var related []any
	wanted := strings.Split(r.URL.Query().Get("include"), ",")
	if slices.Contains(wanted, "vars") {
		all, err := s.db.Variables(r.Context(), postgres.Holder{SetID: v.ID})
		if err != nil {
			return reply{}, err
		}
		for _, one := range all {
			related = append(related, variableDocument(one))
		}
	}
	if slices.Contains(wanted, "workspaces") {
		for _, id := range v.Workspaces {
			w, err := s.db.Workspace(r.Context(), id)
			if err != nil {
				return reply{}, err
			}
			doc, err := workspaceDocument(w, r.role)
			if err != nil {
				return reply{}, err
			}
			related = append(related, doc)
		}
	}
	return object(variableSetDocument(v), related...)
}

func answerVariableSets(p postgres.Page, all []postgres.VariableSet, total int) (reply, error) {
	docs := make([]*tfeVariableSet, len(all))
	for i, v := range all {
		docs[i] = variableSetDocument(v)
	}
	return list(docs, p, total)
}

func (s *Server) listVariableSets(r *request) (reply, error) {
	p, err := r.page()
	if err != nil {
		return reply{}, err
	}
	all, total, err := s.db.VariableSets(r.Context(), r.PathValue("organization"), r.URL.Query().Get("q"), p)
	if err != nil {
		return reply{}, err
	}
	return answerVariableSets(p, all, total)
}

func (s *Server) listWorkspaceVariableSets(r *request) (reply, error) {
	p, err := r.page()
	if err != nil {
		return reply{}, err
	}
	w, err := s.workspace(r)
	if err != nil {
		return reply{}, err
	}
	all, total, err := s.db.WorkspaceVariableSets(r.Context(), w, p)
	if err != nil {
		return reply{}, err
	}
	return answerVariableSets(p, all, total)
}

func (in tfeVariableSetInput) workspaces() []string {
	ids := make([]string, len(in.Workspaces))
	for i, w := range in.Workspaces {
		ids[i] = w.ID
	}
	return ids
}

func (in tfeVariableSetInput) projects() []string {
	ids := make([]string, len(in.Projects))
	for i, p := range in.Projects {
		ids[i] = p.ID
	}
	return ids
}

func (s *Server) createVariableSet(r *request) (reply, error) {
	var in tfeVariableSetInput
	if err := r.decodeObject(&in); err != nil {
		return reply{}, err
	}
	v, err := s.db.CreateVariableSet(r.Context(), postgres.NewVariableSet{
		Organization: r.PathValue("organization"), Name: deref(in.Name), Description: deref(in.Description), Global: deref(in.Global), Priority: deref(in.Priority),
		Workspaces: in.workspaces(), Projects: in.projects(),
	})
	if err != nil {
		return reply{}, err
	}
	return s.answerVariableSet(r, v)
}

func (s *Server) showVariableSet(r *request) (reply, error) {
	v, err := s.db.VariableSet(r.Context(), r.PathValue("varset"))
	if err != nil {
		return reply{}, err
	}
	return s.answerVariableSet(r, v)
}

func (s *Server) updateVariableSet(r *request) (reply, error) {
	var in tfeVariableSetInput
	if err := r.decodeObject(&in); err != nil {
		return reply{}, err
	}
	change := postgres.VariableSetChange{Name: in.Name, Description: in.Description, Global: in.Global, Priority: in.Priority}
	if r.relates("workspaces") { // an empty list takes the set from all
		ids := in.workspaces()
		change.Workspaces = &ids
	}
	if r.relates("projects") {
		ids := in.projects()
		change.Projects = &ids
	}
	v, err := s.db.UpdateVariableSet(r.Context(), r.PathValue("varset"), change)
	if err != nil {
		return reply{}, err
	}
	return s.answerVariableSet(r, v)
}

// relates reports whether the body has the relationship.
func (r *request) relates(name string) bool {
	var doc struct {
		Data struct {
			Relationships map[string]json.RawMessage `json:"relationships"`
		} `json:"data"`
	}
	_ = json.Unmarshal(r.body, &doc) // decodeObject had no objection
	_, there := doc.Data.Relationships[name]
	return there
}

func (s *Server) deleteVariableSet(r *request) (reply, error) {
	return reply{}, s.db.DeleteVariableSet(r.Context(), r.PathValue("varset"))
}

func (s *Server) moveVariableSet(kind string, move func(ctx context.Context, id string, to []string) error) handler {
	return func(r *request) (reply, error) {
		var in resourceList
		if err := r.decode(&in); err != nil {
			return reply{}, err
		}
		ids, err := in.ids(kind)
		if err != nil {
			return reply{}, err
		}
		return reply{}, move(r.Context(), r.PathValue("varset"), ids)
	}
}

func (s *Server) listProjectVariableSets(r *request) (reply, error) {
	p, err := r.page()
	if err != nil {
		return reply{}, err
	}
	of, err := s.db.ProjectByID(r.Context(), r.PathValue("project"))
	if err != nil {
		return reply{}, err
	}
	all, total, err := s.db.ProjectVariableSets(r.Context(), of, p)
	if err != nil {
		return reply{}, err
	}
	return answerVariableSets(p, all, total)
}
