package api

import (
	"cmp"
	"net/http"

	"github.com/hashicorp/jsonapi"

	"gantry.example/internal/wire"
	"gantry.example/services/postgres"
)

// tfeVariableRoutes are TFE's calls about the variables of workspaces. Those below /vars are its older ones.
func (s *Server) tfeVariableRoutes() []route {
	const ofWorkspace = "/api/v2/workspaces/{workspace}/vars"
	return []route{
		{method: "GET", pattern: ofWorkspace, access: person, summary: "List the variables of a workspace, all of them unless a page is asked for", out: []tfeVariable{},
			query: paging(), handle: s.listWorkspaceVariables},
		{method: "GET", pattern: "/api/v2/workspaces/{workspace}/all-vars", access: person, summary: "List the variables that a workspace's runs get, those of variable sets included",
			out: []tfeVariable{}, query: paging(), handle: s.listEffectiveVariables},
		{method: "POST", pattern: ofWorkspace, access: person, summary: "Create a variable of a workspace", in: tfeVariableInput{}, out: tfeVariable{},
			status: http.StatusCreated, create: true, handle: s.createVariable},
		{method: "GET", pattern: ofWorkspace + "/{variable}", access: person, summary: "Show a variable; the value of a sensitive one is never shown", out: tfeVariable{}, handle: s.showVariable},
		{method: "PATCH", pattern: ofWorkspace + "/{variable}", access: person, summary: "Change a variable", in: tfeVariableInput{}, out: tfeVariable{}, handle: s.updateVariable},
		{method: "DELETE", pattern: ofWorkspace + "/{variable}", access: person, summary: "Delete a variable", handle: s.deleteVariable},

		{method: "GET", pattern: "/api/v2/vars", access: person, summary: "List the variables of a workspace by its name", out: []tfeVariable{},
			query: paging(filterOrganization, filterWorkspace), handle: s.listNamedVariables},
		{method: "POST", pattern: "/api/v2/vars", access: person, summary: "Create a variable of the workspace that the relationship names", in: tfeVariableInput{}, out: tfeVariable{},
			status: http.StatusCreated, create: true, handle: s.createVariable},
		{method: "PATCH", pattern: "/api/v2/vars/{variable}", access: person, summary: "Change a variable by its id alone", in: tfeVariableInput{}, out: tfeVariable{}, handle: s.updateVariable},
		{method: "DELETE", pattern: "/api/v2/vars/{variable}", access: person, summary: "Delete a variable by its id alone", handle: s.deleteVariable},
	}
}

// tfeVariable is a variable of a workspace or of a variable set. Value is null if it is sensitive.
type tfeVariable struct {
	ID           string          `jsonapi:"primary,vars"`
	Key          string          `jsonapi:"attr,key"`
	Value        *string         `jsonapi:"attr,value"`
	Description  string          `jsonapi:"attr,description"`
	Category     string          `jsonapi:"attr,category"`
	HCL          bool            `jsonapi:"attr,hcl"`
	Sensitive    bool            `jsonapi:"attr,sensitive"`
	VersionID    string          `jsonapi:"attr,version-id"`
	Configurable *workspaceRef   `jsonapi:"relation,configurable,omitempty"`
	VariableSet  *variableSetRef `jsonapi:"relation,varset,omitempty"`
}

// tfeVariableInput is what of a variable can be set. Nil means "not said".
type tfeVariableInput struct {
	ID          string        `jsonapi:"primary,vars"`
	Key         *string       `jsonapi:"attr,key"`
	Value       *string       `jsonapi:"attr,value"`
	Description *string       `jsonapi:"attr,description"`
	Category    *string       `jsonapi:"attr,category"`
	HCL         *bool         `jsonapi:"attr,hcl"`
	Sensitive   *bool         `jsonapi:"attr,sensitive"`
	Workspace   *workspaceRef `jsonapi:"relation,workspace"` // of POST /vars
}

func variableDocument(v postgres.Variable) *tfeVariable {
	out := &tfeVariable{
		ID: v.ID, Key: v.Key, Description: v.Description, Category: v.Category, HCL: v.HCL, Sensitive: v.Sensitive, VersionID: v.VersionID,
	}
	if !v.Sensitive {
		out.Value = &v.Value
	}
	if v.Holder.SetID != "" {
		out.VariableSet = &variableSetRef{v.Holder.SetID}
	} else {
		out.Configurable = &workspaceRef{v.Holder.WorkspaceID}
	}
	return out
}

// answerVariables answers with a page, or with all when none is asked for: TFE's clients expect all of a workspace's
// variables in one answer.
func answerVariables(r *request, all []postgres.Variable) (reply, error) {
	p, err := r.page()
	if err != nil {
		return reply{}, err
	}
	docs := make([]*tfeVariable, len(all))
	for i, v := range all {
		docs[i] = variableDocument(v)
	}
	if q := r.URL.Query(); !q.Has("page[number]") && !q.Has("page[size]") {
		return collection(docs, &jsonapi.Meta{"pagination": paginationMeta{Current: 1, Size: len(docs), Pages: 1, Count: len(docs)}})
	}
	p = p.Normal()
	from := min((p.Number-1)*p.Size, len(docs))
	return list(docs[from:min(from+p.Size, len(docs))], p, len(docs))
}

