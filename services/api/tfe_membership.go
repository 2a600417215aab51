package api

import (
	"net/http"
	"strings"
	"time"

	"gantry.example/services/postgres"
)

// tfeMembership is a user's membership in an organization. Role is Gantry's own: TFE has teams instead.
type tfeMembership struct {
	ID           string           `jsonapi:"primary,organization-memberships"`
	Status       string           `jsonapi:"attr,status"`
	Email        string           `jsonapi:"attr,email"`
	Username     string           `jsonapi:"attr,username"`
	Role         postgres.Role    `jsonapi:"attr,role"`
	CreatedAt    time.Time        `jsonapi:"attr,created-at,iso8601"`
	Organization *organizationRef `jsonapi:"relation,organization"`
	User         *userRef         `jsonapi:"relation,user"`
}

// memberActive is the status of every member: TFE knows invited ones, too.
const memberActive = "active"

type userRef struct {
	ID string `jsonapi:"primary,users"`
}

// tfeMembershipInput names a user by email address, as TFE does, or by name. A role that is not said is read.
type tfeMembershipInput struct {
	ID       string  `jsonapi:"primary,organization-memberships"`
	Email    string  `jsonapi:"attr,email"`
	Username string  `jsonapi:"attr,username"`
	Role     *string `jsonapi:"attr,role"`
}

// tfeMembershipRoutes are TFE's calls about who belongs to an organization.
func (s *Server) tfeMembershipRoutes() []route {
	const of, one = "/api/v2/organizations/{organization}/organization-memberships", "/api/v2/organization-memberships/{membership}"
	return []route{
		{method: "GET", pattern: "/api/v2/organization-memberships", access: person, summary: "List one's own memberships", out: []tfeMembership{}, handle: s.listOwnMemberships},
		{method: "GET", pattern: of, access: person, summary: "List an organization's members", out: []tfeMembership{}, query: paging("include", "filter[email]", "filter[status]", "q"), handle: s.listMemberships},
		{method: "POST", pattern: of, access: person, summary: "Make a user, by email address or username, a member", in: tfeMembershipInput{}, out: tfeMembership{},
			status: http.StatusCreated, create: true, handle: s.createMembership},
		{method: "GET", pattern: one, access: person, summary: "Show a membership", out: tfeMembership{}, query: []string{"include"}, handle: s.showMembership},
		{method: "PATCH", pattern: one, access: person, summary: "Change a member's role", in: tfeMembershipInput{}, out: tfeMembership{}, handle: s.updateMembership},
		{method: "DELETE", pattern: one, access: person, summary: "End a membership", handle: s.deleteMembership},
	}
}

func membershipDocument(m postgres.Membership) *tfeMembership {
	return &tfeMembership{
		ID: m.ID, Status: memberActive, Email: m.Email, Username: m.Username, Role: m.Role, CreatedAt: m.CreatedAt,
		Organization: &organizationRef{m.Organization}, User: &userRef{m.UserID},
	}
}

func (s *Server) answerMembership(r *request, m postgres.Membership) (reply, error) {
	side := r.include()
	if err := s.sideMember(r, side, m); err != nil {
		return reply{}, err
	}
	return object(membershipDocument(m), side.docs...)
}

// sideMember loads the user if it is asked for.
func (s *Server) sideMember(r *request, side *sideLoad, m postgres.Membership) error {
	return side.add("user", m.UserID, func() (any, error) {
		u, err := s.db.User(r.Context(), m.UserID)
		return userDocument(u), err
	})
}

func (s *Server) listOwnMemberships(r *request) (reply, error) {
	all, err := s.db.MembershipsOf(r.Context(), r.token.UserID)
	if err != nil {
		return reply{}, err
	}
	out := []*tfeMembership{}
	for _, m := range all {
		out = append(out, membershipDocument(m))
	}
	return list(out, postgres.Page{Size: max(len(out), 1)}, len(out))
}

func (s *Server) listMemberships(r *request) (reply, error) {
	p, err := r.page()
	if err != nil {
		return reply{}, err
	}
	o, err := s.db.Organization(r.Context(), r.PathValue("organization"))
	if err != nil {
		return reply{}, err
	}
	q := r.URL.Query()
	f := postgres.MemberFilter{Emails: words(strings.Join(q["filter[email]"], ",")), Part: q.Get("q"), Page: p}
	if status := q.Get("filter[status]"); status != "" && status != memberActive {
		return list([]*tfeMembership{}, p, 0) // nobody is invited here
	}
	all, total, err := s.db.Members(r.Context(), o.ID, f)
	if err != nil {
		return reply{}, err
	}
	out, side := make([]*tfeMembership, len(all)), r.include()
	for i, m := range all {
		out[i] = membershipDocument(m)
		if err := s.sideMember(r, side, m); err != nil {
			return reply{}, err
		}
	}
	return list(out, p, total, side.docs...)
}

func (s *Server) createMembership(r *request) (reply, error) {
	var in tfeMembershipInput
	if err := r.decodeObject(&in); err != nil {
		return reply{}, err
	}
	o, err := s.db.Organization(r.Context(), r.PathValue("organization"))
	if err != nil {
		return reply{}, err
	}
	ref := in.Email
	if ref == "" {
		ref = in.Username
	}
	u, err := s.db.User(r.Context(), ref)
	if isNotFound(err) {
		return reply{}, invalid("field email: there is no user %q: this server sends no invitations, so a site admin creates users first (gantry users new)", ref)
	}
	if err != nil {
		return reply{}, err
	}
	role := postgres.RoleRead
	if in.Role != nil {
		role = postgres.Role(*in.Role)
	}
	m, err := s.db.SetMember(r.Context(), o.ID, u.ID, role)
	if err != nil {
		return reply{}, err
	}
	return object(membershipDocument(m), userDocument(u)) // with the user, as TFE does
}

func (s *Server) showMembership(r *request) (reply, error) {
	m, err := s.db.Membership(r.Context(), r.PathValue("membership"))
	if err != nil {
		return reply{}, err
	}
	return s.answerMembership(r, m)
}

func (s *Server) updateMembership(r *request) (reply, error) {
	var in tfeMembershipInput
	if err := r.decodeObject(&in); err != nil {
		return reply{}, err
	}
	m, err := s.db.Membership(r.Context(), r.PathValue("membership"))
	if err == nil && in.Role != nil {
		m, err = s.db.SetMember(r.Context(), m.OrganizationID, m.UserID, postgres.Role(*in.Role))
	}
	if err != nil {
		return reply{}, err
	}
	return s.answerMembership(r, m)
}

func (s *Server) deleteMembership(r *request) (reply, error) {
	m, err := s.db.Membership(r.Context(), r.PathValue("membership"))
	if err != nil {
		return reply{}, err
	}
	return reply{}, s.db.RemoveMember(r.Context(), m.OrganizationID, m.UserID)
}
