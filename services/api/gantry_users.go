package api

import (
	"net/http"
	"time"

	"gantry.example/services/postgres"
)

// shownUser is a user, with what they are a member of as far as the caller may know.
type shownUser struct {
	ID          string       `json:"id"`
	Username    string       `json:"username"`
	Email       string       `json:"email,omitempty"`
	SiteAdmin   bool         `json:"site_admin"`
	HasPassword bool         `json:"has_password"`
	CreatedAt   time.Time    `json:"created_at"`
	Memberships []membership `json:"memberships"`
}

type membership struct {
	Organization string        `json:"organization"` // its name
	Role         postgres.Role `json:"role"`
}

// member is a user in one organization.
type member struct {
	UserID   string        `json:"user_id"`
	Username string        `json:"username"`
	Email    string        `json:"email,omitempty"`
	Role     postgres.Role `json:"role"`
	Since    time.Time     `json:"since"`
}

type userInput struct {
	Username string `json:"username"`
	Email    string `json:"email,omitempty"`
	// Password has at least 10 characters. Without one the user has no way in but tokens.
	Password  string `json:"password,omitempty"`
	SiteAdmin bool   `json:"site_admin,omitempty"`
}

// userChange is a partial update: what is not sent stays.
type userChange struct {
	Email     *string `json:"email,omitempty"`
	SiteAdmin *bool   `json:"site_admin,omitempty"`
}

type passwordInput struct {
	Password string `json:"password"`
	// Current is the password there is, for one's own.
	Current string `json:"current_password,omitempty"`
}

type memberInput struct {
	Role postgres.Role `json:"role"`
}

// gantryUserRoutes are Gantry's own calls about users and members.
func (s *Server) gantryUserRoutes() []route {
	const users, members = "/api/gantry/v1/users", "/api/gantry/v1/organizations/{organization}/members"
	return []route{
		{method: "GET", pattern: users, access: person, handle: s.listUsers, summary: "List all users", out: []shownUser{}, query: paging()},
		// No Idempotency-Key: the memory of the request would be a fast hash of a password.
		{method: "POST", pattern: users, access: person, handle: s.createUser, status: http.StatusCreated, summary: "Create a user, who is a member of nothing yet", in: userInput{}, out: shownUser{}},
		{method: "GET", pattern: users + "/{user}", access: person, handle: s.showOwnUser, summary: "Show a user (id, name or email address) of an organization one shares", out: shownUser{}},
		{method: "PATCH", pattern: users + "/{user}", access: person, handle: s.changeUser, summary: "Change a user's email address, or make them a site admin or none", in: userChange{}, out: shownUser{}},
		{method: "DELETE", pattern: users + "/{user}", access: person, handle: s.deleteUser, summary: "Delete a user, with tokens and memberships; the name is not given again"},
		{method: "PUT", pattern: users + "/{user}/password", access: person, handle: s.putPassword, in: passwordInput{},
			summary: "Change a password: one's own by means of the one there is, that of others as a site admin. It ends their sessions"},
		{method: "GET", pattern: members, access: person, handle: s.listMembers, summary: "List an organization's members", out: []member{}, query: paging()},
		{method: "PUT", pattern: members + "/{user}", access: person, handle: s.putMember, summary: "Make a user a member, or change a member's role", in: memberInput{}, out: member{}},
		{method: "DELETE", pattern: members + "/{user}", access: person, handle: s.removeMember, summary: "End a membership"},
	}
}

// describeUser shows others than site admins and the user only what the caller is a member of too.
func (s *Server) describeUser(r *request, u postgres.User) (shownUser, error) {
	out := shownUser{
		ID: u.ID, Username: u.Username, Email: u.Email, SiteAdmin: u.SiteAdmin, HasPassword: u.HasPassword, CreatedAt: u.CreatedAt,
		Memberships: []membership{},
	}
	all, err := s.db.MembershipsOf(r.Context(), u.ID)
	if err != nil {
		return out, err
	}
	for _, m := range all {
		role, err := s.db.RoleIn(r.Context(), r.token, m.OrganizationID)
		if err != nil {
			return out, err
		}
		if role != postgres.RoleNone {
			out.Memberships = append(out.Memberships, membership{m.Organization, m.Role})
		}
	}
	return out, nil
}

