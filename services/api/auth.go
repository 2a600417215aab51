package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"gantry.example/messages"
	"gantry.example/services/postgres"
)

// authenticate finds out who calls and whether that kind of caller may use the route.
func (s *Server) authenticate(rt route, req *request) error {
	if rt.access == public {
		if rt.permit != nil {
			return rt.permit(req)
		}
		return nil
	}
	if t, ok := held(req.Context()); ok {
		req.token = t
		return nil
	}
	scheme, bearer, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || bearer == "" {
		return &postgres.Error{Code: messages.CodeUnauthorized, Message: "the call needs a token: send the header Authorization: Bearer TOKEN"}
	}
	req.bearer = bearer
	if rt.access == attempt {
		return s.authenticateAttempt(req)
	}
	t, err := s.db.Token(req.Context(), bearer)
	if unauthorized(err) {
		if _, other := s.db.AttemptByToken(req.Context(), bearer); other == nil {
			return wrongKind(rt.access, "attempt")
		}
	}
	if err != nil {
		return err
	}
	if (t.Kind == postgres.TokenPool) != (rt.access == pool) {
		return wrongKind(rt.access, string(t.Kind))
	}
	req.token = t
	return nil
}

// wrongKind is for a good token of another kind: 403, so that its holder does not take it for revoked.
func wrongKind(want access, have string) error {
	return &postgres.Error{Code: messages.CodeForbidden, Message: fmt.Sprintf("this call takes the token of a %s, not of kind %s", want, have)}
}

func unauthorized(err error) bool {
	var coded *postgres.Error
	return errors.As(err, &coded) && coded.Code == messages.CodeUnauthorized
}

// authenticateAttempt also tells the runner on every answer whether its run was asked to stop.
func (s *Server) authenticateAttempt(req *request) error {
	a, err := s.db.AttemptByToken(req.Context(), req.bearer)
	if unauthorized(err) {
		if t, other := s.db.Token(req.Context(), req.bearer); other == nil {
			return wrongKind(attempt, string(t.Kind))
		}
	}
	if err != nil {
		return err
	}
	if id := req.PathValue("attempt"); id != a.ID {
		return &postgres.Error{Code: messages.CodeNotFound, Message: fmt.Sprintf("attempt %q does not exist", id)}
	}
	if a.Expired && !strings.HasSuffix(req.URL.Path, "/state") && !strings.HasSuffix(req.URL.Path, "/result") {
		return &postgres.Error{Code: messages.CodeUnauthorized, Message: "the attempt token is expired: only its state and result are still taken"}
	}
	switch asked, force := a.Run.StopAsked(a.ID); {
	case force:
		req.w.Header().Set(headerCancel, "force")
	case asked:
		req.w.Header().Set(headerCancel, "cancel")
	}
	req.attempt = a
	return nil
}

// signer makes and checks URLs that carry their own permission in the path, because Terraform's CLI sends neither its
// token nor (for logs) the query with them.
type signer struct{ key []byte }

// sign returns a path element that permits doing what with id until the time.
func (s signer) sign(what, id string, until time.Time) string {
	exp := strconv.FormatInt(until.Unix(), 36)
	return exp + "." + s.mac(what, id, exp)
}

// check reports whether the path element permits doing what with id now.
func (s signer) check(what, id, signature string, now time.Time) error {
	exp, mac, _ := strings.Cut(signature, ".")
	until, err := strconv.ParseInt(exp, 36, 64)
	if err != nil || !hmac.Equal([]byte(mac), []byte(s.mac(what, id, exp))) {
		return &postgres.Error{Code: messages.CodeNotFound, Message: "no such address: it is not one this server signed"}
	}
	if now.Unix() > until {
		return &postgres.Error{Code: messages.CodeUnauthorized, Message: "the signed address is expired: read the object again to get a new one"}
	}
	return nil
}

func (s signer) mac(what, id, exp string) string {
	h := hmac.New(sha256.New, s.key)
	_, _ = fmt.Fprintf(h, "%s\n%s\n%s", what, id, exp)
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}
