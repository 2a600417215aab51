package dashboard

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"gantry.example/messages"
	"gantry.example/services/postgres"
)

// field is one field of the execution document in the form.
type field struct {
	Path    string // dotted, as the API names it
	Text    string
	Help    string
	Choices []choice // of a select
	List    bool     // a list of texts, separated by commas
	Value   string
	Default string // what the organization's document says
}

type choice struct {
	Value, Text string
	Chosen      bool
}

// fieldGroup is the fields that belong to a mode, or to all of them where Mode is "".
type fieldGroup struct {
	Mode   string
	Title  string
	Fields []field
}

// executionFields are all fields of the execution document that have a place in the form, each explained.
func executionFields() []fieldGroup {
	choices := func(values ...string) []choice {
		out := []choice{{"", "not set here", false}}
		for _, v := range values {
			out = append(out, choice{v, v, false})
		}
		return out
	}
	return []fieldGroup{
		{"", "For every mode", []field{
			{Path: "execution_mode", Text: "Execution mode", Help: "Where the runs of this workspace execute: on the platform server (local), on an agent of a pool (agent), or in a Kubernetes Pod (k8s).", Choices: choices("local", "agent", "k8s")},
			{Path: "engine", Text: "Engine", Help: "The program that plans and applies.", Choices: choices("terraform", "tofu")},
			{Path: "terraform_version", Text: "Version", Help: "An exact version of the engine or a constraint, such as 1.11.4 or ~> 1.11."},
			{Path: "workdir", Text: "Working directory", Help: "The folder inside the configuration that is planned and applied, such as modules/network."},
			{Path: "timeouts.plan", Text: "Longest plan", Help: "Terraform is interrupted when its plan takes longer: 20m, 2h, or none."},
			{Path: "timeouts.apply", Text: "Longest apply", Help: "The same for the apply. What it had changed by then is in the state."},
			{Path: "timeouts.silence", Text: "Longest silence", Help: "A plan or apply that prints nothing for so long is taken for hung and interrupted."},
			{Path: "timeouts.queue", Text: "Longest wait for a worker", Help: "A run that nobody takes for so long ends as errored. Nothing was changed then."},
			{Path: "timeouts.approval", Text: "Longest wait for approval", Help: "A plan that nobody approves for so long is discarded."},
		}},
		{"agent", "Agent mode", []field{
			{Path: "agent_pool_id", Text: "Agent pool", Help: "The pool whose agents carry out the runs: its id, name or number."},
			{Path: "selection_strategy", Text: "Selection strategy", Help: "Which of the free agents is asked first.", Choices: choices("round_robin", "least_busy", "random", "label_match")},
			{Path: "required_labels", Text: "Required labels", Help: "Only agents that offer all of these labels take the work. Separate them by commas.", List: true},
		}},
		{"k8s", "Kubernetes mode", []field{
			{Path: "k8s_config_id", Text: "Kubernetes configuration", Help: "The cluster: the id, name or number of a configuration."},
			{Path: "namespace", Text: "Namespace", Help: "Where the Pods are made: the configuration’s own, or one that it allows."},
			{Path: "pod_template.image", Text: "Image", Help: "What the Pod runs; any image with the engine in it."},
			{Path: "pod_template.service_account", Text: "Service account", Help: "The identity that the Pod has in the cluster."},
			{Path: "pod_template.image_pull_secrets", Text: "Image pull secrets", Help: "Secrets for private registries, separated by commas.", List: true},
			{Path: "pod_template.resources.requests.cpu", Text: "CPU requested", Help: "Kubernetes’ words, such as 500m."},
			{Path: "pod_template.resources.requests.memory", Text: "Memory requested", Help: "Such as 512Mi."},
			{Path: "pod_template.resources.limits.cpu", Text: "CPU limit", Help: "Such as 1."},
			{Path: "pod_template.resources.limits.memory", Text: "Memory limit", Help: "Such as 1Gi. A Pod that needs more is killed."},
		}},
	}
}

type settingsView struct {
	frame
	Viewer    viewer
	Workspace postgres.Workspace
	Address   string
	Groups    []fieldGroup
	Mode      string // of the workspace's own document or the one below
	Effective string // the whole document, as JSON
	Problem   string
	Saved     bool
}

// settings is the form of the workspace's execution document.
func (s *Server) settings(w http.ResponseWriter, r *http.Request, session postgres.Session) error {
	ws, who, err := s.workspaceOf(r, session)
	if err != nil {
		return err
	}
	own, err := textsOf(ws.Execution)
	if err != nil {
		return err
	}
	return s.showSettings(w, r, session, ws, who, own, http.StatusOK, "")
}

