package dashboard

import (
	"maps"
	"net/http"
	"net/url"
	"slices"

	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// pageSize is how many rows a long list shows at once.
const pageSize = 50

type workspacesView struct {
	frame
	Organizations []string
	Query         workspaceQuery
	Groups        []statusGroup
	Workspaces    []workspaceRow
	Next          string // address of the next page
}

// workspaceQuery is the filter as it is in the address.
type workspaceQuery struct {
	Organization, Name, Label, Status string
	Locked                            bool
}

// empty reports whether nothing is filtered.
func (q workspaceQuery) Empty() bool { return q == workspaceQuery{} }

type workspaceRow struct {
	postgres.ListedWorkspace
	Address string
	Run     *runRow // the newest
	Tags    []string
	Mode    string
	Lock    string // who or what locks it, "" if nothing does
}

// statusGroup is what people look for, and the statuses of the newest run that it stands for.
type statusGroup struct {
	Name, Text string
	statuses   []run.Status
}

func statusGroups() []statusGroup {
	return []statusGroup{
		{"waiting", "Waiting", []run.Status{run.Pending, run.PlanQueued, run.ApplyQueued, run.Confirmed}},
		{"running", "Running", []run.Status{run.Planning, run.Applying}},
		{"approval", "Needs approval", []run.Status{run.Planned, run.PlannedAndSaved}},
		{"failed", "Failed", []run.Status{run.Errored}},
		{"done", "Done", []run.Status{run.Applied, run.PlannedAndFinished}},
		{"stopped", "Discarded or canceled", []run.Status{run.Discarded, run.Canceled, run.ForceCanceled}},
		{"none", "Never ran", []run.Status{postgres.StatusNone}},
	}
}

// workspaces lists the workspaces of all organizations that the viewer is in, filtered.
func (s *Server) workspaces(w http.ResponseWriter, r *http.Request, session postgres.Session) error {
	in := r.URL.Query()
	v := workspacesView{
		frame: s.frame(&session, "Workspaces").at(pathWorkspaces), Groups: statusGroups(),
		Query: workspaceQuery{in.Get("organization"), in.Get("name"), in.Get("label"), in.Get("status"), in.Get("locked") != ""},
	}
	find := postgres.WorkspaceQuery{
		Organization: v.Query.Organization, Name: v.Query.Name, Label: v.Query.Label, Locked: v.Query.Locked, After: in.Get("after"), Limit: pageSize,
	}
	for _, g := range v.Groups {
		if g.Name == v.Query.Status {
			find.Statuses = g.statuses
		}
	}
	organizations, _, err := s.cfg.DB.Organizations(r.Context(), session.Holder, postgres.Page{Size: listed})
	if err != nil {
		return err
	}
	for _, o := range organizations {
		v.Organizations = append(v.Organizations, o.Name)
	}
	found, more, err := s.cfg.DB.ListWorkspaces(r.Context(), session.Holder, find)
	if err != nil {
		return err
	}
	for _, ws := range found {
		row, err := rowOf(ws)
		if err != nil {
			return err
		}
		v.Workspaces = append(v.Workspaces, row)
	}
	if more {
		next := maps.Clone(in)
		next["after"] = []string{found[len(found)-1].Place()}
		v.Next = pathWorkspaces + "?" + next.Encode()
	}
	return s.pages.write(w, http.StatusOK, "workspaces.html", v)
}

func rowOf(ws postgres.ListedWorkspace) (workspaceRow, error) {
	row := workspaceRow{ListedWorkspace: ws, Address: workspaceAddress(ws.Workspace), Lock: lockText(ws.Workspace)}
	tags, err := ws.Tags()
	if err != nil {
		return row, err
	}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		tag := key
		if tags[key] != "" {
			tag += "=" + tags[key]
		}
		row.Tags = append(row.Tags, tag)
	}
	target, err := ws.Target()
	if err != nil {
		return row, err
	}
	row.Mode = string(target.Mode)
	if ws.Newest != nil {
		newest := newRunRow(ws.Workspace, *ws.Newest)
		row.Run = &newest
	}
	return row, nil
}

// lockText says what keeps runs of the workspace from beginning, beside another run that goes on.
func lockText(ws postgres.Workspace) string {
	switch {
	case ws.Locked && ws.LockReason != "":
		return "Locked by " + ws.LockedBy + ": " + ws.LockReason
	case ws.Locked:
		return "Locked by " + ws.LockedBy
	case ws.OutcomeUnknown:
		return "Locked by a run whose outcome is unknown"
	default:
		return ""
	}
}

func workspaceAddress(ws postgres.Workspace) string {
	return pathHome + url.PathEscape(ws.OrganizationName) + "/" + url.PathEscape(ws.Name)
}
