package api

import (
	"time"

	"gantry.example/services/postgres"
)

// tfeAgent is an agent. TFE knows name, status, address and last ping.
type tfeAgent struct {
	ID          string               `jsonapi:"primary,agents"`
	Name        string               `jsonapi:"attr,name"`
	Status      postgres.AgentStatus `jsonapi:"attr,status"`
	Address     string               `jsonapi:"attr,ip-address"`
	LastPingAt  time.Time            `jsonapi:"attr,last-ping-at,iso8601"`
	CreatedAt   time.Time            `jsonapi:"attr,created-at,iso8601"`
	Version     string               `jsonapi:"attr,version"`
	Labels      []string             `jsonapi:"attr,labels"`
	Concurrency int                  `jsonapi:"attr,concurrency"`
	Runs        []string             `jsonapi:"attr,runs"` // ids of those it carries out
	Refusing    string               `jsonapi:"attr,refusing"`
	Pool        *agentPoolRef        `jsonapi:"relation,agent-pool"`
}

type agentPoolRef struct {
	ID string `jsonapi:"primary,agent-pools"`
}

// agentRoutes are the calls about agents: TFE's, and Gantry's own to drain one.
func (s *Server) agentRoutes() []route {
	const one = "/api/v2/agents/{agent}"
	return []route{
		{method: "GET", pattern: "/api/v2/agent-pools/{pool}/agents", access: person, summary: "List the agents of a pool", out: []tfeAgent{}, query: paging(), handle: s.listAgents},
		{method: "GET", pattern: one, access: person, summary: "Show an agent", out: tfeAgent{}, handle: s.showAgent},
		{method: "DELETE", pattern: one, access: person, summary: "Forget an agent that is gone", handle: s.forgetAgent},
		{method: "POST", pattern: "/api/gantry/v1/agents/{agent}/drain", access: person, out: tfeAgent{}, media: kindJSONAPI, handle: s.drainAgent,
			summary: "Ask an agent to finish what runs, take nothing new, and end"},
	}
}

func agentDocument(a postgres.Agent) *tfeAgent {
	return &tfeAgent{
		ID: a.ID, Name: a.Name, Status: a.Status(time.Now()), Address: a.Address, LastPingAt: a.SeenAt, CreatedAt: a.FirstSeenAt, Version: a.Version,
		Labels: a.Labels, Concurrency: a.Slots, Runs: a.Runs, Refusing: a.Refusing, Pool: &agentPoolRef{a.PoolID},
	}
}

func (s *Server) listAgents(r *request) (reply, error) {
	page, err := r.page()
	if err != nil {
		return reply{}, err
	}
	p, err := s.db.Pool(r.Context(), r.PathValue("pool"))
	if err != nil {
		return reply{}, err
	}
	all, total, err := s.db.Agents(r.Context(), p.ID, page)
	if err != nil {
		return reply{}, err
	}
	out := make([]*tfeAgent, len(all))
	for i, a := range all {
		out[i] = agentDocument(a)
	}
	return list(out, page, total)
}

func (s *Server) showAgent(r *request) (reply, error) {
	a, err := s.db.Agent(r.Context(), r.PathValue("agent"))
	if err != nil {
		return reply{}, err
	}
	return object(agentDocument(a))
}

func (s *Server) forgetAgent(r *request) (reply, error) {
	return reply{}, s.db.ForgetAgent(r.Context(), r.PathValue("agent"))
}

func (s *Server) drainAgent(r *request) (reply, error) {
	a, err := s.db.DrainAgent(r.Context(), r.PathValue("agent"))
	if err != nil {
		return reply{}, err
	}
	return object(agentDocument(a))
}
