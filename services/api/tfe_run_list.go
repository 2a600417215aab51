package api

import (
	"slices"
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
	return s.listRuns(r, postgres.RunFilter{WorkspaceID: w.ID, Statuses: wantedStatuses(r), Narrow: wantedRuns(r)})
}

func (s *Server) listOrganizationRuns(r *request) (reply, error) {
	o, err := s.db.Organization(r.Context(), r.PathValue("organization"))
	if err != nil {
		return reply{}, err
	}
	return s.listRuns(r, postgres.RunFilter{OrganizationID: o.ID, Statuses: wantedStatuses(r), Narrow: wantedRuns(r)})
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

// runFilters are the parameters by which runs are selected.
func runFilters() []string {
	return []string{"filter[status]", "filter[status_group]", "filter[source]", "filter[operation]", "filter[workspace_names]", "filter[agent_pool_names]",
		"search[user]", "search[commit]", "search[basic]"}
}

// noCommit is a source that no run has: none is of a commit.
const noCommit = "a commit"

// wantedStatuses reads filter[status], a list with commas, and TFE's names for groups of them.
func wantedStatuses(r *request) []run.Status {
	var out []run.Status
	q := r.URL.Query()
	for _, word := range words(q.Get("filter[status]")) {
		out = append(out, run.Status(word))
	}
	for _, s := range run.Statuses() {
		switch q.Get("filter[status_group]") {
		case "final":
			if s.Final() {
				out = append(out, s)
			}
		case "non_final":
			if !s.Final() {
				out = append(out, s)
			}
		case "discardable":
			if s == run.Pending || s == run.Planned || s == run.PlannedAndSaved {
				out = append(out, s)
			}
		}
	}
	return out
}

// wantedRuns reads the other filters. As in TFE, search[user] and search[commit] leave search[basic] no say.
func wantedRuns(r *request) postgres.RunNarrowing {
	q := r.URL.Query()
	n := postgres.RunNarrowing{
		Sources: words(q.Get("filter[source]")), Operations: words(q.Get("filter[operation]")),
		Workspaces: words(q.Get("filter[workspace_names]")), Pools: words(q.Get("filter[agent_pool_names]")), CreatedBy: q.Get("search[user]"),
	}
	switch {
	case q.Get("search[commit]") != "":
		n.Sources = []string{noCommit}
	case n.CreatedBy == "":
		n.Text = q.Get("search[basic]")
	}
	return n
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