// holder is what the path says the variables belong to. It exists.
func (s *Server) holder(r *request) (postgres.Holder, error) {
	switch {
	case r.PathValue("workspace") != "":
		w, err := s.workspace(r)
		return postgres.Holder{WorkspaceID: w.ID}, err
	case r.PathValue("varset") != "":
		set, err := s.db.VariableSet(r.Context(), r.PathValue("varset"))
		return postgres.Holder{SetID: set.ID}, err
	}
	return postgres.Holder{}, nil
}

func (s *Server) listWorkspaceVariables(r *request) (reply, error) {
	h, err := s.holder(r)
	if err != nil {
		return reply{}, err
	}
	all, err := s.db.Variables(r.Context(), h)
	if err != nil {
		return reply{}, err
	}
	return answerVariables(r, all)
}

func (s *Server) listEffectiveVariables(r *request) (reply, error) {
	w, err := s.workspace(r)
	if err != nil {
		return reply{}, err
	}
	all, err := s.db.EffectiveVariables(r.Context(), w)
	if err != nil {
		return reply{}, err
	}
	return answerVariables(r, all)
}

func (s *Server) listNamedVariables(r *request) (reply, error) {
	q := r.URL.Query()
	organization, name := q.Get(filterOrganization), q.Get(filterWorkspace)
	if organization == "" || name == "" {
		return reply{}, invalid("the query needs %s and %s", filterOrganization, filterWorkspace)
	}
	w, err := s.db.WorkspaceByName(r.Context(), organization, name)
	if err != nil {
		return reply{}, err
	}
	all, err := s.db.Variables(r.Context(), postgres.Holder{WorkspaceID: w.ID})
	if err != nil {
		return reply{}, err
	}
	return answerVariables(r, all)
}

func (s *Server) createVariable(r *request) (reply, error) {
	var in tfeVariableInput
	if err := r.decodeObject(&in); err != nil {
		return reply{}, err
	}
	h, err := s.holder(r)
	if err == nil && h == (postgres.Holder{}) {
		h, err = s.namedHolder(r, in)
	}
	if err != nil {
		return reply{}, err
	}
	if in.Category == nil {
		return reply{}, invalid("field category: missing: say %q for a variable of the configuration, or %q for one of the environment", wire.CategoryTerraform, wire.CategoryEnv)
	}
	v, err := s.db.CreateVariable(r.Context(), h, postgres.NewVariable{Description: deref(in.Description), Variable: wire.Variable{
		Key: deref(in.Key), Value: deref(in.Value), Category: *in.Category, HCL: deref(in.HCL), Sensitive: deref(in.Sensitive),
	}})
	if err != nil {
		return reply{}, err
	}
	return object(variableDocument(v))
}

// namedHolder is the workspace that the body names.
func (s *Server) namedHolder(r *request, in tfeVariableInput) (postgres.Holder, error) {
	if in.Workspace == nil {
		return postgres.Holder{}, invalid("relationship workspace: missing: name the workspace of the variable")
	}
	if err := s.admitWorkspace(r, in.Workspace.ID, postgres.RoleWrite); err != nil {
		return postgres.Holder{}, err
	}
	w, err := s.db.Workspace(r.Context(), in.Workspace.ID)
	return postgres.Holder{WorkspaceID: w.ID}, err
}

func deref[T any](p *T) T {
	var none T
	return *cmp.Or(p, &none)
}

func (s *Server) showVariable(r *request) (reply, error) {
	h, err := s.holder(r)
	if err != nil {
		return reply{}, err
	}
	v, err := s.db.Variable(r.Context(), h, r.PathValue("variable"))
	if err != nil {
		return reply{}, err
	}
	return object(variableDocument(v))
}

func (s *Server) updateVariable(r *request) (reply, error) {
	var in tfeVariableInput
	if err := r.decodeObject(&in); err != nil {
		return reply{}, err
	}
	h, err := s.holder(r)
	if err != nil {
		return reply{}, err
	}
	v, err := s.db.UpdateVariable(r.Context(), h, r.PathValue("variable"), postgres.VariableChange{
		Key: in.Key, Value: in.Value, Category: in.Category, Description: in.Description, HCL: in.HCL, Sensitive: in.Sensitive,
	})
	if err != nil {
		return reply{}, err
	}
	return object(variableDocument(v))
}

func (s *Server) deleteVariable(r *request) (reply, error) {
	h, err := s.holder(r)
	if err != nil {
		return reply{}, err
	}
	return reply{}, s.db.DeleteVariable(r.Context(), h, r.PathValue("variable"))
}
