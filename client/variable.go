package client

import (
	"context"
	"net/http"
	"net/url"
)

// Variable is a variable of a workspace or of a variable set.
type Variable struct {
	ID            string  `json:"id"`
	Key           string  `json:"key"`
	Value         *string `json:"value"` // nil if it is sensitive
	Category      string  `json:"category"`
	HCL           bool    `json:"hcl"`
	Sensitive     bool    `json:"sensitive"`
	Description   string  `json:"description,omitempty"`
	VariableSetID string  `json:"varset_id,omitempty"` // empty: of the workspace itself
}

// VariableHolder is what variables belong to: one of the two ids.
type VariableHolder struct {
	WorkspaceID   string
	VariableSetID string
}

func (h VariableHolder) path() string {
	if h.VariableSetID != "" {
		return "/varsets/" + url.PathEscape(h.VariableSetID) + "/relationships/vars"
	}
	return "/workspaces/" + url.PathEscape(h.WorkspaceID) + "/vars"
}

// VariableChange is what of a variable can be set; nil leaves it as it is. A new one needs Key and Category.
type VariableChange struct {
	Key         *string `json:"key,omitempty"`
	Value       *string `json:"value,omitempty"`
	Category    *string `json:"category,omitempty"`
	Description *string `json:"description,omitempty"`
	HCL         *bool   `json:"hcl,omitempty"`
	Sensitive   *bool   `json:"sensitive,omitempty"`
}

// Variables lists the variables of the holder.
func (c *Client) Variables(ctx context.Context, h VariableHolder) ([]Variable, error) {
	return list[Variable](ctx, c, h.path(), 0)
}

// EffectiveVariables lists the variables that runs of the workspace get, those of variable sets included.
func (c *Client) EffectiveVariables(ctx context.Context, workspaceID string) ([]Variable, error) {
	return list[Variable](ctx, c, "/workspaces/"+url.PathEscape(workspaceID)+"/all-vars", 0)
}

// CreateVariable creates a variable. A key that is taken is refused.
func (c *Client) CreateVariable(ctx context.Context, h VariableHolder, v VariableChange) (Variable, error) {
	return create[Variable](ctx, c, h.path(), newResource{Type: "vars", Attributes: v})
}

// UpdateVariable changes a variable.
func (c *Client) UpdateVariable(ctx context.Context, h VariableHolder, id string, v VariableChange) (Variable, error) {
	return submit[Variable](ctx, c, http.MethodPatch, h.path()+"/"+url.PathEscape(id), newResource{Type: "vars", Attributes: v})
}

// DeleteVariable deletes a variable.
func (c *Client) DeleteVariable(ctx context.Context, h VariableHolder, id string) error {
	return c.do(ctx, Request{Method: http.MethodDelete, Path: tfePrefix + h.path() + "/" + url.PathEscape(id)})
}
