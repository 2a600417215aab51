package api

import (
	"encoding/json"
	"fmt"

	"gantry.example/messages"
	"gantry.example/services/postgres"
)

// executionAnswer is the own document of a workspace or an organization, and what follows from it and what is beneath.
type executionAnswer struct {
	Own       messages.Execution `json:"own"`
	Effective messages.Execution `json:"effective"`
}

func (s *Server) execution(r *request) (reply, error) {
	w, err := s.db.Workspace(r.Context(), r.PathValue("workspace"))
	if err != nil {
		return reply{}, err
	}
	return executionReply(w)
}

// putExecution replaces the document: a field that is not sent is not set any more.
func (s *Server) putExecution(r *request) (reply, error) {
	w, err := s.db.Workspace(r.Context(), r.PathValue("workspace"))
	if err != nil {
		return reply{}, err
	}
	doc, err := messages.ParseExecution(r.body)
	if err != nil {
		return reply{}, err
	}
	if w, err = s.db.UpdateWorkspace(r.Context(), w.ID, postgres.WorkspaceChange{Execution: &doc}); err != nil {
		return reply{}, err
	}
	return executionReply(w)
}

func (s *Server) organizationExecution(r *request) (reply, error) {
	o, err := s.db.Organization(r.Context(), r.PathValue("organization"))
	if err != nil {
		return reply{}, err
	}
	return organizationExecutionReply(o)
}

func (s *Server) putOrganizationExecution(r *request) (reply, error) {
	doc, err := messages.ParseExecution(r.body)
	if err != nil {
		return reply{}, err
	}
	o, err := s.db.SetOrganizationExecution(r.Context(), r.PathValue("organization"), doc)
	if err != nil {
		return reply{}, err
	}
	return organizationExecutionReply(o)
}

func organizationExecutionReply(o postgres.Organization) (reply, error) {
	var out executionAnswer
	if err := json.Unmarshal(o.Execution, &out.Own); err != nil {
		return reply{}, fmt.Errorf("execution document of organization %s: %w", o.ID, err)
	}
	var err error
	if out.Effective, err = o.Effective(); err != nil {
		return reply{}, err
	}
	return plain(out)
}

func executionReply(w postgres.Workspace) (reply, error) {
	var out executionAnswer
	if err := json.Unmarshal(w.Execution, &out.Own); err != nil {
		return reply{}, fmt.Errorf("execution document of workspace %s: %w", w.ID, err)
	}
	var err error
	if out.Effective, err = w.Target(); err != nil {
		return reply{}, err
	}
	return plain(out)
}
