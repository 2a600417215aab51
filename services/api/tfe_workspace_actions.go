package api

import (
	"net/http"
)

// tfeWorkspaceActions are TFE's calls that lock and delete a workspace. Terraform's CLI tells refusals apart by words of
// their details; see package postgres, where they are written.
func (s *Server) tfeWorkspaceActions() []route {
	const byID, byName = "/api/v2/workspaces/{workspace}", "/api/v2/organizations/{organization}/workspaces/{name}"
	return []route{
		{method: "POST", pattern: byID + "/actions/lock", access: person, summary: "Lock a workspace by hand: no further run starts. One that holds it goes on",
			in: lockInput{}, out: tfeWorkspace{}, handle: s.lockWorkspace},
		{method: "POST", pattern: byID + "/actions/unlock", access: person, summary: "Take one's own lock off a workspace, and start its next run",
			out: tfeWorkspace{}, handle: s.unlockWorkspace(false)},
		{method: "POST", pattern: byID + "/actions/force-unlock", access: person, summary: "Take anybody's lock off a workspace, and start its next run",
			out: tfeWorkspace{}, handle: s.unlockWorkspace(true)},
		{method: "DELETE", pattern: byID, access: person, summary: "Delete a workspace with its runs and states", handle: s.deleteWorkspace(false)},
		{method: "DELETE", pattern: byName, access: person, summary: "Delete a workspace by name", handle: s.deleteWorkspace(false)},
		{method: "POST", pattern: byID + "/actions/safe-delete", access: person, summary: "Delete a workspace unless it is locked or its state has resources",
			status: http.StatusNoContent, handle: s.deleteWorkspace(true)},
		{method: "POST", pattern: byName + "/actions/safe-delete", access: person, summary: "Delete a workspace by name unless it is locked or its state has resources",
			status: http.StatusNoContent, handle: s.deleteWorkspace(true)},
	}
}

// lockInput is the reason of a lock: plainly, or as the JSON:API document that Terraform's CLI sends, whose type is empty.
type lockInput struct {
	Reason string `json:"reason,omitempty"`
	Data   struct {
		Attributes struct {
			Reason string `json:"reason,omitempty"`
		} `json:"attributes,omitzero"`
	} `json:"data,omitzero"`
}

func (s *Server) lockWorkspace(r *request) (reply, error) {
	var in lockInput
	if len(r.body) > 0 {
		if err := r.decode(&in); err != nil {
			return reply{}, err
		}
	}
	reason := in.Reason
	if reason == "" {
		reason = in.Data.Attributes.Reason
	}
	w, err := s.db.LockWorkspace(r.Context(), r.PathValue("workspace"), r.token.Actor(), reason)
	if err != nil {
		return reply{}, err
	}
	return s.answerWorkspace(r, w)
}

func (s *Server) unlockWorkspace(force bool) handler {
	return func(r *request) (reply, error) {
		w, err := s.db.UnlockWorkspace(r.Context(), r.PathValue("workspace"), r.token.Actor(), force)
		if err != nil {
			return reply{}, err
		}
		return s.answerWorkspace(r, w)
	}
}

func (s *Server) deleteWorkspace(safely bool) handler {
	return func(r *request) (reply, error) {
		w, err := s.workspace(r)
		if err != nil {
			return reply{}, err
		}
		return reply{}, s.db.DeleteWorkspace(r.Context(), w.ID, r.token.Actor(), safely)
	}
}
