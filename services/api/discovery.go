package api

import "net/http"

const (
	pathTFE    = "/api/v2/"
	pathGantry = "/api/gantry/v1/"
)

// discoveryRoutes are what a client asks before it has anything else.
func (s *Server) discoveryRoutes() []route {
	return []route{
		{method: "GET", pattern: "/.well-known/terraform.json", access: public, summary: "Say which services this host offers, and where",
			out: map[string]string{}, handle: discover},
		{method: "GET", pattern: "/api/v2/ping", access: public, summary: "Answer with the version headers alone",
			status: http.StatusNoContent, handle: func(*request) (reply, error) { return reply{}, nil }},
	}
}

// discover answers Terraform's service discovery. The cloud block reads tfe.v2, the backend "remote" tfe.v2.1, and state.v2
// when it is made to run locally.
func discover(*request) (reply, error) {
	return plain(map[string]string{
		"tfe.v2": pathTFE, "tfe.v2.1": pathTFE, "tfe.v2.2": pathTFE, "state.v2": pathTFE, "gantry.v1": pathGantry,
	})
}
