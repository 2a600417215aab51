package api

import (
	"crypto/md5" //nolint:gosec // TFE's API identifies states by MD5; nothing is secured by it
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"

	"gantry.example/services/postgres"
)

// tfeStateRoutes are TFE's calls about the versions of a state, and those that write one by hand.
func (s *Server) tfeStateRoutes() []route {
	const versions = "/api/v2/workspaces/{workspace}/state-versions"
	return []route{
		{method: "GET", pattern: "/api/v2/state-versions", access: person, summary: "List the state versions of the workspace that the filters name, newest first",
			out: []tfeState{}, query: paging(filterOrganization, filterWorkspace), handle: s.listStatesByName},
		{method: "GET", pattern: "/api/v2/workspaces/{workspace}/resources", access: person, summary: "List the resources of a workspace's current state", out: []tfeResource{},
			query: paging(), handle: s.listResources},
		{method: "GET", pattern: versions, access: person, summary: "List a workspace's state versions, newest first", out: []tfeState{}, query: paging(), handle: s.listStates},
		{method: "POST", pattern: versions, access: person, summary: "Push a state; refused while a run holds the workspace", in: tfeStateInput{}, out: tfeState{},
			status: http.StatusCreated, create: true, maxBody: maxState/3*4 + maxJSONBody, handle: s.pushState},
		{method: "PATCH", pattern: versions, access: person, summary: "Roll back: store an earlier state version anew, as the current one; refused while a run holds the workspace",
			in: tfeRollbackInput{}, out: tfeState{}, handle: s.rollbackState},
	}
}

const (
	filterOrganization = "filter[organization][name]"
	filterWorkspace    = "filter[workspace][name]"
)

// tfeStateInput is a state that is pushed. Nil means "not said". As in TFE serial and lineage count more than what the state
// itself says: it is stored with them.
type tfeStateInput struct {
	ID      string  `jsonapi:"primary,state-versions"`
	Serial  *int64  `jsonapi:"attr,serial"`
	Lineage *string `jsonapi:"attr,lineage"`
	MD5     string  `jsonapi:"attr,md5"`
	Force   bool    `jsonapi:"attr,force"`
	State   string  `jsonapi:"attr,state"` // base64
}

type tfeRollbackInput struct {
	ID string    `jsonapi:"primary,state-versions"`
	To *stateRef `jsonapi:"relation,rollback-state-version"`
}

func (s *Server) listStates(r *request) (reply, error) {
	w, err := s.workspace(r)
	if err != nil {
		return reply{}, err
	}
	return s.answerStates(r, w)
}

func (s *Server) listStatesByName(r *request) (reply, error) {
	query := r.URL.Query()
	for _, name := range []string{filterOrganization, filterWorkspace} {
		if query.Get(name) == "" {
			return reply{}, invalid("query parameter %s: missing: name the workspace by %s and %s", name, filterOrganization, filterWorkspace)
		}
	}
	w, err := s.db.WorkspaceByName(r.Context(), query.Get(filterOrganization), query.Get(filterWorkspace))
	if err != nil {
		return reply{}, err
	}
	return s.answerStates(r, w)
}

func (s *Server) answerStates(r *request, w postgres.Workspace) (reply, error) {
	p, err := r.page()
	if err != nil {
		return reply{}, err
	}
	all, total, err := s.db.StateVersions(r.Context(), w.ID, p)
	if err != nil {
		return reply{}, err
	}
	out := make([]*tfeState, len(all))
	for i, sv := range all {
		out[i] = s.stateDocument(sv)
	}
	return list(out, p, total)
}

func (s *Server) pushState(r *request) (reply, error) {
	var in tfeStateInput
	if err := r.decodeObject(&in); err != nil {
		return reply{}, err
	}
	w, err := s.workspace(r)
	if err != nil {
		return reply{}, err
	}
	body, err := in.body()
	if err != nil {
		return reply{}, err
	}
	sv, err := s.db.PushState(r.Context(), postgres.StatePush{WorkspaceID: w.ID, Body: body, Force: in.Force, By: r.token.Actor(),
		As: postgres.StateNumber{Serial: in.Serial, Lineage: deref(in.Lineage)}})
	if err != nil {
		return reply{}, err
	}
	return s.answerState(r, sv)
}

// body is the state, checked against what is said about it.
func (in tfeStateInput) body() ([]byte, error) {
	if in.State == "" {
		// These words make go-tfe, and so Terraform's CLI, send the state in the request instead of to an upload URL.
		return nil, invalid("field state: param is missing or the value is empty: state; send the state as base64")
	}
	body, err := base64.StdEncoding.DecodeString(in.State)
	if err != nil {
		return nil, invalid("field state: not base64: %v", err)
	}
	sum := md5.Sum(body) //nolint:gosec // see the import
	if in.MD5 != "" && !strings.EqualFold(in.MD5, hex.EncodeToString(sum[:])) {
		return nil, invalid("field md5: %q is not the MD5 of the state: send it again", in.MD5)
	}
	if !json.Valid(body) {
		return nil, invalid("field state: not a Terraform state: it is no JSON")
	}
	return body, nil
}

func (s *Server) rollbackState(r *request) (reply, error) {
	var in tfeRollbackInput
	if err := r.decodeObject(&in); err != nil {
		return reply{}, err
	}
	if in.To == nil {
		return reply{}, invalid("relationship rollback-state-version: missing: name the state version to roll back to")
	}
	w, err := s.workspace(r)
	if err != nil {
		return reply{}, err
	}
	sv, err := s.db.RollbackState(r.Context(), w.ID, in.To.ID, r.token.Actor())
	if err != nil {
		return reply{}, err
	}
	return s.answerState(r, sv)
}
