package dashboard

import (
	"net/http"

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
	Engine    string
	Tags      []string
	Runs      []runRow
	Gate      *runRow // the run that has the workspace, if one does
	GateKnown bool    // its outcome will be known
	State     *postgres.StateVersion
	Mine      bool // the viewer locked it
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
	runs, _, err := s.cfg.DB.Runs(r.Context(), postgres.RunFilter{WorkspaceID: ws.ID, Page: postgres.Page{Size: 15}})
	if err != nil {
		return err
	}
	row, err := rowOf(postgres.ListedWorkspace{Workspace: ws})
	if err != nil {
		return err
	}
	v.Tags = row.Tags
	for _, one := range runs {
		v.Runs = append(v.Runs, runRow{one, runAddress(ws, one.ID), heading(one), statusBadge(one)})
	}
	if ws.GateRunID != nil {
		gate, err := s.cfg.DB.Run(r.Context(), *ws.GateRunID)
		if err != nil && !notFound(err) {
			return err
		}
		v.Gate, v.GateKnown = &runRow{gate, runAddress(ws, gate.ID), heading(gate), statusBadge(gate)}, !gate.OutcomeUnknown
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
