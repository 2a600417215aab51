package dashboard

import (
	"cmp"
	"net/http"

	"gantry.example/services/postgres"
)

type variablesView struct {
	frame
	Viewer  viewer
	Address string
	Rows    []variableRow
	Problem string
	Form    variableForm // what is being added, or was refused
}

// variableRow is a variable as a run gets it. Own ones belong to the workspace, the others to a variable set.
type variableRow struct {
	postgres.Variable
	Own     bool
	From    string // whose it is, in words
	Editing bool
}

type variableForm struct {
	ID, Key, Value, Description, Category string
	HCL, Sensitive                        bool
}

// variables lists what the workspace's runs get: its own variables and those of variable sets.
func (s *Server) variables(w http.ResponseWriter, r *http.Request, session postgres.Session) error {
	ws, who, err := s.workspaceOf(r, session)
	if err != nil {
		return err
	}
	return s.showVariables(w, r, session, ws, who, http.StatusOK, "", variableForm{Category: "terraform"})
}

func (s *Server) showVariables(w http.ResponseWriter, r *http.Request, session postgres.Session, ws postgres.Workspace, who viewer, status int, problem string, form variableForm) error {
	v := variablesView{
		frame:  s.ofWorkspace(&session, ws, "Variables · "+ws.OrganizationName+"/"+ws.Name, "variables"),
		Viewer: who, Address: workspaceAddress(ws) + "/variables", Problem: problem, Form: form,
	}
	all, err := s.cfg.DB.EffectiveVariables(r.Context(), ws)
	if err != nil {
		return err
	}
	edit := r.URL.Query().Get("edit")
	from := map[string]string{"": "workspace"} // by the id of the variable set
	for _, one := range all {
		set := one.Holder.SetID
		if from[set] == "" {
			found, err := s.cfg.DB.VariableSet(r.Context(), set)
			if err != nil && !notFound(err) {
				return err
			}
			from[set] = "variable set " + cmp.Or(found.Name, set)
		}
		if one.Sensitive {
			one.Value = "" // not even in the page's source
		}
		v.Rows = append(v.Rows, variableRow{one, one.Holder.WorkspaceID == ws.ID, from[set], one.ID == edit})
		if one.ID == edit && form.ID == "" {
			v.Form = variableForm{one.ID, one.Key, one.Value, one.Description, string(one.Category), one.HCL, one.Sensitive}
		}
	}
	return s.pages.write(w, status, "variables.html", v)
}

// changeVariables creates, changes or deletes a variable.
func (s *Server) changeVariables(w http.ResponseWriter, r *http.Request, session postgres.Session) error {
	ws, who, err := s.workspaceOf(r, session)
	if err != nil {
		return err
	}
	in := r.PostForm
	form := variableForm{in.Get("id"), in.Get("key"), in.Get("value"), in.Get("description"), in.Get("category"), in.Get("hcl") != "", in.Get("sensitive") != ""}
	base := "/api/v2/workspaces/" + ws.ID + "/vars"
	attributes := map[string]any{
		"key": form.Key, "value": form.Value, "description": form.Description, "category": form.Category, "hcl": form.HCL, "sensitive": form.Sensitive,
	}
	switch {
	case in.Get("delete") != "":
		err = s.call(r, session, "DELETE", base+"/"+in.Get("delete"), nil, nil)
	case form.ID != "":
		if form.Sensitive && form.Value == "" { // the value was not shown, and stays
			delete(attributes, "value")
		}
		err = s.call(r, session, "PATCH", base+"/"+form.ID, document("vars", attributes), nil)
	default:
		err = s.call(r, session, "POST", base, document("vars", attributes), nil)
	}
	if no, ok := asRefusal(err); ok {
		return s.showVariables(w, r, session, ws, who, no.status, no.Detail, form)
	}
	if err != nil {
		return err
	}
	http.Redirect(w, r, workspaceAddress(ws)+"/variables", http.StatusSeeOther)
	return nil
}

// document is a JSON:API document of one object.
func document(kind string, attributes map[string]any) map[string]any {
	return map[string]any{"data": map[string]any{"type": kind, "attributes": attributes}}
}
