package api_test

import (
	"net/http"
	"testing"
)

func TestDiscoveryNeedsNoToken(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var got map[string]any
	f.get("/.well-known/terraform.json", "").into(&got)
	equal(t, "services", got, map[string]any{
		"tfe.v2": "/api/v2/", "tfe.v2.1": "/api/v2/", "tfe.v2.2": "/api/v2/", "state.v2": "/api/v2/", "gantry.v1": "/api/gantry/v1/",
		"login.v1": map[string]any{
			"client": "terraform-cli", "grant_types": []any{"authz_code"}, "authz": "/app/~login/terraform", "token": "/oauth2/token",
			"ports": []any{10000.0, 10010.0},
		},
	})
	ping := f.get("/api/v2/ping", "").want(http.StatusNoContent, "")
	equal(t, "headers of ping", []string{ping.header.Get("TFP-API-Version"), ping.header.Get("TFP-AppName")}, []string{"2.6", "Gantry"})
}

func TestAccountIsTheTokens(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	got := decoded[resource[attributes]](f.get("/api/v2/account/details", adminToken), http.StatusOK).Data
	equal(t, "type, username", []any{got.Type, got.Attributes["username"]}, []any{"users", "test"})
}
