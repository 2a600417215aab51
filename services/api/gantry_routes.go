package api

import (
	"gantry.example/messages"
	"gantry.example/services/run"
)

// gantryRoutes are Gantry's own calls for people and their tools.
func (s *Server) gantryRoutes() []route {
	const base = "/api/gantry/v1"
	return []route{
		{method: "GET", pattern: base + "/workspaces/{workspace}/execution", access: person, handle: s.execution,
			summary: "Read the execution document of a workspace", out: executionAnswer{}},
		{method: "PUT", pattern: base + "/workspaces/{workspace}/execution", access: person, handle: s.putExecution,
			summary: "Replace the execution document of a workspace; runs that exist keep theirs",
			in:      messages.Execution{}, out: executionAnswer{}},
		{method: "GET", pattern: base + "/runs/{run}", access: person, handle: s.run,
			summary: "Read a run with its tasks and attempts", out: run.Run{}},
		{method: "GET", pattern: base + "/runs/{run}/events", access: person, handle: s.runEvents,
			summary: "Follow a run: a snapshot, then every change, until the run is final. Resumes after header Last-Event-ID",
			out:     runChange{}, media: kindEvents, query: []string{"after"}},
		{method: "GET", pattern: base + "/organizations/{organization}/events", access: person, handle: s.organizationEvents,
			summary: "Follow the runs of an organization (id or name): a snapshot of the newest, then every change. Resumes after header Last-Event-ID",
			out:     runChange{}, media: kindEvents, query: []string{"after"}},
	}
}

func (s *Server) run(r *request) (reply, error) {
	found, err := s.db.Run(r.Context(), r.PathValue("run"))
	if err != nil {
		return reply{}, err
	}
	return plain(found)
}
