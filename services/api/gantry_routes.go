package api

import (
	"net/http"

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
		{method: "GET", pattern: base + "/organizations/{organization}/execution", access: person, handle: s.organizationExecution,
			summary: "Read the default execution document of an organization (id or name)", out: executionAnswer{}},
		{method: "PUT", pattern: base + "/organizations/{organization}/execution", access: person, handle: s.putOrganizationExecution,
			summary: "Replace the default execution document of an organization (id or name): what its workspaces do not say themselves; runs that exist keep theirs",
			in:      messages.Execution{}, out: executionAnswer{}},
		{method: "POST", pattern: base + "/runs", access: person, handle: s.createOwnRun, status: http.StatusCreated, create: true, point: "api.run_created",
			summary: "Create a run, with an execution document of its own over its workspace's", in: messages.RunRequest{}, out: run.Run{}},
		{method: "GET", pattern: base + "/runs/{run}", access: person, handle: s.run,
			summary: "Read a run with its tasks and attempts", out: shownRun{}},
		{method: "GET", pattern: base + "/runs/{run}/waiting", access: person, handle: s.runWaiting,
			summary: "Tell why a run does not go on; empty for one that does or is over", out: run.Waiting{}},
		{method: "GET", pattern: base + "/runs/{run}/events", access: person, handle: s.runEvents,
			summary: "Follow a run: a snapshot, then every change, until the run is final. Resumes after header Last-Event-ID",
			out:     runChange{}, media: kindEvents, query: []string{"after"}},
		{method: "GET", pattern: base + "/organizations/{organization}/events", access: person, handle: s.organizationEvents,
			summary: "Follow the runs of an organization (id or name): a snapshot of the newest, then every change. Resumes after header Last-Event-ID",
			out:     runChange{}, media: kindEvents, query: []string{"after"}},
		{method: "GET", pattern: pathStatusEvents, access: person, handle: s.statusEvents,
			summary: "Follow the statuses of an organization (id or name), of one workspace or pool if named: a snapshot of the newest runs in brief, then every change. Resumes after header Last-Event-ID",
			out:     statusChange{}, media: kindEvents, query: []string{"organization", "workspace", "pool", "after"}},

		{method: "GET", pattern: base + "/backup", access: person, handle: s.backup, media: kindBytes,
			summary: "Back up everything the server keeps, sealed with its encryption key"},

		{method: "GET", pattern: base + "/tokens", access: person, handle: s.listTokens,
			summary: "List the tokens one looks after, never the secrets", out: []shownToken{}},
		{method: "POST", pattern: base + "/tokens", access: person, handle: s.createToken, status: http.StatusCreated,
			summary: "Create a token of the caller or of an organization; its secret is in this answer and nowhere else", in: tokenInput{}, out: newToken{}},
		{method: "DELETE", pattern: base + "/tokens/{token}", access: person, handle: s.revokeToken,
			summary: "Revoke a token one looks after, and end the sessions begun with it", out: revokedToken{}},
	}
}

func (s *Server) runWaiting(r *request) (reply, error) {
	found, err := s.db.Run(r.Context(), r.PathValue("run"))
	if err != nil {
		return reply{}, err
	}
	why, err := s.db.Waiting(r.Context(), found)
	if err != nil {
		return reply{}, err
	}
	return plain(why)
}
