package dashboard

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"gantry.example/internal/mask"
	"gantry.example/internal/variable"
	"gantry.example/internal/wire"
	"gantry.example/services/postgres"
)

type statesView struct {
	frame
	Viewer  viewer
	Address string
	States  []stateRow
	Total   int
	Next    string
}

type stateRow struct {
	postgres.StateVersion
	Address string
	RunAt   string
	Current bool
	By      string
}

// states lists the versions of a workspace's state, newest first.
func (s *Server) states(w http.ResponseWriter, r *http.Request, session postgres.Session) error {
	ws, who, err := s.workspaceOf(r, session)
	if err != nil {
		return err
	}
	number, _ := strconv.Atoi(r.URL.Query().Get("page"))
	page := postgres.Page{Number: max(number, 1), Size: pageSize}
	all, total, err := s.cfg.DB.StateVersions(r.Context(), ws.ID, page)
	if err != nil {
		return err
	}
	v := statesView{
		frame: s.ofWorkspace(&session, ws, "State · "+ws.OrganizationName+"/"+ws.Name, "states"), Viewer: who, Address: workspaceAddress(ws) + "/states", Total: total,
	}
	current, err := s.cfg.DB.CurrentStateVersion(r.Context(), ws.ID)
	if err != nil && !notFound(err) {
		return err
	}
	for _, sv := range all {
		v.States = append(v.States, rowOfState(ws, sv, current.ID))
	}
	if page.Number*pageSize < total {
		v.Next = fmt.Sprintf("%s?page=%d", v.Address, page.Number+1)
	}
	return s.pages.write(w, http.StatusOK, "states.html", v)
}

func rowOfState(ws postgres.Workspace, sv postgres.StateVersion, current string) stateRow {
	row := stateRow{StateVersion: sv, Address: workspaceAddress(ws) + "/states/" + sv.ID, Current: sv.ID == current, By: sv.CreatedBy}
	if sv.RunID != nil {
		row.RunAt = runAddress(ws, *sv.RunID)
	}
	return row
}

// maxShownState is how large a state is at most, in bytes, that is shown or compared: it is in memory several times then.
const maxShownState = 32 << 20

type stateView struct {
	frame
	Large     bool // too large to be shown
	Viewer    viewer
	State     stateRow
	Resources []stateResource
	More      int
	Outputs   []attribute
	Against   *postgres.StateVersion // what it is compared with
	Diff      []difference
	Older     []postgres.StateVersion
	Current   *postgres.StateVersion
}

// Compared reports whether the version with the id is the one that is compared with.
func (v stateView) Compared(id string) bool { return v.Against != nil && v.Against.ID == id }

type stateResource struct {
	Address, Provider string
	Tainted           bool
	Attributes        []attribute
}

// state shows one version: its resources, its outputs, and what differs from another one.
func (s *Server) state(w http.ResponseWriter, r *http.Request, session postgres.Session) error {
	ws, who, sv, err := s.stateOf(r, session)
	if err != nil {
		return err
	}
	v := stateView{frame: s.ofWorkspace(&session, ws, fmt.Sprintf("State %d · %s/%s", sv.Serial, ws.OrganizationName, ws.Name), "states"), Viewer: who}
	current, err := s.cfg.DB.CurrentStateVersion(r.Context(), ws.ID)
	if err == nil {
		v.Current = &current
	} else if !notFound(err) {
		return err
	}
	v.State = rowOfState(ws, sv, current.ID)
	if v.Large = sv.Size > maxShownState; v.Large {
		return s.pages.write(w, http.StatusOK, "state.html", v)
	}
	secrets, err := s.secretsOf(r, ws)
	if err != nil {
		return err
	}
	content, err := s.stateContent(r, sv.ID)
	if err != nil {
		return err
	}
	v.Outputs = content.outputs(secrets)
	for _, one := range content.instances() {
		if len(v.Resources) == 10*shownResources {
			v.More++
			continue
		}
		attributes, _ := compare(side{}, one.side, secrets)
		v.Resources = append(v.Resources, stateResource{one.address, one.provider, one.tainted, attributes})
	}
	if v.Older, _, err = s.cfg.DB.StateVersions(r.Context(), ws.ID, postgres.Page{Size: pageSize}); err != nil {
		return err
	}
	if id := r.URL.Query().Get("against"); id != "" {
		err = s.compareStates(r, ws, id, content, secrets, &v)
	}
	if err != nil {
		return err
	}
	return s.pages.write(w, http.StatusOK, "state.html", v)
}

