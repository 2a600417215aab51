package dashboard

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"time"

	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

type auditView struct {
	frame
	Organizations []tab
	Organization  string // "" for the whole installation
	Rows          []auditRow
	Next          string
}

// auditRow is something that somebody did.
type auditRow struct {
	At      time.Time
	Actor   string
	Text    string
	Object  string
	Address string // of the object's page, if it has one
}

// audit lists who did what in an organization, newest first: to runs, which their events tell, and to everything else.
func (s *Server) audit(w http.ResponseWriter, r *http.Request, session postgres.Session) error {
	all, _, err := s.cfg.DB.Organizations(r.Context(), session.Holder, postgres.Page{Size: listed})
	if err != nil {
		return err
	}
	name := r.PathValue("organization")
	if name == "" && len(all) > 0 {
		name = all[0].Name
	}
	v := auditView{frame: s.frame(&session, "Audit").at(pathAudit), Organization: name}
	id := ""
	for _, o := range all {
		if o.Name == name {
			id = o.ID
		}
		v.Organizations = append(v.Organizations, tab{link{o.Name, pathAudit + "/" + url.PathEscape(o.Name)}, o.Name == name})
	}
	whole := name == wholeInstallation && session.Holder.Site()
	if session.Holder.Site() {
		v.Organizations = append(v.Organizations, tab{link{"the whole installation", pathAudit + "/" + wholeInstallation}, whole})
	}
	if id == "" && !whole {
		return missing("Organization %q does not exist.", name)
	}
	before := time.Now().Add(time.Minute)
	if text := r.URL.Query().Get("before"); text != "" {
		if before, err = time.Parse(time.RFC3339Nano, text); err != nil {
			return &problem{status: http.StatusBadRequest, title: "Not understood", text: "The address has no time that this page wrote. Begin at the newest again."}
		}
	}
	if v.Rows, err = s.auditRows(r, name, id, before); err != nil {
		return err
	}
	if len(v.Rows) > pageSize {
		v.Rows = v.Rows[:pageSize]
		v.Next = pathAudit + "/" + url.PathEscape(name) + "?before=" + url.QueryEscape(v.Rows[pageSize-1].At.Format(time.RFC3339Nano))
	}
	return s.pages.write(w, http.StatusOK, "audit.html", v)
}

// wholeInstallation stands for what is of no organization, whose name it cannot be.
const wholeInstallation = "~"

// auditRows are one more than a page, newest first.
func (s *Server) auditRows(r *http.Request, organization, id string, before time.Time) ([]auditRow, error) {
	acts, err := s.cfg.DB.Acts(r.Context(), id, before, pageSize+1)
	if err != nil {
		return nil, err
	}
	var out []auditRow
	for _, a := range acts {
		out = append(out, auditRow{At: a.At, Actor: a.Actor, Text: a.Summary, Object: a.Object})
	}
	if id != "" {
		events, err := s.cfg.DB.RunActs(r.Context(), id, before, pageSize+1)
		if err != nil {
			return nil, err
		}
		for _, e := range events {
			ws := postgres.Workspace{OrganizationName: organization, Name: e.Workspace}
			out = append(out, auditRow{At: e.At, Actor: e.Actor, Text: actText(e), Object: ws.Name + ", " + e.RunID, Address: runAddress(ws, e.RunID)})
		}
	}
	slices.SortStableFunc(out, func(a, b auditRow) int { return b.At.Compare(a.At) })
	return out, nil
}

// actText is what somebody did to a run.
func actText(e postgres.RunAct) string {
	if e.Type == run.EventCreated && e.Data.Spec != nil {
		return "Asked for a run: " + heading(run.Run{Spec: *e.Data.Spec})
	}
	text := eventText(e.Event)
	if e.Data.Phase != "" && e.Type != run.EventConfirmed {
		return text + " in the " + cmp.Or(string(e.Data.Phase), string(messages.PhasePlan))
	}
	return text
}
