package client

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Team gives members of an organization a greater role in some of its workspaces.
type Team struct {
	ID      string   `json:"id"`
	Name    string   `json:"name"`
	UserIDs []string `json:"user_ids"`
}

// TeamRole is the role (read, plan, write, admin) of a team in a workspace.
type TeamRole struct {
	ID          string `json:"id"`
	Role        string `json:"access"`
	TeamID      string `json:"team_id"`
	WorkspaceID string `json:"workspace_id"`
}

// TeamToken may do what its team may.
type TeamToken struct {
	ID          string     `json:"id"`
	Description string     `json:"description"`
	TeamID      string     `json:"team_id"`
	CreatedAt   time.Time  `json:"created_at,omitzero"`
	ExpiresAt   *time.Time `json:"expired_at,omitempty"` // nil means never
	Secret      string     `json:"token,omitempty"`      // in the answer to its creation only
}

const teamRoles = "/team-workspaces"

func teamPath(id string) string { return "/teams/" + url.PathEscape(id) }

func teamsPath(organization string) string {
	return "/organizations/" + url.PathEscape(organization) + "/teams"
}

// Teams lists the teams of an organization.
func (c *Client) Teams(ctx context.Context, organization string) ([]Team, error) {
	return list[Team](ctx, c, teamsPath(organization), 0)
}

// CreateTeam creates a team without members. A name that is taken is refused.
func (c *Client) CreateTeam(ctx context.Context, organization, name string) (Team, error) {
	return create[Team](ctx, c, teamsPath(organization), newResource{Type: "teams", Attributes: map[string]any{"name": name}})
}

// DeleteTeam deletes a team with its roles and tokens.
func (c *Client) DeleteTeam(ctx context.Context, id string) error {
	return c.do(ctx, Request{Method: http.MethodDelete, Path: tfePrefix + teamPath(id)})
}

// AddToTeam adds members of the organization, by their usernames: all of them, or none if one is no member.
func (c *Client) AddToTeam(ctx context.Context, id string, usernames []string) error {
	return c.changeTeam(ctx, http.MethodPost, id, usernames)
}

// RemoveFromTeam takes users out of a team.
func (c *Client) RemoveFromTeam(ctx context.Context, id string, usernames []string) error {
	return c.changeTeam(ctx, http.MethodDelete, id, usernames)
}

func (c *Client) changeTeam(ctx context.Context, method, id string, usernames []string) error {
	users := make([]identifier, len(usernames))
	for i, name := range usernames {
		users[i] = identifier{Type: "users", ID: name}
	}
	r, err := documentRequest(method, teamPath(id)+"/relationships/users", map[string]any{"data": users})
	if err != nil {
		return err
	}
	return c.do(ctx, r)
}

// TeamRoles lists the roles that teams have in a workspace.
func (c *Client) TeamRoles(ctx context.Context, workspaceID string) ([]TeamRole, error) {
	return list[TeamRole](ctx, c, teamRoles+"?"+url.Values{"filter[workspace][id]": {workspaceID}}.Encode(), 0)
}

// GiveTeamRole gives a team a role in a workspace where it has none.
func (c *Client) GiveTeamRole(ctx context.Context, teamID, workspaceID, role string) (TeamRole, error) {
	return create[TeamRole](ctx, c, teamRoles, newResource{
		Type: "team-workspaces", Attributes: map[string]any{"access": role},
		Relationships: map[string]relationToOne{"team": relation("teams", teamID), "workspace": relation("workspaces", workspaceID)},
	})
}

// ChangeTeamRole changes a role that a team has, by the role's id.
func (c *Client) ChangeTeamRole(ctx context.Context, id, role string) (TeamRole, error) {
	return submit[TeamRole](ctx, c, http.MethodPatch, teamRoles+"/"+url.PathEscape(id), newResource{Type: "team-workspaces", Attributes: map[string]any{"access": role}})
}

// EndTeamRole takes a role away, by its id.
func (c *Client) EndTeamRole(ctx context.Context, id string) error {
	return c.do(ctx, Request{Method: http.MethodDelete, Path: tfePrefix + teamRoles + "/" + url.PathEscape(id)})
}

// TeamTokens lists the tokens of all teams of an organization, without their secrets.
func (c *Client) TeamTokens(ctx context.Context, organization string) ([]TeamToken, error) {
	return list[TeamToken](ctx, c, "/organizations/"+url.PathEscape(organization)+"/team-tokens", 0)
}

// CreateTeamToken creates a token of a team. A life of 0 does not end. A description that one of its tokens has is refused.
func (c *Client) CreateTeamToken(ctx context.Context, id, description string, life time.Duration) (TeamToken, error) {
	in := map[string]any{"description": description}
	if life > 0 {
		in["expired-at"] = time.Now().Add(life).UTC().Format(time.RFC3339)
	}
	return submit[TeamToken](ctx, c, http.MethodPost, teamPath(id)+"/authentication-tokens", newResource{Type: "authentication-tokens", Attributes: in})
}

// RevokeTeamToken makes a token worthless at once.
func (c *Client) RevokeTeamToken(ctx context.Context, id string) error {
	return c.do(ctx, Request{Method: http.MethodDelete, Path: tfePrefix + "/authentication-tokens/" + url.PathEscape(id)})
}
