package api

import (
	"cmp"
	"encoding/json"
	"net/http"
	"time"

	"gantry.example/services/postgres"
)

// tfeToken is a token of a person, a team or an organization. Token is in the answer to its creation only.
type tfeToken struct {
	ID          string     `jsonapi:"primary,authentication-tokens"`
	CreatedAt   time.Time  `jsonapi:"attr,created-at,iso8601"`
	LastUsedAt  *time.Time `jsonapi:"attr,last-used-at,iso8601"`
	Description *string    `jsonapi:"attr,description"` // none: the one token of a team
	Token       *string    `jsonapi:"attr,token"`
	ExpiredAt   *time.Time `jsonapi:"attr,expired-at,iso8601"`
	CreatedBy   *userRef   `jsonapi:"relation,created-by,omitempty"`
	Team        *teamRef   `jsonapi:"relation,team,omitempty"`
}

type tfeTokenInput struct {
	ID          string     `jsonapi:"primary,authentication-tokens"`
	Description string     `jsonapi:"attr,description"`
	ExpiredAt   *time.Time `jsonapi:"attr,expired-at,iso8601"`
}

// tfeTokenRoutes are TFE's calls about tokens.
func (s *Server) tfeTokenRoutes() []route {
	const ofUser, one = "/api/v2/users/{user}/authentication-tokens", "/api/v2/authentication-tokens/{token}"
	const ofOrganization = "/api/v2/organizations/{organization}/authentication-token"
	return []route{
		{method: "GET", pattern: ofUser, access: person, summary: "List one's own tokens", out: []tfeToken{}, handle: s.listUserTokens},
		{method: "POST", pattern: ofUser, access: person, summary: "Create a token of one's own; its secret is in this answer and nowhere else",
			in: tfeTokenInput{}, out: tfeToken{}, status: http.StatusCreated, handle: s.createUserToken},
		{method: "GET", pattern: one, access: person, summary: "Show a token one looks after", out: tfeToken{}, handle: s.showToken},
		{method: "DELETE", pattern: one, access: person, summary: "Revoke a token one looks after", handle: s.deleteToken},
		{method: "GET", pattern: ofOrganization, access: person, summary: "Show the organization's token made by this call", out: tfeToken{}, handle: s.showOrganizationToken},
		{method: "POST", pattern: ofOrganization, access: person, summary: "Create the organization's token, with the role admin, in place of the one there is",
			in: tfeTokenInput{}, out: tfeToken{}, status: http.StatusCreated, handle: s.createOrganizationToken},
		{method: "DELETE", pattern: ofOrganization, access: person, summary: "Revoke the organization's token made by this call", handle: s.deleteOrganizationToken},
	}
}

func tfeTokenDocument(t postgres.Token, secret string) *tfeToken {
	doc := &tfeToken{ID: t.ID, CreatedAt: t.CreatedAt, Description: &t.Description, ExpiredAt: t.ExpiresAt}
	if t.TeamID != "" {
		doc.Team = &teamRef{t.TeamID}
	}
	if t.Description == theTeamToken && t.TeamID != "" {
		doc.Description = nil
	}
	if t.CreatedByID != "" {
		doc.CreatedBy = &userRef{t.CreatedByID}
	}
	if secret != "" {
		doc.Token = &secret
	}
	return doc
}

// tokenInput reads what is said about a new token, and when the token expires. A body may be missing: Terraform's provider sends none.
func (r *request) tokenInput() (tfeTokenInput, time.Duration, error) {
	var in tfeTokenInput
	if len(r.body) == 0 {
		return in, 0, nil
	}
	r.body = ofTokenType(r.body)
	if err := r.decodeObject(&in); err != nil || in.ExpiredAt == nil {
		return in, 0, err
	}
	life := time.Until(*in.ExpiredAt)
	if life < time.Second {
		return in, 0, invalid("field expired-at: %s is not in the future", in.ExpiredAt.Format(time.RFC3339))
	}
	return in, life, nil
}

