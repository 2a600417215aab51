package api

import (
	"slices"
	"strings"
	"time"

	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// tfeCapacity counts what an organization waits for and executes.
type tfeCapacity struct {
	Organization string `jsonapi:"primary,organization-capacity"`
	Pending      int    `jsonapi:"attr,pending"`
	Running      int    `jsonapi:"attr,running"`
}

func (s *Server) listWorkspaceRuns(r *request) (reply, error) {
	w, err := s.workspace(r)
	if err != nil {
		return reply{}, err
	}
	return s.listRuns(r, postgres.RunFilter{WorkspaceID: w.ID, Statuses: wantedStatuses(r)})
}

func (s *Server) listOrganizationRuns(r *request) (reply, error) {
	o, err := s.db.Organization(r.Context(), r.PathValue("organization"))
	if err != nil {
		return reply{}, err
	}
	return s.listRuns(r, postgres.RunFilter{OrganizationID: o.ID, Statuses: wantedStatuses(r)})
}

// listQueue lists what is not over, as TFE does: runs that wait and runs that execute.
func (s *Server) listQueue(r *request) (reply, error) {
	o, err := s.db.Organization(r.Context(), r.PathValue("organization"))
	if err != nil {
		return reply{}, err
	}
	open := slices.DeleteFunc(run.Statuses(), run.Status.Final)
	return s.listRuns(r, postgres.RunFilter{OrganizationID: o.ID, Statuses: open})
}

// wantedStatuses reads filter[status], a list with commas.
func wantedStatuses(r *request) []run.Status {
	var out []run.Status
	for word := range strings.SplitSeq(r.URL.Query().Get("filter[status]"), ",") {
		if word != "" {
			out = append(out, run.Status(word))
		}
	}
	return out
}

func (s *Server) listRuns(r *request, f postgres.RunFilter) (reply, error) {
	var err error
	if f.Page, err = r.page(); err != nil {
		return reply{}, err
	}
	runs, total, err := s.db.Runs(r.Context(), f)
	if err != nil {
		return reply{}, err
	}
	out, now, side := make([]*tfeRun, len(runs)), time.Now(), r.include()
	for i, one := range runs {
		ahead, err := s.db.Ahead(r.Context(), one)
		if err != nil {
			return reply{}, err
		}
		out[i] = runDocument(r, one, ahead, now)
	}
	for _, one := range runs {
		if err := s.sideRun(r, side, one); err != nil {
			return reply{}, err
		}
	}
	return list(out, f.Page, total, side.docs...)
}

func (s *Server) showCapacity(r *request) (reply, error) {
	o, err := s.db.Organization(r.Context(), r.PathValue("organization"))
	if err != nil {
		return reply{}, err
	}
	count := func(statuses ...run.Status) int {
		var total int
		if err == nil {
			total, err = s.db.CountRuns(r.Context(), postgres.RunFilter{OrganizationID: o.ID, Statuses: statuses})
		}
		return total
	}
	doc := &tfeCapacity{
		Organization: o.Name,
		Pending:      count(run.Pending, run.Confirmed, run.PlanQueued, run.ApplyQueued),
		Running:      count(run.Planning, run.Applying),
	}
	if err != nil {
		return reply{}, err
	}
	return object(doc)
}
