package api_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
	"time"

	"gantry.example/messages"
	"gantry.example/services/postgres"
)

func TestACodeIsGoodOnceAndForItsProgram(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx := t.Context()
	const verifier, at = "the verifier of this login", "http://localhost:10000/login"
	sum := sha256.Sum256([]byte(verifier))
	challenge := base64.RawURLEncoding.EncodeToString(sum[:])
	u, _ := f.member("ann", "default", postgres.RoleRead)
	session, _, err := f.db.CreateSession(ctx, postgres.Token{Kind: postgres.TokenUser, UserID: u.ID}, time.Hour)
	must(t, err)
	code := func() string {
		t.Helper()
		c, err := f.db.CreateCode(ctx, session, challenge, at)
		must(t, err)
		return c
	}
	exchange := func(change url.Values) (int, map[string]string) {
		t.Helper()
		form := url.Values{
			"client_id": {"terraform-cli"}, "code_verifier": {verifier}, "grant_type": {"authorization_code"}, "redirect_uri": {at},
		}
		for k, v := range change {
			form[k] = v
		}
		a := f.call("POST", "/oauth2/token", "", []byte(form.Encode()), "Content-Type", "application/x-www-form-urlencoded")
		equal(t, "cached", a.header.Get("Cache-Control"), "no-store")
		var out map[string]string
		must(t, json.Unmarshal(a.body, &out))
		return a.status, out
	}
	refused := func(want string, change url.Values) {
		t.Helper()
		if status, got := exchange(change); status != http.StatusBadRequest || got["error"] != want || got["access_token"] != "" {
			t.Errorf("%v: got %d %v, want the error %s", change, status, got, want)
		}
	}
	first := code()
	status, got := exchange(url.Values{"code": {first}})
	if status != http.StatusOK || got["token_type"] != "bearer" {
		t.Fatalf("got %d %v, want a token", status, got)
	}
	account := decoded[resource[attributes]](f.get("/api/v2/account/details", got["access_token"]), http.StatusOK).Data
	equal(t, "whose token", account.Attributes["username"], any("ann"))
	refused("invalid_grant", url.Values{"code": {first}})

	for field, value := range map[string]string{"code_verifier": "another", "redirect_uri": "http://localhost:10001/login"} {
		c := code()
		refused("invalid_grant", url.Values{"code": {c}, field: {value}})
		refused("invalid_grant", url.Values{"code": {c}}) // the first try used it up
	}
	refused("invalid_grant", url.Values{"code": {"gantry-oc-none"}})
	refused("unsupported_grant_type", url.Values{"code": {code()}, "grant_type": {"password"}})
	refused("invalid_client", url.Values{"code": {code()}, "client_id": {"other"}})
	left := code()
	must(t, f.db.EndSession(ctx, session))
	refused("invalid_grant", url.Values{"code": {left}})
}

func TestTokensAreLookedAfterByTheirOwn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ann, annToken := f.member("ann", "default", postgres.RoleWrite)
	_, bobToken := f.member("bob", "default", postgres.RoleAdmin)
	path := "/api/v2/users/" + ann.ID + "/authentication-tokens"
	made := decoded[resource[attributes]](f.post(path, annToken, doc("authentication-tokens", attributes{"description": "laptop"})), http.StatusCreated).Data
	secret, _ := made.Attributes["token"].(string)
	f.get("/api/v2/account/details", secret).want(http.StatusOK, "").wantDetail("ann")
	equal(t, "tokens of ann", len(decoded[resources[attributes]](f.get(path, annToken), http.StatusOK).Data), 2)
	f.get(path, bobToken).want(http.StatusForbidden, messages.CodeForbidden)
	one := "/api/v2/authentication-tokens/" + made.ID
	f.get(one, bobToken).want(http.StatusNotFound, messages.CodeNotFound)
	f.call("DELETE", one, bobToken, nil).want(http.StatusNotFound, messages.CodeNotFound)
	if got := decoded[resource[attributes]](f.get(one, annToken), http.StatusOK).Data; got.Attributes["token"] != nil {
		t.Errorf("got %v, want no secret", got.Attributes)
	}
	f.call("DELETE", one, annToken, nil).want(http.StatusNoContent, "")
	f.get(path, secret).want(http.StatusUnauthorized, messages.CodeUnauthorized)

	const ci = "/api/v2/organizations/default/authentication-token"
	f.get(ci, bobToken).want(http.StatusNotFound, messages.CodeNotFound)
	first := decoded[resource[attributes]](f.call("POST", ci, bobToken, nil), http.StatusCreated).Data.Attributes["token"].(string)
	second := decoded[resource[attributes]](f.call("POST", ci, bobToken, nil), http.StatusCreated).Data.Attributes["token"].(string)
	f.get("/api/v2/organizations/default", first).want(http.StatusUnauthorized, messages.CodeUnauthorized)
	f.get("/api/v2/organizations/default", second).want(http.StatusOK, "")
	f.call("DELETE", ci, annToken, nil).want(http.StatusForbidden, messages.CodeForbidden)
	f.call("DELETE", ci, bobToken, nil).want(http.StatusNoContent, "")

	const tokens = "/api/gantry/v1/tokens"
	f.post(tokens, annToken, attributes{"description": "x", "organization": "default"}).want(http.StatusForbidden, messages.CodeForbidden)
	f.post(tokens, annToken, attributes{"description": "x", "organization": "none"}).want(http.StatusNotFound, messages.CodeNotFound)
	f.post(tokens, annToken, attributes{"description": "x", "role": "read"}).want(http.StatusUnprocessableEntity, messages.CodeInvalid)
	var own shownToken
	must(t, json.Unmarshal(f.post(tokens, annToken, attributes{"description": "mine"}).want(http.StatusCreated, "").body, &own))
	equal(t, "kind of a user's token", own.Kind, "user")
	must(t, json.Unmarshal(f.post(tokens, bobToken, attributes{"description": "ci", "organization": "default", "role": "plan"}).want(http.StatusCreated, "").body, &own))
	equal(t, "kind of an organization's token", own.Kind, "organization")
	f.post(tokens, own.Token, attributes{"description": "x"}).want(http.StatusForbidden, messages.CodeForbidden)
}

