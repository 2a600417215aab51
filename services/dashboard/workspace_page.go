package dashboard

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"

	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

type workspaceView struct {
	frame
	Viewer    viewer
	Workspace postgres.Workspace
	Address   string
	Target    messages.Execution
	Place     link // where its runs are carried out
	Engine    string
	Tags      []string
	Runs      []runRow
	Gate      *runRow // the run that has the workspace, if one does
	GateKnown bool    // its outcome will be known
	State     *postgres.StateVersion
	Mine      bool // the viewer locked it
	Told      []toldView
}

// toldView is a receiver of what the runs do.
type toldView struct {
	Name   string
	Status badge
	Why    string // of one that does not take what it is sent, for who may change that
}

// told are the workspace's receivers, the addresses of which are secrets.
func (s *Server) told(r *http.Request, ws postgres.Workspace, who viewer) ([]toldView, error) {
	all, _, err := s.cfg.DB.NotificationConfigurations(r.Context(), ws.ID, postgres.Page{Size: 100})
	var out []toldView
	for _, c := range all {
		v := toldView{Name: c.Name, Status: badge{"On", "good"}}
		switch {
		case !c.Enabled:
			v.Status = badge{"Off", "neutral"}
		case c.Failures > 0:
			v.Status = badge{"Fails", "bad"}
			if last := c.Responses[0]; who.May("write") {
				v.Why = strings.TrimSpace(fmt.Sprintf("%d in a row, last: %d %s", c.Failures, last.Code, last.Body))
			}
		}
		out = append(out, v)
	}
	return out, err
}

// workspace is the page of a workspace: how it is, and its newest runs.
func (s *Server) workspace(w http.ResponseWriter, r *http.Request, session postgres.Session) error {
	ws, who, err := s.workspaceOf(r, session)
	if err != nil {
		return err
	}
	v := workspaceView{
		frame: s.ofWorkspace(&session, ws, ws.OrganizationName+"/"+ws.Name, ""), Viewer: who, Workspace: ws, Address: workspaceAddress(ws),
		Mine: ws.LockedBy == who.Actor,
	}
	v.Live = pathLive
	if v.Target, err = ws.Target(); err != nil {
		return err
	}
	v.Engine = engine(v.Target)
	if v.Place, err = s.place(r.Context(), v.Target.Mode, string(cmp.Or(v.Target.AgentPool, v.Target.K8sConfig))); err != nil {
		return err
	}
	runs, _, err := s.cfg.DB.Runs(r.Context(), postgres.RunFilter{WorkspaceID: ws.ID, Page: postgres.Page{Size: 15}})
	if err != nil {
		return err
	}
	row, err := rowOf(postgres.ListedWorkspace{Workspace: ws})
	if err != nil {
		return err
	}
	v.Tags = row.Tags
	if v.Told, err = s.told(r, ws, who); err != nil {
		return err
	}
	for _, one := range runs {
		v.Runs = append(v.Runs, newRunRow(ws, one))
	}
	if ws.GateRunID != nil {
		gate, err := s.cfg.DB.Run(r.Context(), *ws.GateRunID)
		if err != nil && !notFound(err) {
			return err
		}
		row := newRunRow(ws, gate)
		v.Gate, v.GateKnown = &row, !gate.OutcomeUnknown
	}
	state, err := s.cfg.DB.CurrentStateVersion(r.Context(), ws.ID)
	if err == nil {
		v.State = &state
	} else if !notFound(err) {
		return err
	}
	return s.pages.write(w, http.StatusOK, "workspace.html", v)
}

// ofWorkspace is the frame of a page of the workspace. here is the last element of the address of its tab.
func (s *Server) ofWorkspace(session *postgres.Session, ws postgres.Workspace, title, here string) frame {
	f := s.frame(session, title, trail(ws)...).at(pathWorkspaces)
	at := workspaceAddress(ws)
	for _, t := range []struct{ text, name string }{
		{"Workspace", ""}, {"Runs", "runs"}, {"State", "states"}, {"Variables", "variables"}, {"Settings", "settings"},
	} {
		address := at
		if t.name != "" {
			address += "/" + t.name
		}
		f.Tabs = append(f.Tabs, tab{link{t.text, address}, t.name == here})
	}
	return f
}

// changeLock locks a workspace by hand, or takes a lock off.
func (s *Server) changeLock(w http.ResponseWriter, r *http.Request, session postgres.Session) error {
	ws, _, err := s.workspaceOf(r, session)
	if err != nil {
		return err
	}
	do := r.PostForm.Get("do")
	switch do {
	case "lock", "unlock", "force-unlock":
		err = s.call(r, session, "POST", "/api/v2/workspaces/"+ws.ID+"/actions/"+do, map[string]string{"reason": r.PostForm.Get("reason")}, nil)
	default:
		err = missing("A workspace has no action %q.", do)
	}
	if err != nil {
		return back(err, "Back to the workspace", workspaceAddress(ws))
	}
	http.Redirect(w, r, workspaceAddress(ws), http.StatusSeeOther)
	return nil
}

// startRun asks for a run of the newest configuration.
func (s *Server) startRun(w http.ResponseWriter, r *http.Request, session postgres.Session) error {
	ws, _, err := s.workspaceOf(r, session)
	if err != nil {
		return err
	}
	ask := messages.RunRequest{V: 1, WorkspaceID: ws.ID, Message: r.PostForm.Get("message")}
	switch kind := r.PostForm.Get("kind"); kind {
	case "apply", "":
	case "plan":
		ask.Options.PlanOnly = true
	case "refresh":
		ask.Options.RefreshOnly = true
	case "destroy":
		ask.Options.Destroy = true
	default:
		return missing("There is no kind of run named %q.", kind)
	}
	var made run.Run
	if err := s.call(r, session, "POST", "/api/gantry/v1/runs", ask, &made); err != nil {
		return back(err, "Back to the workspace", workspaceAddress(ws))
	}
	http.Redirect(w, r, runAddress(ws, made.ID), http.StatusSeeOther)
	return nil
}