func (s *Server) showSettings(w http.ResponseWriter, r *http.Request, session postgres.Session, ws postgres.Workspace, who viewer, own map[string]string, status int, problem string) error {
	defaults, err := textsOf(ws.Defaults)
	if err != nil {
		return err
	}
	target, err := ws.Target()
	if err != nil {
		return err
	}
	effective, err := json.MarshalIndent(target, "", "  ")
	if err != nil {
		return err
	}
	v := settingsView{
		frame:  s.ofWorkspace(&session, ws, "Settings · "+ws.OrganizationName+"/"+ws.Name, "settings"),
		Viewer: who, Workspace: ws, Address: workspaceAddress(ws) + "/settings", Groups: executionFields(), Mode: own["execution_mode"],
		Effective: string(effective), Problem: problem, Saved: problem == "" && r.URL.Query().Get("saved") != "",
	}
	if v.Mode == "" {
		v.Mode = string(target.Mode)
	}
	configs, err := s.configChoices(r, ws)
	if err != nil {
		return err
	}
	for _, g := range v.Groups {
		for i := range g.Fields {
			f := &g.Fields[i]
			f.Value, f.Default = own[f.Path], defaults[f.Path]
			if f.Path == "k8s_config_id" {
				f.offer(configs)
			}
			for j := range f.Choices {
				f.Choices[j].Chosen = f.Choices[j].Value == f.Value
			}
		}
	}
	return s.pages.write(w, status, "settings.html", v)
}

// configChoices are the k8s configs of the workspace's organization.
func (s *Server) configChoices(r *http.Request, ws postgres.Workspace) ([]choice, error) {
	configs, err := s.cfg.DB.K8sConfigs(r.Context(), ws.OrganizationID)
	if err != nil {
		return nil, err
	}
	var out []choice
	for _, c := range configs {
		out = append(out, choice{Value: c.ID, Text: c.Name + " · " + c.Namespace})
	}
	return out, nil
}

// offer makes the field one to choose from, if there is something. A value that is none of the choices stays one.
func (f *field) offer(choices []choice) {
	if len(choices) == 0 {
		return
	}
	f.Choices = append([]choice{{Text: "not set here"}}, choices...)
	for _, c := range choices {
		if c.Value == f.Default {
			f.Default = c.Text
		}
	}
	if !slices.ContainsFunc(f.Choices, func(c choice) bool { return c.Value == f.Value }) {
		f.Choices = append(f.Choices, choice{Value: f.Value, Text: f.Value})
	}
}

// changeSettings writes the document. What of it has no place in the form stays as it is, except what belongs to another mode.
func (s *Server) changeSettings(w http.ResponseWriter, r *http.Request, session postgres.Session) error {
	ws, who, err := s.workspaceOf(r, session)
	if err != nil {
		return err
	}
	doc := map[string]any{}
	if err := json.Unmarshal(ws.Execution, &doc); err != nil {
		return err
	}
	texts := map[string]string{}
	for path, values := range r.PostForm {
		texts[path] = strings.TrimSpace(values[0])
	}
	fill(doc, texts)
	err = s.call(r, session, "PUT", "/api/gantry/v1/workspaces/"+ws.ID+"/execution", doc, nil)
	if no, ok := asRefusal(err); ok {
		return s.showSettings(w, r, session, ws, who, texts, no.status, no.Detail)
	}
	if err != nil {
		return err
	}
	http.Redirect(w, r, workspaceAddress(ws)+"/settings?"+url.Values{"saved": {"yes"}}.Encode(), http.StatusSeeOther)
	return nil
}

// fill puts the texts of the form into the document: those of the mode that it says, and none of another mode.
func fill(doc map[string]any, texts map[string]string) {
	for _, g := range executionFields() {
		for _, f := range g.Fields {
			text := texts[f.Path]
			if g.Mode != "" && g.Mode != texts["execution_mode"] {
				text = ""
				delete(doc, strings.Split(f.Path, ".")[0])
			}
			var value any
			if text != "" {
				value = text
				if f.List {
					value = listOf(text)
				}
			}
			put(doc, strings.Split(f.Path, "."), value)
		}
	}
}

// put sets or, given nil, removes what is at the path. What is empty then goes too.
func put(doc map[string]any, path []string, value any) {
	if len(path) == 1 {
		if value == nil {
			delete(doc, path[0])
		} else {
			doc[path[0]] = value
		}
		return
	}
	inner, ok := doc[path[0]].(map[string]any)
	if !ok {
		if value == nil {
			return
		}
		inner = map[string]any{}
		doc[path[0]] = inner
	}
	put(inner, path[1:], value)
	if len(inner) == 0 {
		delete(doc, path[0])
	}
}

func listOf(text string) []string {
	all := strings.FieldsFunc(text, func(c rune) bool { return c == ',' || c == ' ' || c == '\n' })
	return slices.DeleteFunc(all, func(s string) bool { return s == "" })
}

// textsOf are the values of a document by their path, as the form shows them.
func textsOf(doc []byte) (map[string]string, error) {
	out := map[string]string{}
	if len(doc) == 0 {
		return out, nil
	}
	if _, err := messages.ParseExecution(doc); err != nil {
		return out, fmt.Errorf("stored execution document: %w", err)
	}
	var all map[string]any
	if err := json.Unmarshal(doc, &all); err != nil {
		return out, err
	}
	flatten(out, "", all)
	return out, nil
}

func flatten(out map[string]string, at string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for key, inner := range v {
			flatten(out, strings.TrimPrefix(at+"."+key, "."), inner)
		}
	case []any:
		texts := make([]string, len(v))
		for i, one := range v {
			texts[i] = fmt.Sprint(one)
		}
		out[at] = strings.Join(texts, ", ")
	default:
		out[at] = fmt.Sprint(v)
	}
}
