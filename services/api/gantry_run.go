package api

import (
	"gantry.example/internal/telemetry"
	"gantry.example/services/postgres"
)

// sourceGantry is the source of runs made by Gantry's own call.
const sourceGantry = "gantry-api"

func (s *Server) createOwnRun(r *request) (reply, error) {
	create, err := postgres.ParseRequest(r.body)
	if err != nil {
		return reply{}, err
	}
	if err := s.admitWorkspace(r, create.WorkspaceID, create.Needs()); err != nil {
		return reply{}, err
	}
	create.Source, create.CreatedBy = r.source(sourceGantry), r.token.Actor()
	create.Traceparent, create.TraceParentSpan = telemetry.NewRun(r.Header.Get(telemetry.Header), s.traces)
	created, err := s.db.CreateRun(r.Context(), create)
	if err != nil {
		return reply{}, err
	}
	return plain(created.Public())
}
