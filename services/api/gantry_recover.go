package api

import (
	"net/http"

	"gantry.example/internal/telemetry"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// recoverRoutes are the calls by which people settle what a lost runner left.
func (s *Server) recoverRoutes() []route {
	const base = "/api/gantry/v1"
	return []route{
		{method: "POST", pattern: base + "/runs/{run}/recover", access: person, handle: s.recoverRun, status: http.StatusCreated, create: true,
			summary: "Start a recovery of a run whose outcome is unknown: a refresh-only run whose approval unlocks the workspace. While one is under way it is the answer",
			in:      recoverInput{}, out: run.Run{}},
		{method: "POST", pattern: base + "/state-versions/{state}/promote", access: person, handle: s.promoteState, create: true,
			summary: "Make a state that was kept aside the workspace's current one", in: promoteInput{}, out: promoted{}},
	}
}

// recoverInput is the optional body of a recovery.
type recoverInput struct {
	// Force gives up a runner that contact was lost to a short while ago.
	Force   bool   `json:"force,omitempty"`
	Comment string `json:"comment,omitempty"`
}

func (s *Server) recoverRun(r *request) (reply, error) {
	var in recoverInput
	if len(r.body) > 0 {
		if err := r.decode(&in); err != nil {
			return reply{}, err
		}
	}
	ask := postgres.Recovery{
		RunID: r.PathValue("run"), By: r.token.Actor(), Comment: in.Comment, Source: r.source(sourceGantry), Force: in.Force,
	}
	ask.Traceparent, ask.TraceParentSpan = telemetry.NewRun(r.Header.Get(telemetry.Header), s.traces)
	created, err := s.db.RecoverRun(r.Context(), ask)
	if err != nil {
		return reply{}, err
	}
	return plain(created.Public())
}

// promoteInput is the optional body of a promotion.
type promoteInput struct {
	// Force promotes although the state does not know what made the current one.
	Force bool `json:"force,omitempty"`
}

// promoted is the version that a promotion made.
type promoted struct {
	ID          string `json:"id"`
	WorkspaceID string `json:"workspace_id"`
	Serial      int64  `json:"serial"`
	Lineage     string `json:"lineage"`
}

func (s *Server) promoteState(r *request) (reply, error) {
	var in promoteInput
	if len(r.body) > 0 {
		if err := r.decode(&in); err != nil {
			return reply{}, err
		}
	}
	sv, err := s.db.PromoteState(r.Context(), r.PathValue("state"), r.token.Actor(), in.Force)
	if err != nil {
		return reply{}, err
	}
	return plain(promoted{sv.ID, sv.WorkspaceID, sv.Serial, sv.Lineage})
}

// shownRun is a run as one looks at it by itself.
type shownRun struct {
	run.Run
	// Condition is there when the runner of the run's apply is lost: what is known of it, and what to do next.
	Condition *run.Condition `json:"condition,omitempty"`
	// Logs say whether the stored logs are what the runners printed.
	Logs []postgres.LogCheck `json:"logs"`
}

func (s *Server) run(r *request) (reply, error) {
	found, err := s.db.Run(r.Context(), r.PathValue("run"))
	if err != nil {
		return reply{}, err
	}
	condition, err := s.db.Condition(r.Context(), found)
	if err != nil {
		return reply{}, err
	}
	checks, err := s.db.LogChecks(r.Context(), found.ID)
	if err != nil {
		return reply{}, err
	}
	return plain(shownRun{found.Public(), condition, checks})
}
