package client

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Token is a token of a person. Its secret is known only to whoever created it.
type Token struct {
	ID          string     `json:"id"`
	Description string     `json:"description"`
	Kind        string     `json:"kind,omitempty"`
	CreatedAt   time.Time  `json:"created_at,omitzero"`
	ExpiresAt   *time.Time `json:"expires_at,omitempty"` // nil means never
	Secret      string     `json:"token,omitempty"`      // in the answer to its creation only
}

// Tokens lists the tokens of people, without their secrets.
func (c *Client) Tokens(ctx context.Context) ([]Token, error) {
	var out []Token
	err := c.json(ctx, http.MethodGet, "/tokens", nil, &out)
	return out, err
}

// CreateToken creates a token that may do what the caller's may. A life of 0 means that it does not expire.
func (c *Client) CreateToken(ctx context.Context, description string, life time.Duration) (Token, error) {
	in := map[string]any{"description": description}
	if life > 0 {
		in["expires_in"] = life.String()
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
