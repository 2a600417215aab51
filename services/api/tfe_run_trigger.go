package api

import (
	"net/http"
	"time"

	"gantry.example/services/postgres"
)

// tfeRunTrigger says that applied runs of a workspace begin runs in another one.
type tfeRunTrigger struct {
	ID         string        `jsonapi:"primary,run-triggers"`
	CreatedAt  time.Time     `jsonapi:"attr,created-at,iso8601"`
	Workspace  *workspaceRef `jsonapi:"relation,workspace"`
	Sourceable *workspaceRef `jsonapi:"relation,sourceable"`

	WorkspaceName  string `jsonapi:"attr,workspace-name"`
	SourceableName string `jsonapi:"attr,sourceable-name"`
}

type tfeRunTriggerInput struct {
	ID         string        `jsonapi:"primary,run-triggers"`
	Sourceable *workspaceRef `jsonapi:"relation,sourceable"`
}

const filterTriggerType = "filter[run-trigger][type]"

// tfeRunTriggerRoutes are TFE's calls about run triggers.
func (s *Server) tfeRunTriggerRoutes() []route {
	const of, one = "/api/v2/workspaces/{workspace}/run-triggers", "/api/v2/run-triggers/{trigger}"
	return []route{
		{method: "GET", pattern: of, access: person, summary: "List the triggers that begin a workspace's runs (inbound), or that its runs set off (outbound)",
			out: []tfeRunTrigger{}, query: paging(filterTriggerType, "include"), handle: s.listRunTriggers},
		{method: "POST", pattern: of, access: person, summary: "Begin a run in the workspace after each applied run of the source", in: tfeRunTriggerInput{}, out: tfeRunTrigger{},
			status: http.StatusCreated, create: true, handle: s.createRunTrigger},
		{method: "GET", pattern: one, access: person, summary: "Show a run trigger", out: tfeRunTrigger{}, query: []string{"include"}, handle: s.showRunTrigger},
		{method: "DELETE", pattern: one, access: person, summary: "Delete a run trigger", handle: s.deleteRunTrigger},
	}
}

func runTriggerDocument(t postgres.RunTrigger) *tfeRunTrigger {
	return &tfeRunTrigger{ID: t.ID, CreatedAt: t.CreatedAt, WorkspaceName: t.WorkspaceName, SourceableName: t.SourceName,
		Workspace: &workspaceRef{t.WorkspaceID}, Sourceable: &workspaceRef{t.SourceID}}
}

// sideTrigger loads the workspaces of a trigger that are asked for.
func (s *Server) sideTrigger(r *request, side *sideLoad, t postgres.RunTrigger) error {
	for relation, id := range map[string]string{"workspace": t.WorkspaceID, "sourceable": t.SourceID} {
		err := side.add(relation, id, func() (any, error) {
			w, err := s.db.Workspace(r.Context(), id)
			if err != nil {
				return nil, err
			}
			return workspaceDocument(w, r.role)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) listRunTriggers(r *request) (reply, error) {
	p, err := r.page()
	if err != nil {
		return reply{}, err
	}
	w, err := s.workspace(r)
	if err != nil {
		return reply{}, err
	}
	kind := r.URL.Query().Get(filterTriggerType)
	if kind != "inbound" && kind != "outbound" {
		return reply{}, invalid("query parameter %s: %q is not one of inbound, outbound", filterTriggerType, kind)
	}
	all, total, err := s.db.RunTriggers(r.Context(), w.ID, kind == "outbound", p)
	if err != nil {
		return reply{}, err
	}
	out, side := make([]*tfeRunTrigger, len(all)), r.include()
	for i, t := range all {
		out[i] = runTriggerDocument(t)
		if err := s.sideTrigger(r, side, t); err != nil {
			return reply{}, err
		}
	}
	return list(out, p, total, side.docs...)
}

func (s *Server) createRunTrigger(r *request) (reply, error) {
	var in tfeRunTriggerInput
	if err := r.decodeObject(&in); err != nil {
		return reply{}, err
	}
	if in.Sourceable == nil {
		return reply{}, invalid("relationship sourceable: missing: name the workspace whose applied runs begin runs here")
	}
	t, err := s.db.CreateRunTrigger(r.Context(), r.PathValue("workspace"), in.Sourceable.ID)
	if err != nil {
		return reply{}, err
	}
	return object(runTriggerDocument(t))
}

func (s *Server) showRunTrigger(r *request) (reply, error) {
	t, err := s.db.RunTrigger(r.Context(), r.PathValue("trigger"))
	if err != nil {
		return reply{}, err
	}
	side := r.include()
	if err := s.sideTrigger(r, side, t); err != nil {
		return reply{}, err
	}
	return object(runTriggerDocument(t), side.docs...)
}

func (s *Server) deleteRunTrigger(r *request) (reply, error) {
	return reply{}, s.db.DeleteRunTrigger(r.Context(), r.PathValue("trigger"))
}
