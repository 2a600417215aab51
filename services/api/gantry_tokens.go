package api

import (
	"time"

	"gantry.example/services/postgres"
)

// personToken is a token of a person, without its secret.
type personToken struct {
	ID          string             `json:"id"`
	Description string             `json:"description"`
	Kind        postgres.TokenKind `json:"kind"`
	CreatedAt   time.Time          `json:"created_at"`
	ExpiresAt   *time.Time         `json:"expires_at,omitempty"` // none: it does not expire
}

// newToken is the answer to a token's creation, the only one with the secret. It is not kept for an Idempotency-Key, so a
// request that is repeated makes another token.
type newToken struct {
	personToken
	Token string `json:"token"`
}

type tokenInput struct {
	// Description says what the token is for. It is also the name under which its holder is shown.
	Description string `json:"description"`
	// ExpiresIn is a duration such as "720h". Empty means that the token does not expire.
	ExpiresIn string `json:"expires_in,omitempty"`
}

// revokedToken is the answer to a revocation. Own tells that it was the token of this very call, whose caller needs another
// one from now on.
type revokedToken struct {
	ID  string `json:"id"`
	Own bool   `json:"own"`
}

func tokenDocument(t postgres.Token) personToken {
	return personToken{ID: t.ID, Description: t.Description, Kind: t.Kind, CreatedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt}
}

func (s *Server) listTokens(r *request) (reply, error) {
	all, err := s.db.Tokens(r.Context())
	if err != nil {
		return reply{}, err
	}
	out := make([]personToken, len(all))
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
	var life time.Duration
	if in.ExpiresIn != "" {
		var err error
		if life, err = time.ParseDuration(in.ExpiresIn); err != nil || life < time.Second {
			return reply{}, invalid("field expires_in: %q is not a duration of at least 1s, such as 720h", in.ExpiresIn)
		}
	}
	t, secret, err := s.db.CreateToken(r.Context(), in.Description, life)
	if err != nil {
		return reply{}, err
	}
	rep, err := plain(newToken{tokenDocument(t), secret})
	rep.header = map[string][]string{"Cache-Control": {"no-store"}}
	return rep, err
}

func (s *Server) revokeToken(r *request) (reply, error) {
	id := r.PathValue("token")
	if err := s.db.RevokeToken(r.Context(), id); err != nil {
		return reply{}, err
	}
	return plain(revokedToken{ID: id, Own: id == r.token.ID})
}
