package client

import (
	"context"
	"net/url"
	"time"
)

// Organization owns workspaces. Its id is its name, as in TFE.
type Organization struct {
	ID         string    `json:"id"`
	Name       string    `json:"name"`
	ExternalID string    `json:"external_id,omitempty"` // org-…, which a rename does not change
	CreatedAt  time.Time `json:"created_at,omitzero"`
}

// Organizations lists what the token may see.
func (c *Client) Organizations(ctx context.Context) ([]Organization, error) {
	return list[Organization](ctx, c, "/organizations", 0)
}

// Organization returns the organization of that name.
func (c *Client) Organization(ctx context.Context, name string) (Organization, error) {
	return get[Organization](ctx, c, "/organizations/"+url.PathEscape(name))
}

// CreateOrganization creates an organization. A name that is taken is refused.
func (c *Client) CreateOrganization(ctx context.Context, name string) (Organization, error) {
	return create[Organization](ctx, c, "/organizations", newResource{
		Type: "organizations", Attributes: map[string]any{"name": name},
	})
}