// ofTokenType is the document with the type that all tokens have: go-tfe says agent-tokens of an agent's, and none of an
// organization's.
func ofTokenType(body []byte) []byte {
	var doc struct {
		Data map[string]json.RawMessage `json:"data"`
	}
	if json.Unmarshal(body, &doc) != nil || doc.Data == nil {
		return body // is refused by who reads it
	}
	switch string(doc.Data["type"]) {
	case "", `""`, `"agent-tokens"`:
		doc.Data["type"] = json.RawMessage(`"authentication-tokens"`)
	}
	out, err := json.Marshal(doc)
	if err != nil {
		return body
	}
	return out
}

// ownUser is the user of the path, who must be the caller.
func (s *Server) ownUser(r *request) (postgres.User, error) {
	u, err := s.visibleUser(r)
	if err == nil && u.ID != r.token.UserID {
		err = forbidden("these are the tokens of another user")
	}
	return u, err
}

func (s *Server) listUserTokens(r *request) (reply, error) {
	u, err := s.ownUser(r)
	if err != nil {
		return reply{}, err
	}
	all, err := s.db.Tokens(r.Context(), postgres.Token{Kind: postgres.TokenUser, UserID: u.ID})
	if err != nil {
		return reply{}, err
	}
	out := []*tfeToken{}
	for _, t := range all {
		if t.UserID == u.ID {
			out = append(out, tfeTokenDocument(t, ""))
		}
	}
	return list(out, postgres.Page{Size: max(len(out), 1)}, len(out))
}

func (s *Server) createUserToken(r *request) (reply, error) {
	u, err := s.ownUser(r)
	if err != nil {
		return reply{}, err
	}
	in, life, err := r.tokenInput()
	if err != nil {
		return reply{}, err
	}
	description := cmp.Or(in.Description, "made by TFE's call") // which need not say what for
	t, secret, err := s.db.CreateToken(r.Context(), postgres.NewToken{Description: description, Life: life, UserID: u.ID, CreatedBy: r.token.Actor(), CreatedByID: accountID(r.token)})
	if err != nil {
		return reply{}, err
	}
	return secretReply(object(tfeTokenDocument(t, secret)))
}

func (s *Server) showToken(r *request) (reply, error) {
	t, err := s.db.ManagedToken(r.Context(), r.token, r.PathValue("token"))
	if err != nil {
		return reply{}, err
	}
	return object(tfeTokenDocument(t, ""))
}

func (s *Server) deleteToken(r *request) (reply, error) {
	return reply{}, s.db.RevokeToken(r.Context(), r.token, r.PathValue("token"))
}

// theToken is the description of the one token that TFE knows of an organization. Gantry's own call makes any number.
const theToken = "token of the organization"

// organizationToken finds that token.
func (s *Server) organizationToken(r *request) (postgres.Token, error) {
	o, err := s.db.Organization(r.Context(), r.PathValue("organization"))
	if err != nil {
		return postgres.Token{}, err
	}
	all, err := s.db.Tokens(r.Context(), r.token)
	if err != nil {
		return postgres.Token{}, err
	}
	for _, t := range all {
		if t.Kind == postgres.TokenOrganization && t.OrganizationID == o.ID && t.Description == theToken {
			return t, nil
		}
	}
	return postgres.Token{}, notFound("token of organization", o.Name)
}

func (s *Server) showOrganizationToken(r *request) (reply, error) {
	t, err := s.organizationToken(r)
	if err != nil {
		return reply{}, err
	}
	return object(tfeTokenDocument(t, ""))
}

func (s *Server) createOrganizationToken(r *request) (reply, error) {
	_, life, err := r.tokenInput()
	if err != nil {
		return reply{}, err
	}
	o, err := s.db.Organization(r.Context(), r.PathValue("organization"))
	if err != nil {
		return reply{}, err
	}
	t, secret, err := s.db.CreateSoleToken(r.Context(), postgres.NewToken{
		Description: theToken, Life: life, OrganizationID: o.ID, Role: postgres.RoleAdmin, CreatedBy: r.token.Actor(), CreatedByID: accountID(r.token),
	}, true)
	if err != nil {
		return reply{}, err
	}
	return secretReply(object(tfeTokenDocument(t, secret)))
}

func (s *Server) deleteOrganizationToken(r *request) (reply, error) {
	t, err := s.organizationToken(r)
	if err != nil {
		return reply{}, err
	}
	return reply{}, s.db.RevokeToken(r.Context(), r.token, t.ID)
}
