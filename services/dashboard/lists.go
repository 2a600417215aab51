package dashboard

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// listed bounds each list that is not turned over: it is a way to a thing, not the place to search in.
const listed = 100

type runListView struct {
	frame
	Organization, Workspace string
	Runs                    []runRow
	Total                   string // how many there are, in words
	Here, Newer, Older      string // addresses of this page and of those beside it
}

type runRow struct {
	Run     run.Run
	Address string
	Heading string
	Status  badge
	Changes *counts
}

func newRunRow(ws postgres.Workspace, r run.Run) runRow {
	return runRow{r, runAddress(ws, r.ID), heading(r), statusBadge(r), countsOf(r)}
}

// counts says how many resources change.
type counts struct {
	run.Changes
	Words *countWords // what follows each number; nil where there is no room for it
}

type countWords struct{ Add, Change, Destroy, Import string }

// countsOf are those of the apply if it is over, or those of the plan. nil where nothing changes, or nobody knows yet.
func countsOf(r run.Run) *counts {
	for _, t := range []*run.Task{r.Apply, r.Plan} {
		if t != nil && t.Changes != nil && *t.Changes != (run.Changes{}) {
			return &counts{Changes: *t.Changes}
		}
	}
	return nil
}

// inAll says how many there are. Beyond a thousand ahead of the page nobody counts.
func inAll(total int) string {
	if total > 1000 {
		return "more than 1,000 in all"
	}
	return fmt.Sprintf("%d in all", total)
}

// runList lists the runs of a workspace, newest first.
func (s *Server) runList(w http.ResponseWriter, r *http.Request, session postgres.Session) error {
	ws, _, err := s.workspaceOf(r, session)
	if err != nil {
		return err
	}
	number, _ := strconv.Atoi(r.URL.Query().Get("page"))
	number = max(number, 1)
	runs, total, err := s.cfg.DB.Runs(r.Context(), postgres.RunFilter{WorkspaceID: ws.ID, Page: postgres.Page{Number: number, Size: pageSize}})
	if err != nil {
		return err
	}
	v := runListView{
		frame:        s.ofWorkspace(&session, ws, "Runs · "+ws.OrganizationName+"/"+ws.Name, "runs"),
		Organization: ws.OrganizationName, Workspace: ws.Name, Total: inAll(total),
	}
	v.Live = pathLive
	at := func(page int) string { return fmt.Sprintf("%s?page=%d", runsAddress(ws), page) }
	v.Here = at(number)
	if number > 1 {
		v.Newer = at(number - 1)
	}
	if number*pageSize < total {
		v.Older = at(number + 1)
	}
	for _, one := range runs {
		v.Runs = append(v.Runs, newRunRow(ws, one))
	}
	return s.pages.write(w, http.StatusOK, "runs.html", v)
}

// workspaceOf finds the workspace of the path. In an organization that the holder of the session is no member of there is none.
func (s *Server) workspaceOf(r *http.Request, session postgres.Session) (postgres.Workspace, viewer, error) {
	organization := r.PathValue("organization")
	who := viewer{Actor: session.Holder.Actor(), CSRF: session.CSRF}
	ws, err := s.cfg.DB.WorkspaceByName(r.Context(), organization, r.PathValue("workspace"))
	if err == nil || notFound(err) {
		var failed error
		who.Role, failed = s.roleAt(r, session, "named", organization+"/"+r.PathValue("workspace"))
		switch {
		case failed != nil:
			return postgres.Workspace{}, who, failed
		case who.Role == postgres.RoleNone:
			ws, err = postgres.Workspace{}, &postgres.Error{Code: messages.CodeNotFound, Message: fmt.Sprintf("organization %q does not exist", organization)}
		}
	}
	if notFound(err) {
		return ws, who, missing("%s Check the spelling; the workspaces there are, are at "+pathWorkspaces+".", sentence(err.Error()))
	}
	return ws, who, err
}

// roleAt is the role of the session's holder where a thing is, as package postgres names it: none where it does not exist.
func (s *Server) roleAt(r *http.Request, session postgres.Session, what, id string) (postgres.Role, error) {
	at, err := s.cfg.DB.Locate(r.Context(), what, id)
	if notFound(err) {
		return postgres.RoleNone, nil
	}
	if err != nil {
		return postgres.RoleNone, err
	}
	return s.cfg.DB.RoleAt(r.Context(), session.Holder, at)
}

// runOf finds the run of the path. A run of another workspace is as good as none: the address would say something untrue.
func (s *Server) runOf(r *http.Request, session postgres.Session) (run.Run, postgres.Workspace, viewer, error) {
	ws, who, err := s.workspaceOf(r, session)
	if err != nil {
		return run.Run{}, ws, who, err
	}
	id := r.PathValue("run")
	of, err := s.cfg.DB.Run(r.Context(), id)
	if notFound(err) || err == nil && of.WorkspaceID != ws.ID {
		return of, ws, who, &problem{
			status: http.StatusNotFound, title: "Not found", back: &link{"The runs of this workspace", runsAddress(ws)},
			text: fmt.Sprintf("Workspace %s/%s has no run %q. It may be a run of another workspace.", ws.OrganizationName, ws.Name, id),
		}
	}
	return of, ws, who, err
}

func runsAddress(ws postgres.Workspace) string {
	return workspaceAddress(ws) + "/runs"
}

func runAddress(ws postgres.Workspace, runID string) string {
	return runsAddress(ws) + "/" + url.PathEscape(runID)
}

// trail leads from the home page to the workspace.
func trail(ws postgres.Workspace) []link {
	return []link{{ws.OrganizationName, pathWorkspaces + "?organization=" + url.QueryEscape(ws.OrganizationName)}, {ws.Name, workspaceAddress(ws)}}
}

// escaped is one element of a path, whatever a form says.
func escaped(s string) string { return url.PathEscape(s) }