func (s *Server) answerUser(r *request, u postgres.User) (reply, error) {
	out, err := s.describeUser(r, u)
	if err != nil {
		return reply{}, err
	}
	return plain(out)
}

func (s *Server) listUsers(r *request) (reply, error) {
	p, err := r.page()
	if err != nil {
		return reply{}, err
	}
	all, _, err := s.db.Users(r.Context(), p)
	if err != nil {
		return reply{}, err
	}
	out := make([]shownUser, len(all))
	for i, u := range all {
		if out[i], err = s.describeUser(r, u); err != nil {
			return reply{}, err
		}
	}
	return plain(out)
}

func (s *Server) createUser(r *request) (reply, error) {
	var in userInput
	if err := r.decode(&in); err != nil {
		return reply{}, err
	}
	u, err := s.db.CreateUser(r.Context(), postgres.NewUser(in))
	if err != nil {
		return reply{}, err
	}
	return s.answerUser(r, u)
}

func (s *Server) showOwnUser(r *request) (reply, error) {
	u, err := s.visibleUser(r)
	if err != nil {
		return reply{}, err
	}
	return s.answerUser(r, u)
}

func (s *Server) changeUser(r *request) (reply, error) {
	var in userChange
	if err := r.decode(&in); err != nil {
		return reply{}, err
	}
	u, err := s.db.User(r.Context(), r.PathValue("user"))
	if err == nil && in.Email != nil {
		err = s.db.SetEmail(r.Context(), u.ID, *in.Email)
	}
	if err == nil && in.SiteAdmin != nil {
		err = s.db.SetSiteAdmin(r.Context(), u.ID, *in.SiteAdmin)
	}
	if err == nil {
		u, err = s.db.User(r.Context(), u.ID)
	}
	if err != nil {
		return reply{}, err
	}
	return s.answerUser(r, u)
}

func (s *Server) deleteUser(r *request) (reply, error) {
	u, err := s.db.User(r.Context(), r.PathValue("user"))
	if err != nil {
		return reply{}, err
	}
	return reply{}, s.db.DeleteUser(r.Context(), u.ID)
}

func (s *Server) putPassword(r *request) (reply, error) {
	var in passwordInput
	if err := r.decode(&in); err != nil {
		return reply{}, err
	}
	u, err := s.visibleUser(r)
	switch {
	case err != nil:
		return reply{}, err
	case u.ID == r.token.UserID:
		return reply{}, s.changeOwnPassword(r, u, in.Current, in.Password)
	case r.token.Site():
		return reply{}, s.db.SetPassword(r.Context(), u.ID, in.Password, "")
	default:
		return reply{}, forbidden("the password of another user takes a site admin")
	}
}

func memberDocument(m postgres.Membership) member {
	return member{UserID: m.UserID, Username: m.Username, Email: m.Email, Role: m.Role, Since: m.CreatedAt}
}

func (s *Server) listMembers(r *request) (reply, error) {
	p, err := r.page()
	if err != nil {
		return reply{}, err
	}
	o, err := s.db.Organization(r.Context(), r.PathValue("organization"))
	if err != nil {
		return reply{}, err
	}
	all, _, err := s.db.Members(r.Context(), o.ID, postgres.MemberFilter{Page: p})
	if err != nil {
		return reply{}, err
	}
	out := make([]member, len(all))
	for i, m := range all {
		out[i] = memberDocument(m)
	}
	return plain(out)
}

func (s *Server) putMember(r *request) (reply, error) {
	var in memberInput
	if err := r.decode(&in); err != nil {
		return reply{}, err
	}
	o, u, err := s.organizationAndUser(r)
	if err != nil {
		return reply{}, err
	}
	m, err := s.db.SetMember(r.Context(), o.ID, u.ID, in.Role)
	if err != nil {
		return reply{}, err
	}
	return plain(memberDocument(m))
}

func (s *Server) removeMember(r *request) (reply, error) {
	o, u, err := s.organizationAndUser(r)
	if err != nil {
		return reply{}, err
	}
	return reply{}, s.db.RemoveMember(r.Context(), o.ID, u.ID)
}

func (s *Server) organizationAndUser(r *request) (postgres.Organization, postgres.User, error) {
	o, err := s.db.Organization(r.Context(), r.PathValue("organization"))
	if err != nil {
		return o, postgres.User{}, err
	}
	u, err := s.db.User(r.Context(), r.PathValue("user"))
	return o, u, err
}
