package client

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// AgentPool is where the tasks of agents queue.
type AgentPool struct {
	ID                 string    `json:"id"`
	Number             int64     `json:"number"` // names the pool wherever an id does
	Name               string    `json:"name"`
	AgentCount         int       `json:"agent_count"`
	OrganizationScoped bool      `json:"organization_scoped"` // all workspaces of the organization may use it
	WorkspaceIDs       []string  `json:"workspace_ids,omitempty"`
	AllowedIDs         []string  `json:"allowed_workspace_ids,omitempty"` // the chosen ones, where not all may
	LeaseTTLSeconds    int       `json:"lease_ttl_seconds"`               // 0: the server's
	CreatedAt          time.Time `json:"created_at,omitzero"`
}

// AgentPoolChange is what of a pool can be set; nil leaves it as it is. A new one needs Name.
type AgentPoolChange struct {
	Name               *string   `json:"name,omitempty"`
	OrganizationScoped *bool     `json:"organization-scoped,omitempty"`
	LeaseTTLSeconds    *int      `json:"lease-ttl-seconds,omitempty"` // 5 to 300, or 0 for the server's
	Workspaces         *[]string `json:"-"`                           // ids of the chosen ones
}

func (p AgentPoolChange) resource() map[string]any {
	out := map[string]any{"type": "agent-pools", "attributes": p}
	if p.Workspaces != nil {
		list := make([]identifier, len(*p.Workspaces))
		for i, w := range *p.Workspaces {
			list[i] = identifier{Type: "workspaces", ID: w}
		}
		out["relationships"] = map[string]any{"allowed-workspaces": map[string]any{"data": list}}
	}
	return out
}

func agentPoolPath(id string) string { return "/agent-pools/" + url.PathEscape(id) }

// AgentPools lists the pools of an organization.
func (c *Client) AgentPools(ctx context.Context, organization string) ([]AgentPool, error) {
	return list[AgentPool](ctx, c, "/organizations/"+url.PathEscape(organization)+"/agent-pools", 0)
}

// CreateAgentPool creates a pool. A name that is taken is refused.
func (c *Client) CreateAgentPool(ctx context.Context, organization string, p AgentPoolChange) (AgentPool, error) {
	return submit[AgentPool](ctx, c, http.MethodPost, "/organizations/"+url.PathEscape(organization)+"/agent-pools", p.resource())
}

// UpdateAgentPool changes a pool.
func (c *Client) UpdateAgentPool(ctx context.Context, id string, p AgentPoolChange) (AgentPool, error) {
	return submit[AgentPool](ctx, c, http.MethodPatch, agentPoolPath(id), p.resource())
}

// DeleteAgentPool deletes a pool that nothing uses.
func (c *Client) DeleteAgentPool(ctx context.Context, id string) error {
	return c.do(ctx, Request{Method: http.MethodDelete, Path: tfePrefix + agentPoolPath(id)})
}

// AgentPoolToken lets any number of agents work for a pool.
type AgentPoolToken struct {
	ID          string     `json:"id"`
	Description string     `json:"description"`
	CreatedAt   time.Time  `json:"created_at,omitzero"`
	ExpiresAt   *time.Time `json:"expired_at,omitempty"` // nil means never
	Secret      string     `json:"token,omitempty"`      // in the answer to its creation only
}

// AgentPoolTokens lists the tokens of a pool, without their secrets.
func (c *Client) AgentPoolTokens(ctx context.Context, pool string) ([]AgentPoolToken, error) {
	return list[AgentPoolToken](ctx, c, agentPoolPath(pool)+"/authentication-tokens", 0)
}

// CreateAgentPoolToken creates a token for agents of the pool. A life of 0 does not end.
func (c *Client) CreateAgentPoolToken(ctx context.Context, pool, description string, life time.Duration) (AgentPoolToken, error) {
	in := map[string]any{"description": description}
	if life > 0 {
		in["expired-at"] = time.Now().Add(life).UTC().Format(time.RFC3339)
	}
	return submit[AgentPoolToken](ctx, c, http.MethodPost, agentPoolPath(pool)+"/authentication-tokens", newResource{Type: "authentication-tokens", Attributes: in})
}

// RevokeAgentPoolToken makes a token worthless; the agents that use it are disconnected within seconds.
func (c *Client) RevokeAgentPoolToken(ctx context.Context, id string) error {
	return c.do(ctx, Request{Method: http.MethodDelete, Path: tfePrefix + "/authentication-tokens/" + url.PathEscape(id)})
}

// Agent is one agent of a pool.
type Agent struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Status      string    `json:"status"` // idle, busy, draining, unknown, errored or exited
	Address     string    `json:"ip_address"`
	LastPingAt  time.Time `json:"last_ping_at,omitzero"`
	CreatedAt   time.Time `json:"created_at,omitzero"` // when this process was first heard of
	Version     string    `json:"version"`
	Labels      []string  `json:"labels"`
	Concurrency int       `json:"concurrency"`
	Runs        []string  `json:"runs"`
	Refusing    string    `json:"refusing,omitempty"`
	PoolID      string    `json:"agent_pool_id,omitempty"`
}

func agentPath(id string) string { return "/agents/" + url.PathEscape(id) }

// Agents lists the agents of a pool.
func (c *Client) Agents(ctx context.Context, pool string) ([]Agent, error) {
	return list[Agent](ctx, c, agentPoolPath(pool)+"/agents", 0)
}

// Agent returns one agent.
func (c *Client) Agent(ctx context.Context, id string) (Agent, error) {
	return get[Agent](ctx, c, agentPath(id))
}

// DrainAgent asks an agent to finish what runs, take nothing new, and end.
func (c *Client) DrainAgent(ctx context.Context, id string) error {
	return c.json(ctx, http.MethodPost, agentPath(id)+"/drain", nil, nil)
}

// ForgetAgent removes an agent that is gone from the lists.
func (c *Client) ForgetAgent(ctx context.Context, id string) error {
	return c.do(ctx, Request{Method: http.MethodDelete, Path: tfePrefix + agentPath(id)})
}
