package api

import "net/http"

// RouteInfo describes one call of the API, for the OpenAPI document and for tests.
type RouteInfo struct {
	Method  string
	Pattern string // of net/http.ServeMux
	Access  string // who may call: public, person, pool or attempt
	// Needs is what a person's call takes: a role in the organization of its object, "site" for site admins, "own" where it
	// shows and changes only what is the caller's. Empty: nobody may call it.
	Needs   string
	Summary string
	// In and Out are zero values of the bodies' types: nil where there is none, []byte where a body is raw bytes.
	In, Out any
	Media   string   // content type of a good answer, "" where the type of Out says it
	Query   []string // names of the query parameters
	Status  int      // of a good answer
	// Create tells that the call honors Idempotency-Key.
	Create bool
}

// ErrorDocument is the body of every answer that is an error.
type ErrorDocument = errorDocument

// Describe returns every call of the API, in the order of the table. It needs no server.
func Describe() []RouteInfo {
	var out []RouteInfo
	all := rights()
	for _, r := range (&Server{}).routes() {
		status := r.status
		if status == 0 && r.out == nil {
			status = http.StatusNoContent
		} else if status == 0 {
			status = http.StatusOK
		}
		out = append(out, RouteInfo{
			Method: r.method, Pattern: r.pattern, Access: r.access.String(), Needs: all.needs(r), Summary: r.summary, In: r.in, Out: r.out,
			Media: r.media, Query: r.query, Status: status, Create: r.create,
		})
	}
	return out
}
