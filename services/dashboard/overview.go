package dashboard

import (
	"net/http"
	"net/url"
	"slices"
	"time"

	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// shownRuns bounds each list of the overview. A list says how many there are beside it.
const shownRuns = 12

type overviewView struct {
	frame
	Executing, Waiting, Asking int
	Active, Approval, Queued   []overviewRow
	Failed, Lost               []overviewRow
	Pools                      []poolRow
	Fresh                      bool // there is nothing at all yet
}

// overviewRow is a run with what there is to say of it in one line.
type overviewRow struct {
	Run              run.Run
	Heading, Address string
	Where, WhereAt   string
	Status           badge
	Text             string     // what it does, or waits for
	Since            *time.Time // when that began
	Changes          *counts    // that it asks approval for
}

// overview is the first page: what runs, what waits and why, what failed.
func (s *Server) overview(w http.ResponseWriter, r *http.Request, session postgres.Session) error {
	all, err := s.cfg.DB.Overview(r.Context(), session.Holder, shownRuns)
	if err != nil {
		return err
	}
	v := overviewView{frame: s.frame(&session, "Overview").at(pathHome)}
	v.Live = pathLive
	for status, n := range all.Counts {
		switch status {
		case run.Planning, run.Applying:
			v.Executing += n
		case run.Planned, run.PlannedAndSaved:
			v.Asking += n
		default:
			v.Waiting += n
		}
	}
	for _, list := range []struct {
		from []postgres.PlacedRun
		into *[]overviewRow
	}{{all.Active, &v.Active}, {all.Asking, &v.Approval}, {all.Queued, &v.Queued}, {all.Failed, &v.Failed}, {all.Lost, &v.Lost}} {
		for _, one := range list.from {
			if list.into == &v.Failed && slices.ContainsFunc(all.Lost, func(lost postgres.PlacedRun) bool { return lost.ID == one.ID }) {
				continue // it is the first on the page already
			}
			row, err := s.overviewRow(r, one)
			if err != nil {
				return err
			}
			*list.into = append(*list.into, row)
		}
	}
	if v.Pools, err = s.poolRows(r, session); err != nil {
		return err
	}
	v.Fresh = len(all.Counts)+len(all.Failed) == 0
	return s.pages.write(w, http.StatusOK, "overview.html", v)
}

func (s *Server) overviewRow(r *http.Request, one postgres.PlacedRun) (overviewRow, error) {
	at := pathHome + url.PathEscape(one.Organization) + "/" + url.PathEscape(one.Workspace)
	row := overviewRow{
		Run: one.Run, Heading: heading(one.Run), Address: at + "/runs/" + url.PathEscape(one.ID), Where: one.Organization + "/" + one.Workspace, WhereAt: at,
		Status: statusBadge(one.Run),
	}
	switch {
	case one.Status == run.Errored:
		row.Text = sentence(one.Failure)
		at := ended(one.Run)
		row.Since = &at
	case one.AsksApproval():
		at := one.Timestamps[one.Status]
		row.Since, row.Changes = &at, countsOf(one.Run)
	case one.Status == run.Planning || one.Status == run.Applying:
		row.Text = running(one.Run)
		if task, _ := lastTask(one.Run); task != nil {
			row.Since = firstStart(task)
		}
	default:
		why, err := s.cfg.DB.Waiting(r.Context(), one.Run)
		if err != nil {
			return row, err
		}
		row.Text, row.Since = why.Text, why.Since
	}
	return row, nil
}
