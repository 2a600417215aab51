package api

import (
	"time"

	"gantry.example/services/postgres"
)

// shownToken is a token of a person or an organization, without its secret.
type shownToken struct {
	ID           string             `json:"id"`
	Description  string             `json:"description"`
	Kind         postgres.TokenKind `json:"kind"`
	Username     string             `json:"username,omitempty"`     // of a user's token
	Organization string             `json:"organization,omitempty"` // of an organization's token: its name
	Role         postgres.Role      `json:"role,omitempty"`         // there
	CreatedBy    string             `json:"created_by,omitempty"`
	CreatedAt    time.Time          `json:"created_at"`
	ExpiresAt    *time.Time         `json:"expires_at,omitempty"` // none: it does not expire
}

// newToken is the answer to a token's creation, the only one with the secret. It is not kept for an Idempotency-Key, so a
// request that is repeated makes another token.
type newToken struct {
	shownToken
	Token string `json:"token"`
}

type tokenInput struct {
	// Description says what the token is for.
	Description string `json:"description"`
	// ExpiresIn is a duration such as "720h". Empty means that the token does not expire.
	ExpiresIn string `json:"expires_in,omitempty"`
	// Organization (id or name) makes it a token of the organization, with Role there, write where none is named. Else it is
	// the caller's own, and may what the caller may.
	Organization string        `json:"organization,omitempty"`
	Role         postgres.Role `json:"role,omitempty"`
}

// revokedToken is the answer to a revocation. Own tells that it was the token of this very call, whose caller needs another
// one from now on.
type revokedToken struct {
	ID  string `json:"id"`
	Own bool   `json:"own"`
}

func tokenDocument(t postgres.Token) shownToken {
	return shownToken{
		ID: t.ID, Description: t.Description, Kind: t.Kind, Username: t.Username, Organization: t.Organization, Role: t.Role,
		CreatedBy: t.CreatedBy, CreatedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt,
	}
}

func (s *Server) listTokens(r *request) (reply, error) {
	all, err := s.db.Tokens(r.Context(), r.token)
	if err != nil {
		return reply{}, err
	}
	out := make([]shownToken, len(all))
	for i, t := range all {
		out[i] = tokenDocument(t)
	}
	return plain(out)
}

func (s *Server) createToken(r *request) (reply, error) {
	var in tokenInput
	if err := r.decode(&in); err != nil {
		return reply{}, err
	}
	create := postgres.NewToken{Description: in.Description, UserID: r.token.UserID, CreatedBy: r.token.Actor(), CreatedByID: accountID(r.token)}
	var err error
	if create.Life, err = tokenLife(in.ExpiresIn); err != nil {
		return reply{}, err
	}
	switch {
	case in.Organization != "":
		o, err := s.administered(r, in.Organization)
		if err != nil {
			return reply{}, err
		}
		create.OrganizationID, create.UserID, create.Role = o.ID, "", in.Role
		if in.Role == "" {
			create.Role = postgres.RoleWrite
		}
	case in.Role != "":
		return reply{}, invalid("field role: only the token of an organization has one: name the organization too")
	case r.token.OrganizationID != "":
		return reply{}, forbidden("the token of an organization or a team makes no tokens of people: name the organization")
	}
	t, secret, err := s.db.CreateToken(r.Context(), create)
	if err != nil {
		return reply{}, err
	}
	return secretReply(plain(newToken{tokenDocument(t), secret}))
}

// tokenLife is how long a new token is good; 0 for one that does not expire.
func tokenLife(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	life, err := time.ParseDuration(text)
	if err != nil || life < time.Second {
		return 0, invalid("field expires_in: %q is not a duration of at least 1s, such as 720h", text)
	}
	return life, nil
}

// administered finds an organization by id or name for its admins.
func (s *Server) administered(r *request, ref string) (postgres.Organization, error) {
	if err := s.admit(r, thing{"organization", ref}, thing{"organization", ref}, postgres.RoleAdmin); err != nil {
		return postgres.Organization{}, err
	}
	return s.db.Organization(r.Context(), ref)
}

// secretReply keeps caches from an answer with a secret.
func secretReply(rep reply, err error) (reply, error) {
	rep.header = map[string][]string{"Cache-Control": {"no-store"}}
	return rep, err
}

func (s *Server) revokeToken(r *request) (reply, error) {
	id := r.PathValue("token")
	if err := s.db.RevokeToken(r.Context(), r.token, id); err != nil {
		return reply{}, err
	}
	return plain(revokedToken{ID: id, Own: id == r.token.ID})
}