// stateOf finds the state version of the path in its workspace.
func (s *Server) stateOf(r *http.Request, session postgres.Session) (postgres.Workspace, viewer, postgres.StateVersion, error) {
	ws, who, err := s.workspaceOf(r, session)
	if err != nil {
		return ws, who, postgres.StateVersion{}, err
	}
	sv, err := s.stateIn(r, ws, r.PathValue("state"))
	return ws, who, sv, err
}

func (s *Server) stateIn(r *http.Request, ws postgres.Workspace, id string) (postgres.StateVersion, error) {
	sv, err := s.cfg.DB.StateVersion(r.Context(), id)
	if notFound(err) || err == nil && sv.WorkspaceID != ws.ID {
		return sv, missing("Workspace %s/%s has no state version %q. Those there are, are at %s/states.", ws.OrganizationName, ws.Name, id, workspaceAddress(ws))
	}
	return sv, err
}

// secretsOf are the texts that no page of the workspace shows, although a state may have them.
func (s *Server) secretsOf(r *http.Request, ws postgres.Workspace) (*mask.Secrets, error) {
	all, err := s.cfg.DB.EffectiveVariables(r.Context(), ws)
	if err != nil {
		return nil, err
	}
	var values []wire.Variable
	for _, v := range all {
		values = append(values, v.Variable)
	}
	return mask.New(variable.Secrets(values)), nil
}

func (s *Server) compareStates(r *http.Request, ws postgres.Workspace, id string, now stateContent, secrets *mask.Secrets, v *stateView) error {
	other, err := s.stateIn(r, ws, id)
	if err != nil {
		return err
	}
	if other.Size > maxShownState {
		return &problem{status: http.StatusUnprocessableEntity, title: "Too large", text: fmt.Sprintf("State version %s has %d bytes: too many to be compared here. Download both.", id, other.Size)}
	}
	before, err := s.stateContent(r, other.ID)
	if err != nil {
		return err
	}
	v.Against, v.Diff = &other, differences(before, now, secrets)
	return nil
}

// downloadState gives the state as it is stored, sensitive values included, to those whom the API gives it.
func (s *Server) downloadState(w http.ResponseWriter, r *http.Request, session postgres.Session) error {
	ws, _, sv, err := s.stateOf(r, session)
	if err != nil {
		return err
	}
	return s.pass(w, r, session, "/api/v2/state-versions/"+sv.ID+"/download", map[string]string{
		"Content-Type": "application/json", "Content-Disposition": fmt.Sprintf(`attachment; filename="%s-%d.tfstate"`, ws.Name, sv.Serial),
	})
}

// changeState goes back to a version, or takes one that was kept aside.
func (s *Server) changeState(w http.ResponseWriter, r *http.Request, session postgres.Session) error {
	ws, _, sv, err := s.stateOf(r, session)
	if err != nil {
		return err
	}
	at := workspaceAddress(ws) + "/states"
	if sv.Superseded {
		err = s.call(r, session, "POST", "/api/gantry/v1/state-versions/"+sv.ID+"/promote", map[string]bool{"force": r.PostForm.Get("force") == "yes"}, nil)
	} else {
		err = s.call(r, session, "PATCH", "/api/v2/workspaces/"+ws.ID+"/state-versions", map[string]any{"data": map[string]any{
			"type":          "state-versions",
			"relationships": map[string]any{"rollback-state-version": map[string]any{"data": map[string]string{"type": "state-versions", "id": sv.ID}}},
		}}, nil)
	}
	if err != nil {
		return back(err, "Back to the state", at+"/"+sv.ID)
	}
	http.Redirect(w, r, at, http.StatusSeeOther)
	return nil
}

// stateContent is what is read of a state.
type stateContent struct {
	Outputs map[string]struct {
		Value     any  `json:"value"`
		Sensitive bool `json:"sensitive"`
	} `json:"outputs"`
	Resources []struct {
		Module    string `json:"module"`
		Mode      string `json:"mode"`
		Type      string `json:"type"`
		Name      string `json:"name"`
		Provider  string `json:"provider"`
		Instances []struct {
			Index      any    `json:"index_key"`
			Status     string `json:"status"`
			Deposed    string `json:"deposed"`
			Attributes any    `json:"attributes"`
			Sensitive  []any  `json:"sensitive_attributes"`
		} `json:"instances"`
	} `json:"resources"`
}

