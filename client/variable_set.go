package client

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// VariableSet is a group of variables for all workspaces of an organization, or for some.
type VariableSet struct {
	ID           string    `json:"id"`
	Organization string    `json:"organization_id,omitempty"` // its name
	Name         string    `json:"name"`
	Description  string    `json:"description,omitempty"`
	Global       bool      `json:"global"`
	Priority     bool      `json:"priority"`
	WorkspaceIDs []string  `json:"workspace_ids"`
	VariableIDs  []string  `json:"var_ids"`
	CreatedAt    time.Time `json:"created_at,omitzero"`
}

// VariableSetChange is what of a variable set can be set; nil leaves it as it is. A new one needs Name.
type VariableSetChange struct {
	Name        *string `json:"name,omitempty"`
	Description *string `json:"description,omitempty"`
	Global      *bool   `json:"global,omitempty"`
	Priority    *bool   `json:"priority,omitempty"`
}

func variableSetPath(id string) string { return "/varsets/" + url.PathEscape(id) }

// VariableSets lists the variable sets of an organization.
func (c *Client) VariableSets(ctx context.Context, organization string) ([]VariableSet, error) {
	return list[VariableSet](ctx, c, "/organizations/"+url.PathEscape(organization)+"/varsets", 0)
}

// WorkspaceVariableSets lists the variable sets that the workspace has variables from.
func (c *Client) WorkspaceVariableSets(ctx context.Context, workspaceID string) ([]VariableSet, error) {
	return list[VariableSet](ctx, c, "/workspaces/"+url.PathEscape(workspaceID)+"/varsets", 0)
}

// CreateVariableSet creates a variable set. A name that is taken is refused.
func (c *Client) CreateVariableSet(ctx context.Context, organization string, v VariableSetChange) (VariableSet, error) {
	return create[VariableSet](ctx, c, "/organizations/"+url.PathEscape(organization)+"/varsets", newResource{Type: "varsets", Attributes: v})
}

// UpdateVariableSet changes a variable set.
func (c *Client) UpdateVariableSet(ctx context.Context, id string, v VariableSetChange) (VariableSet, error) {
	return submit[VariableSet](ctx, c, http.MethodPatch, variableSetPath(id), newResource{Type: "varsets", Attributes: v})
}

// DeleteVariableSet deletes a variable set with its variables.
func (c *Client) DeleteVariableSet(ctx context.Context, id string) error {
	return c.do(ctx, Request{Method: http.MethodDelete, Path: tfePrefix + variableSetPath(id)})
}

// AssignVariableSet gives the set to workspaces; those that have it keep it.
func (c *Client) AssignVariableSet(ctx context.Context, id string, workspaceIDs []string) error {
	return c.variableSetWorkspaces(ctx, http.MethodPost, id, workspaceIDs)
}

// UnassignVariableSet takes the set from workspaces.
func (c *Client) UnassignVariableSet(ctx context.Context, id string, workspaceIDs []string) error {
	return c.variableSetWorkspaces(ctx, http.MethodDelete, id, workspaceIDs)
}

func (c *Client) variableSetWorkspaces(ctx context.Context, method, id string, workspaceIDs []string) error {
	list := make([]identifier, len(workspaceIDs))
	for i, w := range workspaceIDs {
		list[i] = identifier{Type: "workspaces", ID: w}
	}
	r, err := documentRequest(method, variableSetPath(id)+"/relationships/workspaces", map[string]any{"data": list})
	if err != nil {
		return err
	}
	return c.do(ctx, r)
}
