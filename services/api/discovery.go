package api

import (
	"net/http"
	"net/url"

	"gantry.example/services/postgres"
)

const (
	pathTFE    = "/api/v2/"
	pathGantry = "/api/gantry/v1/"

	pathAuthorize = "/app/~login/terraform" // a page of package dashboard
	pathToken     = "/oauth2/token"
)

// discoveryRoutes are what a client asks before it has anything else.
func (s *Server) discoveryRoutes() []route {
	return []route{
		{method: "GET", pattern: "/.well-known/terraform.json", access: public, summary: "Say which services this host offers, and where",
			out: services{}, handle: discover},
		{method: "POST", pattern: pathToken, access: public, summary: "Exchange the code of a login for a token, as OAuth 2 says: a form, answered in plain JSON",
			in: []byte{}, out: issuedToken{}, handle: s.exchangeCode},
		{method: "GET", pattern: "/api/v2/ping", access: public, summary: "Answer with the version headers alone",
			status: http.StatusNoContent, handle: func(*request) (reply, error) { return reply{}, nil }},
	}
}

// services are what discovery offers. The cloud block reads tfe.v2, the backend "remote" tfe.v2.1, and state.v2 when it is
// made to run locally.
type services struct {
	TFE    string       `json:"tfe.v2"`
	TFE1   string       `json:"tfe.v2.1"`
	TFE2   string       `json:"tfe.v2.2"`
	State  string       `json:"state.v2"`
	Gantry string       `json:"gantry.v1"`
	Login  loginService `json:"login.v1"`
}

// loginService tells "terraform login" where to go: a page for the browser, and where its code is exchanged for a token.
type loginService struct {
	Client string   `json:"client"`
	Grants []string `json:"grant_types"`
	Page   string   `json:"authz"`
	Token  string   `json:"token"`
	Ports  [2]int   `json:"ports"` // the first and the last
}

// discover answers Terraform's service discovery.
func discover(*request) (reply, error) {
	return plain(services{
		TFE: pathTFE, TFE1: pathTFE, TFE2: pathTFE, State: pathTFE, Gantry: pathGantry,
		Login: loginService{
			Client: postgres.LoginClient, Grants: []string{"authz_code"}, Page: pathAuthorize, Token: pathToken,
			Ports: [2]int{postgres.LoginPortMin, postgres.LoginPortMax},
		},
	})
}

// issuedToken is OAuth's good answer.
type issuedToken struct {
	Token string `json:"access_token"`
	Type  string `json:"token_type"`
}

// refusedToken is OAuth's other answer.
type refusedToken struct {
	Code   string `json:"error"`
	Detail string `json:"error_description"`
}

// exchangeCode is the last step of a login: the program behind the redirect address proves by its verifier that it is the
// one which asked for the code.
func (s *Server) exchangeCode(r *request) (reply, error) {
	refuse := func(code, detail string) (reply, error) {
		rep, err := secretReply(plain(refusedToken{code, detail}))
		rep.status = http.StatusBadRequest
		return rep, err
	}
	form, err := url.ParseQuery(string(r.body))
	switch {
	case err != nil:
		return refuse("invalid_request", "the body is not a form")
	case form.Get("grant_type") != "authorization_code":
		return refuse("unsupported_grant_type", "want the grant type authorization_code")
	case form.Get("client_id") != postgres.LoginClient:
		return refuse("invalid_client", "want the client "+postgres.LoginClient)
	}
	_, secret, err := s.db.ExchangeCode(r.Context(), form.Get("code"), form.Get("code_verifier"), form.Get("redirect_uri"), "terraform login")
	if unauthorized(err) {
		return refuse("invalid_grant", err.Error())
	}
	if err != nil {
		return reply{}, err
	}
	return secretReply(plain(issuedToken{secret, "bearer"}))
}