func TestUsersAndMembers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const users, members = "/api/gantry/v1/users", "/api/gantry/v1/organizations/default/members"
	f.post(users, adminToken, attributes{"username": "ann", "email": "ann@example.com", "password": "correct horse battery"}).want(http.StatusCreated, "")
	bob, bobToken := f.member("bob", "default", postgres.RoleAdmin)
	f.get(users+"/ann", bobToken).want(http.StatusNotFound, messages.CodeNotFound)
	made := decoded[resource[attributes]](f.post("/api/v2/organizations/default/organization-memberships", bobToken,
		doc("organization-memberships", attributes{"email": "ann@example.com"})), http.StatusCreated).Data
	equal(t, "role, status", []any{made.Attributes["role"], made.Attributes["status"]}, []any{"read", "active"})
	one := "/api/v2/organization-memberships/" + made.ID
	if side := decoded[resource[attributes]](f.get(one+"?include=user", bobToken), http.StatusOK).Included; len(side) != 1 || side[0].Type != "users" {
		t.Errorf("got %v beside the membership, want the user", side)
	}
	f.patch(one, bobToken, doc("organization-memberships", attributes{"role": "plan"})).want(http.StatusOK, "").wantDetail(`"plan"`)
	f.call("PUT", members+"/ann", bobToken, []byte(`{"role":"owner"}`)).want(http.StatusUnprocessableEntity, messages.CodeInvalid)
	f.call("PUT", members+"/bob", bobToken, []byte(`{"role":"read"}`)).want(http.StatusConflict, messages.CodeConflict).wantDetail("last admin")
	f.call("DELETE", members+"/bob", bobToken, nil).want(http.StatusConflict, messages.CodeConflict)
	f.call("DELETE", users+"/bob", adminToken, nil).want(http.StatusConflict, messages.CodeConflict)
	f.call("DELETE", members+"/ann", bobToken, nil).want(http.StatusNoContent, "")
	f.post("/api/v2/organizations/default/organization-memberships", bobToken, doc("organization-memberships", attributes{"email": "eve@example.com"})).
		want(http.StatusUnprocessableEntity, messages.CodeInvalid).wantDetail("gantry users new")

	password := func(token, name, current, next string) answer {
		b, err := json.Marshal(attributes{"password": next, "current_password": current})
		must(t, err)
		return f.call("PUT", users+"/"+name+"/password", token, b)
	}
	password(bobToken, "bob", "", "the first passphrase").want(http.StatusNoContent, "") // there was none
	password(bobToken, "bob", "wrong", "another passphrase").want(http.StatusUnprocessableEntity, messages.CodeInvalid).wantDetail("current_password")
	password(bobToken, "bob", "the first passphrase", "another passphrase").want(http.StatusNoContent, "")
	password(adminToken, "bob", "", "given by the admin").want(http.StatusNoContent, "")
	_, eve := f.member("eve", "default", postgres.RoleAdmin)
	password(eve, "bob", "", "taken over by eve").want(http.StatusForbidden, messages.CodeForbidden)
	if _, err := f.db.LogIn(t.Context(), bob.Username, "given by the admin", "::1"); err != nil {
		t.Errorf("log in with the password that the admin gave: %v", err)
	}
}
