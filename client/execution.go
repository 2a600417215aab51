package client

import (
	"context"
	"net/http"
	"net/url"

	"gantry.example/messages"
)

// ExecutionDocuments are where and with what the runs of a workspace, or of an organization's workspaces, are carried out.
type ExecutionDocuments struct {
	Own       messages.Execution `json:"own"`       // what it says itself
	Effective messages.Execution `json:"effective"` // with what is beneath: the organization, the server
}

func workspaceExecution(id string) string { return "/workspaces/" + url.PathEscape(id) + "/execution" }

func organizationExecution(name string) string {
	return "/organizations/" + url.PathEscape(name) + "/execution"
}

// Execution reads the execution document of a workspace.
func (c *Client) Execution(ctx context.Context, workspaceID string) (ExecutionDocuments, error) {
	return c.execution(ctx, http.MethodGet, workspaceExecution(workspaceID), nil)
}

// PutExecution replaces the execution document of a workspace. Runs that exist keep theirs.
func (c *Client) PutExecution(ctx context.Context, workspaceID string, doc messages.Execution) (ExecutionDocuments, error) {
	return c.execution(ctx, http.MethodPut, workspaceExecution(workspaceID), doc)
}

// OrganizationExecution reads the default execution document of an organization.
func (c *Client) OrganizationExecution(ctx context.Context, name string) (ExecutionDocuments, error) {
	return c.execution(ctx, http.MethodGet, organizationExecution(name), nil)
}

// PutOrganizationExecution replaces the default execution document of an organization. Runs that exist keep theirs.
func (c *Client) PutOrganizationExecution(ctx context.Context, name string, doc messages.Execution) (ExecutionDocuments, error) {
	return c.execution(ctx, http.MethodPut, organizationExecution(name), doc)
}

func (c *Client) execution(ctx context.Context, method, path string, in any) (ExecutionDocuments, error) {
	var out ExecutionDocuments
	err := c.json(ctx, method, path, in, &out)
	return out, err
}
