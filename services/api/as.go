package api

import (
	"context"
	"net/http"

	"gantry.example/services/postgres"
)

// heldKey is the key of a context under which the caller is kept who was authenticated elsewhere. No request from outside has
// a value of it.
type heldKey struct{}

// As returns the API as somebody calls it who was authenticated by other means than a token, which is a session of the pages.
// What a page does goes through it, so that a form meets the same rights and the same handlers as a call. Only calls of
// persons are there, and of streams those that the rights are looked at anew for.
func (s *Server) As(holder postgres.Token) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.inside.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), heldKey{}, holder)))
	})
}

// insideRoutes are the calls that As serves.
func (s *Server) insideRoutes() *http.ServeMux {
	mux := http.NewServeMux()
	for _, r := range s.routes() {
		if r.access == person && (r.media != kindEvents || r.pattern == pathStatusEvents) {
			mux.Handle(r.method+" "+r.pattern, s.serve(r))
		}
	}
	return mux
}

// held is who was authenticated elsewhere, if that is so.
func held(ctx context.Context) (postgres.Token, bool) {
	t, ok := ctx.Value(heldKey{}).(postgres.Token)
	return t, ok
}
