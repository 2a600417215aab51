package client

import (
	"context"
	"net/url"
	"time"
)

// Workspace is a configuration with its state.
type Workspace struct {
	ID               string    `json:"id"`
	Name             string    `json:"name"`
	Organization     string    `json:"organization_id,omitempty"` // its name
	Locked           bool      `json:"locked"`
	AutoApply        bool      `json:"auto_apply"`
	ExecutionMode    string    `json:"execution_mode,omitempty"` // in TFE's words
	TerraformVersion string    `json:"terraform_version,omitempty"`
	WorkingDirectory string    `json:"working_directory,omitempty"`
	CurrentRunID     string    `json:"current_run_id,omitempty"`
	CreatedAt        time.Time `json:"created_at,omitzero"`
}

func workspacesPath(organization string) string {
	return "/organizations/" + url.PathEscape(organization) + "/workspaces"
}

// Workspaces lists the workspaces of an organization.
func (c *Client) Workspaces(ctx context.Context, organization string) ([]Workspace, error) {
	return list[Workspace](ctx, c, workspacesPath(organization), 0)
}

// Workspace returns the workspace of that name.
func (c *Client) Workspace(ctx context.Context, organization, name string) (Workspace, error) {
	return get[Workspace](ctx, c, workspacesPath(organization)+"/"+url.PathEscape(name))
}

// WorkspaceByID returns the workspace with that id.
func (c *Client) WorkspaceByID(ctx context.Context, id string) (Workspace, error) {
	return get[Workspace](ctx, c, "/workspaces/"+url.PathEscape(id))
}

// CreateWorkspace creates a workspace with the organization's defaults. A name that is taken is refused.
func (c *Client) CreateWorkspace(ctx context.Context, organization, name string) (Workspace, error) {
	return create[Workspace](ctx, c, workspacesPath(organization), newResource{
		Type: "workspaces", Attributes: map[string]any{"name": name},
	})
}
