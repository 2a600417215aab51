package api

import (
	"net"
	"strings"

	"gantry.example/services/postgres"
)

// tfeUser is a person, or what else a token belongs to.
type tfeUser struct {
	ID               string          `jsonapi:"primary,users"`
	Username         string          `jsonapi:"attr,username"`
	Email            string          `jsonapi:"attr,email"`
	IsServiceAccount bool            `jsonapi:"attr,is-service-account"`
	IsSiteAdmin      bool            `jsonapi:"attr,is-site-admin"`
	Permissions      map[string]bool `jsonapi:"attr,permissions"`
}

// tfeAccountInput changes the caller's own account. Nil means "not said".
type tfeAccountInput struct {
	ID       string  `jsonapi:"primary,users"`
	Username *string `jsonapi:"attr,username"`
	Email    *string `jsonapi:"attr,email"`
}

type tfePasswordInput struct {
	ID       string `jsonapi:"primary,users"`
	Current  string `jsonapi:"attr,current_password"`
	Password string `jsonapi:"attr,password"`
	Again    string `jsonapi:"attr,password_confirmation"`
}

// tfeAccountRoutes are TFE's calls about people and their own account.
func (s *Server) tfeAccountRoutes() []route {
	return []route{
		{method: "GET", pattern: "/api/v2/account/details", access: person, summary: "Show whose token this is", out: tfeUser{}, handle: s.showAccount},
		{method: "PATCH", pattern: "/api/v2/account/update", access: person, summary: "Change one's email address; a name stays", in: tfeAccountInput{}, out: tfeUser{}, handle: s.updateAccount},
		{method: "PATCH", pattern: "/api/v2/account/password", access: person, summary: "Change one's password, which ends one's sessions", in: tfePasswordInput{}, out: tfeUser{}, handle: s.changePassword},
		{method: "GET", pattern: "/api/v2/users/{user}", access: person, summary: "Show a user of an organization one shares", out: tfeUser{}, handle: s.showUser},
	}
}

func userDocument(u postgres.User) *tfeUser {
	return &tfeUser{
		ID: u.ID, Username: u.Username, Email: u.Email, IsSiteAdmin: u.SiteAdmin,
		Permissions: map[string]bool{"can-create-organizations": u.SiteAdmin, "can-change-email": true, "can-change-username": false},
	}
}

// showAccount shows the user of a token, and for a token that no user has one made up from it.
func (s *Server) showAccount(r *request) (reply, error) {
	if r.token.UserID == "" {
		return object(&tfeUser{
			ID: accountID(r.token), Username: r.token.Actor(), IsSiteAdmin: r.token.Site(),
			IsServiceAccount: r.token.OrganizationID != "", Permissions: map[string]bool{"can-create-organizations": r.token.Site()},
		})
	}
	u, err := s.db.User(r.Context(), r.token.UserID)
	if err != nil {
		return reply{}, err
	}
	return object(userDocument(u))
}

const prefixUser = "user-"

// accountID is the id of the user of a token, or of the one that is made up for it.
func accountID(t postgres.Token) string {
	if t.UserID != "" {
		return t.UserID
	}
	return prefixUser + strings.TrimPrefix(t.ID, "at-")
}

// self is the user whose token the call has.
func (s *Server) self(r *request) (postgres.User, error) {
	if r.token.UserID == "" {
		return postgres.User{}, forbidden("this token belongs to no user: use the token of a user")
	}
	return s.db.User(r.Context(), r.token.UserID)
}

func (s *Server) updateAccount(r *request) (reply, error) {
	var in tfeAccountInput
	if err := r.decodeObject(&in); err != nil {
		return reply{}, err
	}
	u, err := s.self(r)
	if err != nil {
		return reply{}, err
	}
	if in.Username != nil && *in.Username != u.Username {
		return reply{}, invalid("field username: cannot be changed, because it stands in the history of runs")
	}
	if in.Email != nil {
		if err := s.db.SetEmail(r.Context(), u.ID, *in.Email); err != nil {
			return reply{}, err
		}
	}
	return s.showAccount(r)
}

func (s *Server) changePassword(r *request) (reply, error) {
	var in tfePasswordInput
	if err := r.decodeObject(&in); err != nil {
		return reply{}, err
	}
	u, err := s.self(r)
	if err != nil {
		return reply{}, err
	}
	if in.Password != in.Again {
		return reply{}, invalid("field password_confirmation: differs from password")
	}
	if err := s.changeOwnPassword(r, u, in.Current, in.Password); err != nil {
		return reply{}, err
	}
	return object(userDocument(u))
}

// changeOwnPassword asks for the password there is, so that a token alone does not take an account over.
func (s *Server) changeOwnPassword(r *request, u postgres.User, current, password string) error {
	if u.HasPassword {
		from, _, _ := net.SplitHostPort(r.RemoteAddr)
		if _, err := s.db.LogIn(r.Context(), u.Username, current, from); unauthorized(err) {
			return invalid("field current_password: is wrong")
		} else if err != nil {
			return err
		}
	}
	return s.db.SetPassword(r.Context(), u.ID, password, "")
}

func (s *Server) showUser(r *request) (reply, error) {
	u, err := s.visibleUser(r)
	if err != nil {
		return reply{}, err
	}
	return object(userDocument(u))
}

// visibleUser finds the user of the path, where the caller may see them.
func (s *Server) visibleUser(r *request) (postgres.User, error) {
	ref := r.PathValue("user")
	u, err := s.db.User(r.Context(), ref)
	if err != nil {
		return u, err
	}
	known, err := s.db.Knows(r.Context(), r.token, u.ID)
	if err == nil && !known {
		err = notFound("user", ref)
	}
	return u, err
}
