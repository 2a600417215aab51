package api

import (
	"net/http"
	"time"

	"gantry.example/services/postgres"
)

// tfeAgentPool is a pool of agents. Number and LeaseTTLSeconds (0: the server's) are Gantry's own.
type tfeAgentPool struct {
	ID                 string           `jsonapi:"primary,agent-pools"`
	Name               string           `jsonapi:"attr,name"`
	Number             int64            `jsonapi:"attr,number"`
	AgentCount         int              `jsonapi:"attr,agent-count"`
	OrganizationScoped bool             `jsonapi:"attr,organization-scoped"`
	LeaseTTLSeconds    int              `jsonapi:"attr,lease-ttl-seconds"`
	CreatedAt          time.Time        `jsonapi:"attr,created-at,iso8601"`
	Organization       *organizationRef `jsonapi:"relation,organization"`
	Workspaces         []*workspaceRef  `jsonapi:"relation,workspaces"`
	AllowedWorkspaces  []*workspaceRef  `jsonapi:"relation,allowed-workspaces"`
}

// tfeAgentPoolInput is what of a pool can be set. Nil means "not said".
type tfeAgentPoolInput struct {
	ID                 string          `jsonapi:"primary,agent-pools"`
	Name               *string         `jsonapi:"attr,name"`
	OrganizationScoped *bool           `jsonapi:"attr,organization-scoped"`
	LeaseTTLSeconds    *int            `jsonapi:"attr,lease-ttl-seconds"`
	AllowedWorkspaces  []*workspaceRef `jsonapi:"relation,allowed-workspaces"`
}

// tfeAgentPoolRoutes are TFE's calls about pools of agents and their tokens. A pool is named by its id or number.
func (s *Server) tfeAgentPoolRoutes() []route {
	const of, one = "/api/v2/organizations/{organization}/agent-pools", "/api/v2/agent-pools/{pool}"
	return []route{
		{method: "GET", pattern: of, access: person, summary: "List pools of agents; q is a part of the name", out: []tfeAgentPool{}, query: paging("q"), handle: s.listAgentPools},
		{method: "POST", pattern: of, access: person, summary: "Create a pool of agents", in: tfeAgentPoolInput{}, out: tfeAgentPool{},
			status: http.StatusCreated, create: true, handle: s.createAgentPool},
		{method: "GET", pattern: one, access: person, summary: "Show a pool of agents", out: tfeAgentPool{}, handle: s.showAgentPool},
		{method: "PATCH", pattern: one, access: person, summary: "Change a pool of agents; allowed-workspaces replace those before", in: tfeAgentPoolInput{}, out: tfeAgentPool{},
			handle: s.updateAgentPool},
		{method: "DELETE", pattern: one, access: person, summary: "Delete a pool of agents that nothing uses, with its tokens", handle: s.deleteAgentPool},
		{method: "GET", pattern: one + "/authentication-tokens", access: person, summary: "List the tokens of a pool of agents", out: []tfeToken{}, handle: s.listPoolTokens},
		{method: "POST", pattern: one + "/authentication-tokens", access: person, summary: "Create a token for any number of agents of a pool; its secret is in this answer and nowhere else",
			in: tfeTokenInput{}, out: tfeToken{}, status: http.StatusCreated, handle: s.createPoolToken},
	}
}

func agentPoolDocument(p postgres.Pool) *tfeAgentPool {
	return &tfeAgentPool{
		ID: p.ID, Name: p.Name, Number: p.Number, AgentCount: p.Agents, OrganizationScoped: p.OrganizationScoped, LeaseTTLSeconds: p.LeaseTTLSeconds, CreatedAt: p.CreatedAt,
		Organization: &organizationRef{p.Organization}, Workspaces: workspaceRefs(p.Workspaces), AllowedWorkspaces: workspaceRefs(p.Allowed),
	}
}

func workspaceRefs(ids []string) []*workspaceRef {
	out := make([]*workspaceRef, len(ids))
	for i, id := range ids {
		out[i] = &workspaceRef{id}
	}
	return out
}

func (in tfeAgentPoolInput) change(r *request) postgres.PoolChange {
	out := postgres.PoolChange{Name: in.Name, OrganizationScoped: in.OrganizationScoped, LeaseTTLSeconds: in.LeaseTTLSeconds}
	if r.relates("allowed-workspaces") { // an empty list takes them all away
		ids := make([]string, len(in.AllowedWorkspaces))
		for i, w := range in.AllowedWorkspaces {
			ids[i] = w.ID
		}
		out.Workspaces = &ids
	}
	return out
}

func (s *Server) listAgentPools(r *request) (reply, error) {
	p, err := r.page()
	if err != nil {
		return reply{}, err
	}
	all, total, err := s.db.Pools(r.Context(), r.PathValue("organization"), r.URL.Query().Get("q"), p)
	if err != nil {
		return reply{}, err
	}
	out := make([]*tfeAgentPool, len(all))
	for i, one := range all {
		out[i] = agentPoolDocument(one)
	}
	return list(out, p, total)
}

func (s *Server) createAgentPool(r *request) (reply, error) {
	var in tfeAgentPoolInput
	if err := r.decodeObject(&in); err != nil {
		return reply{}, err
	}
	p, err := s.db.CreatePool(r.Context(), r.PathValue("organization"), in.change(r))
	if err != nil {
		return reply{}, err
	}
	return object(agentPoolDocument(p))
}

func (s *Server) showAgentPool(r *request) (reply, error) {
	p, err := s.db.Pool(r.Context(), r.PathValue("pool"))
	if err != nil {
		return reply{}, err
	}
	return object(agentPoolDocument(p))
}

func (s *Server) updateAgentPool(r *request) (reply, error) {
	var in tfeAgentPoolInput
	if err := r.decodeObject(&in); err != nil {
		return reply{}, err
	}
	p, err := s.db.UpdatePool(r.Context(), r.PathValue("pool"), in.change(r))
	if err != nil {
		return reply{}, err
	}
	return object(agentPoolDocument(p))
}

func (s *Server) deleteAgentPool(r *request) (reply, error) {
	return reply{}, s.db.DeletePool(r.Context(), r.PathValue("pool"))
}

func (s *Server) listPoolTokens(r *request) (reply, error) {
	p, err := s.db.Pool(r.Context(), r.PathValue("pool"))
	if err != nil {
		return reply{}, err
	}
	all, err := s.db.PoolTokens(r.Context(), p.ID)
	if err != nil {
		return reply{}, err
	}
	out := make([]*tfeToken, len(all))
	for i, t := range all {
		out[i] = tfeTokenDocument(t, "")
	}
	return list(out, postgres.Page{Size: max(len(out), 1)}, len(out))
}

func (s *Server) createPoolToken(r *request) (reply, error) {
	p, err := s.db.Pool(r.Context(), r.PathValue("pool"))
	if err != nil {
		return reply{}, err
	}
	in, life, err := r.tokenInput()
	if err != nil {
		return reply{}, err
	}
	t, secret, err := s.db.CreateToken(r.Context(), postgres.NewToken{Description: in.Description, Life: life, PoolID: p.ID, CreatedBy: r.token.Actor(), CreatedByID: accountID(r.token)})
	if err != nil {
		return reply{}, err
	}
	return secretReply(object(tfeTokenDocument(t, secret)))
}
