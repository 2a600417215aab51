package client

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Workspace is a configuration with its state.
type Workspace struct {
	ID               string    `json:"id"`
	Name             string    `json:"name"`
	Organization     string    `json:"organization_id,omitempty"` // its name
	Description      string    `json:"description,omitempty"`
	Locked           bool      `json:"locked"` // by a person, or by the run it works on
	LockedReason     string    `json:"locked_reason,omitempty"`
	AutoApply        bool      `json:"auto_apply"`
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

// WorkspaceChange is what of a workspace can be set; nil leaves it as it is.
type WorkspaceChange struct {
	Description      *string
	AutoApply        *bool
	TerraformVersion *string
	WorkingDirectory *string
}

func (w WorkspaceChange) attributes() map[string]any {
	out := map[string]any{}
	for name, value := range map[string]*string{
		"description": w.Description, "terraform-version": w.TerraformVersion, "working-directory": w.WorkingDirectory,
	} {
		if value != nil {
			out[name] = *value
		}
	}
	if w.AutoApply != nil {
		out["auto-apply"] = *w.AutoApply
	}
	return out
}

// CreateWorkspace creates a workspace with the organization's defaults. A name that is taken is refused.
func (c *Client) CreateWorkspace(ctx context.Context, organization, name string) (Workspace, error) {
	return c.CreateWorkspaceWith(ctx, organization, name, WorkspaceChange{})
}

// CreateWorkspaceWith is CreateWorkspace for one that differs from the defaults.
func (c *Client) CreateWorkspaceWith(ctx context.Context, organization, name string, with WorkspaceChange) (Workspace, error) {
	attributes := with.attributes()
	attributes["name"] = name
	return create[Workspace](ctx, c, workspacesPath(organization), newResource{Type: "workspaces", Attributes: attributes})
}

// UpdateWorkspace changes a workspace.
func (c *Client) UpdateWorkspace(ctx context.Context, id string, change WorkspaceChange) (Workspace, error) {
	return submit[Workspace](ctx, c, http.MethodPatch, "/workspaces/"+url.PathEscape(id), newResource{
		Type: "workspaces", Attributes: change.attributes(),
	})
}

// DeleteWorkspace deletes a workspace with its states and runs. Unless forced one that manages resources is refused.
func (c *Client) DeleteWorkspace(ctx context.Context, id string, force bool) error {
	path := "/workspaces/" + url.PathEscape(id)
	if !force {
		return c.tfeJSON(ctx, path+"/actions/safe-delete", map[string]any{})
	}
	return c.do(ctx, Request{Method: http.MethodDelete, Path: tfePrefix + path})
}

// LockWorkspace keeps further runs of the workspace from starting. A run that has begun goes on.
func (c *Client) LockWorkspace(ctx context.Context, id, reason string) error {
	return c.tfeJSON(ctx, "/workspaces/"+url.PathEscape(id)+"/actions/lock", map[string]string{"reason": reason})
}

// UnlockWorkspace takes the lock of a person away; forced also that of another one.
func (c *Client) UnlockWorkspace(ctx context.Context, id string, force bool) error {
	action := "unlock"
	if force {
		action = "force-unlock"
	}
	return c.tfeJSON(ctx, "/workspaces/"+url.PathEscape(id)+"/actions/"+action, map[string]any{})
}
