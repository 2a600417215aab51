package api

import (
	"encoding/json"
	"fmt"

	"gantry.example/messages"
	"gantry.example/services/postgres"
)

// executionAnswer is a workspace's own document and what follows from it and its organization's.
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
	if w.Execution, err = json.Marshal(doc); err != nil {
		return reply{}, err
	}
	effective, err := w.Target()
	if err != nil {
		return reply{}, err
	}
	if effective.Mode != messages.ModeLocal {
		return reply{}, &postgres.Error{Code: messages.CodeExecutionUnsupported, Message: fmt.Sprintf(
			"execution document: field execution_mode: %q is not available on this server yet; use %q", effective.Mode, messages.ModeLocal)}
	}
	if err := effective.Validate(); err != nil {
		return reply{}, err
	}
	if w, err = s.db.UpdateWorkspace(r.Context(), w.ID, postgres.WorkspaceChange{Execution: &doc}); err != nil {
		return reply{}, err
	}
	return executionReply(w)
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