func (s *Server) stateContent(r *http.Request, id string) (stateContent, error) {
	var out stateContent
	body, err := s.cfg.DB.State(r.Context(), id)
	if err != nil {
		return out, err
	}
	dec := json.NewDecoder(body)
	dec.UseNumber()
	if err := dec.Decode(&out); err != nil {
		return out, fmt.Errorf("state version %s: %w", id, err)
	}
	return out, nil
}

func (c stateContent) outputs(secrets *mask.Secrets) []attribute {
	var out []attribute
	for _, name := range slices.Sorted(maps.Keys(c.Outputs)) {
		o := c.Outputs[name]
		if o.Sensitive {
			out = append(out, attribute{Path: name, NewWord: "sensitive"})
			continue
		}
		out = append(out, attribute{Path: name, New: cut(secrets.Text(text(o.Value)))})
	}
	return out
}

// instance is one object of a state.
type instance struct {
	address, provider string
	tainted           bool
	side              side
}

// instances are the objects of the state, by address.
func (c stateContent) instances() []instance {
	var out []instance
	for _, r := range c.Resources {
		address := r.Type + "." + r.Name
		if r.Mode == "data" {
			address = "data." + address
		}
		if r.Module != "" {
			address = r.Module + "." + address
		}
		for _, i := range r.Instances {
			at := address
			switch index := i.Index.(type) {
			case string:
				at += fmt.Sprintf("[%q]", index)
			case nil:
			default:
				at += fmt.Sprintf("[%v]", index)
			}
			if i.Deposed != "" {
				at += " (deposed " + i.Deposed + ")"
			}
			out = append(out, instance{at, r.Provider, i.Status == "tainted", side{value: i.Attributes, sensitive: sensitiveShape(i.Sensitive)}})
		}
	}
	slices.SortStableFunc(out, func(a, b instance) int { return cmp.Compare(a.address, b.address) })
	return out
}

// sensitiveShape turns the paths of a state's sensitive attributes into the shape that a plan has. What lies below an attribute
// is sensitive with it: showing too little is the safe side.
func sensitiveShape(paths []any) any {
	out := map[string]any{}
	for _, p := range paths {
		steps, _ := p.([]any)
		if len(steps) == 0 {
			return true
		}
		first, _ := steps[0].(map[string]any)
		name, ok := first["value"].(string)
		if !ok {
			return true
		}
		out[name] = true
	}
	return out
}

// differences lists what of the objects of two states differs.
func differences(before, after stateContent, secrets *mask.Secrets) []difference {
	old, now := map[string]instance{}, map[string]instance{}
	for _, i := range before.instances() {
		old[i.address] = i
	}
	for _, i := range after.instances() {
		now[i.address] = i
	}
	all := maps.Clone(old)
	maps.Copy(all, now)
	var out []difference
	for _, address := range slices.Sorted(maps.Keys(all)) {
		a, was := old[address]
		b, is := now[address]
		d := difference{Address: address, Sign: "~", Tone: "attention", What: "changed"}
		switch {
		case !was:
			d.Sign, d.Tone, d.What = "+", "good", "was added"
		case !is:
			d.Sign, d.Tone, d.What = "−", "bad", "was removed"
		}
		d.Attributes, d.More = compare(a.side, b.side, secrets)
		if len(d.Attributes) > 0 || was != is {
			out = append(out, d)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(after.Outputs)) {
		a, b := before.Outputs[name], after.Outputs[name]
		if equal(a, b) {
			continue
		}
		d := difference{Address: "output." + name, Sign: "~", Tone: "attention", What: "changed"}
		d.Attributes, d.More = compare(side{a.Value, a.Sensitive, nil}, side{b.Value, b.Sensitive, nil}, secrets)
		for i := range d.Attributes {
			d.Attributes[i].Path = strings.TrimPrefix(cmp.Or(d.Attributes[i].Path, "value"), ".")
		}
		out = append(out, d)
	}
	return out
}
