package api

import (
	"slices"
	"time"

	"gantry.example/messages"
	"gantry.example/services/postgres"
)

// checkPatience is how long a cluster has to answer all questions of a check.
const checkPatience = 30 * time.Second

type k8sTokenInput struct {
	// Description says what the token is for.
	Description string `json:"description"`
	// ExpiresIn is a duration such as "720h". Empty means that the token does not expire.
	ExpiresIn string `json:"expires_in,omitempty"`
}

func (s *Server) k8sTokens(r *request) ([]postgres.Token, string, error) {
	c, err := s.db.K8sConfig(r.Context(), r.PathValue("k8s"))
	if err != nil {
		return nil, "", err
	}
	all, err := s.db.PoolTokens(r.Context(), c.ID)
	return all, c.ID, err
}

func (s *Server) listK8sTokens(r *request) (reply, error) {
	all, _, err := s.k8sTokens(r)
	if err != nil {
		return reply{}, err
	}
	out := make([]shownToken, len(all))
	for i, t := range all {
		out[i] = tokenDocument(t)
	}
	return plain(out)
}

func (s *Server) createK8sToken(r *request) (reply, error) {
	c, err := s.db.K8sConfig(r.Context(), r.PathValue("k8s"))
	if err != nil {
		return reply{}, err
	}
	var in k8sTokenInput
	if err := r.decode(&in); err != nil {
		return reply{}, err
	}
	life, err := tokenLife(in.ExpiresIn)
	if err != nil {
		return reply{}, err
	}
	t, secret, err := s.db.CreateToken(r.Context(), postgres.NewToken{Description: in.Description, Life: life, PoolID: c.ID, CreatedBy: r.token.Actor(), CreatedByID: accountID(r.token)})
	if err != nil {
		return reply{}, err
	}
	return secretReply(plain(newToken{tokenDocument(t), secret}))
}

func (s *Server) revokeK8sToken(r *request) (reply, error) {
	all, id, err := s.k8sTokens(r)
	if err != nil {
		return reply{}, err
	}
	token := r.PathValue("dispatcher")
	if !slices.ContainsFunc(all, func(t postgres.Token) bool { return t.ID == token }) {
		return reply{}, &messages.Failure{Code: messages.CodeNotFound, Message: "k8s config " + id + " has no token " + token}
	}
	return reply{}, s.db.RevokeToken(r.Context(), r.token, token)
}
