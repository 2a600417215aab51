package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// Person is a user with what they are a member of, as far as the caller may know.
type Person struct {
	ID          string       `json:"id"`
	Username    string       `json:"username"`
	Email       string       `json:"email,omitempty"`
	SiteAdmin   bool         `json:"site_admin"`
	HasPassword bool         `json:"has_password"`
	CreatedAt   time.Time    `json:"created_at,omitzero"`
	Memberships []Membership `json:"memberships"`
}

// Membership is a role (read, plan, write, admin) in an organization.
type Membership struct {
	Organization string `json:"organization"`
	Role         string `json:"role"`
}

// Member is a user in one organization.
type Member struct {
	UserID   string    `json:"user_id"`
	Username string    `json:"username"`
	Email    string    `json:"email,omitempty"`
	Role     string    `json:"role"`
	Since    time.Time `json:"since,omitzero"`
}

// NewPerson is what a user is created from.
type NewPerson struct {
	Username  string `json:"username"`
	Email     string `json:"email,omitempty"`
	Password  string `json:"password,omitempty"`
	SiteAdmin bool   `json:"site_admin,omitempty"`
}

const pageOfAll = 100

// pages reads a plain list to its end.
func pages[T any](ctx context.Context, c *Client, path string) ([]T, error) {
	var all []T
	for n := 1; ; n++ {
		var page []T
		if err := c.json(ctx, http.MethodGet, fmt.Sprintf("%s?page%%5Bnumber%%5D=%d&page%%5Bsize%%5D=%d", path, n, pageOfAll), nil, &page); err != nil {
			return nil, err
		}
		if all = append(all, page...); len(page) < pageOfAll {
			return all, nil
		}
	}
}

// Users lists all users, for site admins.
func (c *Client) Users(ctx context.Context) ([]Person, error) { return pages[Person](ctx, c, "/users") }

// User returns a user by id, name or email address.
func (c *Client) User(ctx context.Context, ref string) (Person, error) {
	var out Person
	err := c.json(ctx, http.MethodGet, "/users/"+url.PathEscape(ref), nil, &out)
	return out, err
}

// CreateUser creates a user, who is a member of nothing yet.
func (c *Client) CreateUser(ctx context.Context, in NewPerson) (Person, error) {
	var out Person
	err := c.json(ctx, http.MethodPost, "/users", in, &out)
	return out, err
}

// DeleteUser deletes a user with their tokens and memberships.
func (c *Client) DeleteUser(ctx context.Context, ref string) error {
	return c.json(ctx, http.MethodDelete, "/users/"+url.PathEscape(ref), nil, nil)
}

// SetSiteAdmin makes a user a site admin, or takes that away.
func (c *Client) SetSiteAdmin(ctx context.Context, ref string, admin bool) (Person, error) {
	var out Person
	err := c.json(ctx, http.MethodPatch, "/users/"+url.PathEscape(ref), map[string]any{"site_admin": admin}, &out)
	return out, err
}

// SetPassword changes a password. current is the present one, needed for the caller's own.
func (c *Client) SetPassword(ctx context.Context, ref, password, current string) error {
	in := map[string]any{"password": password, "current_password": current}
	return c.json(ctx, http.MethodPut, "/users/"+url.PathEscape(ref)+"/password", in, nil)
}

// Members lists the members of an organization.
func (c *Client) Members(ctx context.Context, organization string) ([]Member, error) {
	return pages[Member](ctx, c, "/organizations/"+url.PathEscape(organization)+"/members")
}

// SetMember gives a user a role in an organization.
func (c *Client) SetMember(ctx context.Context, organization, user, role string) (Member, error) {
	var out Member
	err := c.json(ctx, http.MethodPut, memberPath(organization, user), map[string]any{"role": role}, &out)
	return out, err
}

// RemoveMember ends a membership.
func (c *Client) RemoveMember(ctx context.Context, organization, user string) error {
	return c.json(ctx, http.MethodDelete, memberPath(organization, user), nil, nil)
}

func memberPath(organization, user string) string {
	return "/organizations/" + url.PathEscape(organization) + "/members/" + url.PathEscape(user)
}
