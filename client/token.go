package client

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Token is a token of a person. Its secret is known only to whoever created it.
type Token struct {
	ID          string `json:"id"`
	Description string `json:"description"`
	Kind        string `json:"kind,omitempty"`     // admin, user or organization
	Username    string `json:"username,omitempty"` // whose it is
	// Organization that it belongs to instead, and its role there.
	Organization string     `json:"organization,omitempty"`
	Role         string     `json:"role,omitempty"`
	CreatedAt    time.Time  `json:"created_at,omitzero"`
	ExpiresAt    *time.Time `json:"expires_at,omitempty"` // nil means never
	Secret       string     `json:"token,omitempty"`      // in the answer to its creation only
}

// Tokens lists the tokens of people, without their secrets.
func (c *Client) Tokens(ctx context.Context) ([]Token, error) {
	var out []Token
	err := c.json(ctx, http.MethodGet, "/tokens", nil, &out)
	return out, err
}

// NewToken is what a token is created from. Without an organization it may do what the caller's may.
type NewToken struct {
	Description  string
	Life         time.Duration // 0: it does not expire
	Organization string
	Role         string // in the organization; empty means write
}

// CreateToken creates a token.
func (c *Client) CreateToken(ctx context.Context, create NewToken) (Token, error) {
	in := map[string]any{"description": create.Description}
	if create.Life > 0 {
		in["expires_in"] = create.Life.String()
	}
	if create.Organization != "" {
		in["organization"], in["role"] = create.Organization, create.Role
	}
	var out Token
	err := c.json(ctx, http.MethodPost, "/tokens", in, &out)
	return out, err
}

// RevokedToken is the answer to a revocation.
type RevokedToken struct {
	ID  string `json:"id"`
	Own bool   `json:"own"` // it was the token of this very client
}

// RevokeToken makes a token worthless at once.
func (c *Client) RevokeToken(ctx context.Context, id string) (RevokedToken, error) {
	var out RevokedToken
	err := c.json(ctx, http.MethodDelete, "/tokens/"+url.PathEscape(id), nil, &out)
	return out, err
}

// User is whose token it is.
type User struct {
	ID       string `json:"id"`
	Username string `json:"username"`
}

// Account returns the user of the client's token.
func (c *Client) Account(ctx context.Context) (User, error) {
	return get[User](ctx, c, "/account/details")
}
