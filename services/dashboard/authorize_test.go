package dashboard_test

import (
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"gantry.example/services/postgres"
)

const (
	verifier = "a verifier that terraform made up for this very login"
	waitsAt  = "http://localhost:10005/login"
)

func challenge() string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// asks is what terraform login puts into the address it opens.
func asks() url.Values {
	return url.Values{
		"client_id": {"terraform-cli"}, "code_challenge": {challenge()}, "code_challenge_method": {"S256"}, "redirect_uri": {waitsAt},
		"response_type": {"code"}, "state": {"a&b=c"},
	}
}

// csrf reads the session's own token from a page.
func (a answer) csrf() string {
	a.t.Helper()
	found := regexp.MustCompile(`name="csrf" value="([^"]+)"`).FindStringSubmatch(a.body)
	if len(found) != 2 {
		a.t.Fatalf("%s: got a page without a form:\n%s", a.call, a.body)
	}
	return found[1]
}

const authorizePath = "/app/~login/terraform"

// member makes a user with a password and a role in the organization default.
func (f *fixture) member(name string, role postgres.Role) postgres.User {
	f.t.Helper()
	ctx := f.t.Context()
	u, err := f.db.CreateUser(ctx, postgres.NewUser{Username: name, Email: name + "@example.com", Password: "correct horse battery"})
	must(f.t, err)
	if role != postgres.RoleNone {
		o, err := f.db.Organization(ctx, "default")
		must(f.t, err)
		_, err = f.db.SetMember(ctx, o.ID, u.ID, role)
		must(f.t, err)
	}
	return u
}

func (f *fixture) logInAs(name, password, next string) answer {
	f.t.Helper()
	return f.do("POST", "/app/login", url.Values{"username": {name}, "password": {password}, "next": {next}})
}

func TestTerraformLogsIn(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	u := f.member("ann", postgres.RoleRead)
	address := authorizePath + "?" + asks().Encode()
	f.get(address).leadsTo(http.StatusSeeOther, "/app/login?next="+url.QueryEscape(address))
	f.logInAs("ann", "correct horse battery", address).leadsTo(http.StatusSeeOther, address)
	page := f.get(address).want(http.StatusOK, "everything ann can do", `value="`+waitsAt+`"`)
	if policy := page.header.Get("Content-Security-Policy"); !strings.Contains(policy, "form-action 'self' http://localhost:10005;") {
		t.Errorf("got policy %q, want one that lets the answer lead to the program and nowhere else", policy)
	}
	form := url.Values{"csrf": {page.csrf()}, "redirect_uri": {waitsAt}, "code_challenge": {challenge()}, "state": {"a&b=c"}, "answer": {"allow"}}
	leads := f.do("POST", authorizePath, form).want(http.StatusSeeOther).header.Get("Location")
	to := parse(t, leads)
	if !strings.HasPrefix(leads, waitsAt+"?") || to.Query().Get("state") != "a&b=c" {
		t.Errorf("got a redirect to %q, want the program's address with its state", leads)
	}
	code := to.Query().Get("code")
	_, secret, err := f.db.ExchangeCode(t.Context(), code, verifier, waitsAt, "terraform login")
	must(t, err)
	holder, err := f.db.Token(t.Context(), secret)
	must(t, err)
	if holder.UserID != u.ID || holder.Kind != postgres.TokenUser {
		t.Errorf("got a token of %+v, want one of ann", holder)
	}
	form.Set("answer", "refuse")
	refused := parse(t, f.do("POST", authorizePath, form).want(http.StatusSeeOther).header.Get("Location")).Query()
	if refused.Get("error") != "access_denied" || refused.Has("code") {
		t.Errorf("got %v, want the refusal and no code", refused)
	}
}

func TestWhatTerraformLoginDoesNotAskFor(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	f.logIn(adminToken, "")
	csrf := f.get("/app/").csrf()
	for field, values := range map[string][]string{
		"client_id": {"", "other"}, "response_type": {"token"}, "code_challenge_method": {"plain", ""}, "code_challenge": {""},
		"state": {strings.Repeat("x", 1025)},
		"redirect_uri": {
			"", "https://localhost:10005/login", "http://evil.example:10005/login", "http://localhost:9999/login", "http://localhost:10011/login",
			"http://localhost/login", "http://localhost:10005@evil.example/", "http://localhost.evil.example:10005/", "http://127.0.0.1:10005/login",
			"//localhost:10005/login", "http://localhost:10005/login?x=1", "http://localhost:10005/login#x", "javascript:alert(1)",
		},
	} {
		for _, value := range values {
			q := maps.Clone(asks())
			q.Set(field, value)
			f.get(authorizePath+"?"+q.Encode()).want(http.StatusBadRequest, "terraform login")
			if field != "redirect_uri" && field != "code_challenge" {
				continue
			}
			for _, answer := range []string{"allow", "refuse"} {
				if field == "code_challenge" && answer == "refuse" {
					continue
				}
				form := url.Values{"csrf": {csrf}, "redirect_uri": {q.Get("redirect_uri")}, "code_challenge": {q.Get("code_challenge")}, "answer": {answer}}
				if got := f.do("POST", authorizePath, form).want(http.StatusBadRequest).header.Get("Location"); got != "" {
					t.Errorf("%s %q: got a redirect to %q, want none", field, value, got)
				}
			}
		}
	}
	form := url.Values{"csrf": {"gantry-cs-wrong"}, "redirect_uri": {waitsAt}, "code_challenge": {challenge()}, "answer": {"allow"}}
	f.do("POST", authorizePath, form).want(http.StatusForbidden, "did not come from a page of this session")
	form.Set("csrf", csrf)
	f.do("POST", authorizePath, form, "Origin", "https://evil.example").want(http.StatusForbidden)
}

func TestPasswordLogins(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	f.member("ann", postgres.RoleRead)
	f.logInAs("ann", "wrong", "").want(http.StatusUnauthorized, "The name or the password is wrong")
	f.logInAs("nobody", "wrong", "").want(http.StatusUnauthorized, "The name or the password is wrong")
	f.logInAs(" ann@EXAMPLE.com", "correct horse battery", "").leadsTo(http.StatusSeeOther, "/app/")
	f.get("/app/~workspaces").want(http.StatusOK, ">ann</a>", "network")
	for range 10 {
		f.logInAs("ann", "wrong", "").want(http.StatusUnauthorized)
	}
	f.logInAs("ann", "correct horse battery", "").want(http.StatusTooManyRequests, "Too many logins failed")
}

func TestPagesAreForMembers(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	u := f.member("ann", postgres.RoleNone)
	r := f.newRun("secret plans")
	f.logInAs("ann", "correct horse battery", "")
	one := "/app/default/network/runs/" + r.ID
	for _, path := range []string{"/app/default/network", "/app/default/network/runs", one, one + "/logs/plan", one + "/events"} {
		got := f.get(path).want(http.StatusNotFound)
		if strings.Contains(got.body, "secret plans") {
			t.Errorf("%s: shows the run to who is no member", path)
		}
	}
	if home := f.get("/app/").want(http.StatusOK); strings.Contains(home.body, "network") {
		t.Error("the first page lists workspaces of others")
	}
	o, err := f.db.Organization(t.Context(), "default")
	must(t, err)
	_, err = f.db.SetMember(t.Context(), o.ID, u.ID, postgres.RoleRead)
	must(t, err)
	f.get(one).want(http.StatusOK, "secret plans")
}

func TestTokensOfOnesOwn(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	u := f.member("ann", postgres.RoleRead)
	f.member("bob", postgres.RoleAdmin)
	f.logInAs("bob", "correct horse battery", "")
	const path = "/app/settings/tokens"
	csrf := f.get(path+"?source=terraform-login").want(http.StatusOK, "Tokens of bob").csrf()
	f.do("POST", path, url.Values{"csrf": {csrf}, "description": {"bob's"}}).want(http.StatusOK, "shown this one time")
	f.logInAs("ann", "correct horse battery", "")
	page := f.get(path)
	if strings.Contains(page.body, "bob's") {
		t.Error("a token of another user is listed")
	}
	csrf = page.csrf()
	f.do("POST", path, url.Values{"csrf": {csrf}, "description": {""}}).want(http.StatusUnprocessableEntity, "Field description")
	f.do("POST", path, url.Values{"csrf": {"other"}, "description": {"x"}}).want(http.StatusForbidden)
	made := f.do("POST", path, url.Values{"csrf": {csrf}, "description": {"laptop"}, "life": {"720h"}}).want(http.StatusOK, "laptop")
	secret := regexp.MustCompile(`gantry-[A-Za-z0-9]{43}`).FindString(made.body)
	holder, err := f.db.Token(t.Context(), secret)
	must(t, err)
	if holder.UserID != u.ID || holder.ExpiresAt == nil {
		t.Errorf("got %+v, want a token of ann that expires", holder)
	}
	if strings.Contains(f.get(path).body, secret) {
		t.Error("the token is shown again")
	}
	f.do("POST", path, url.Values{"csrf": {csrf}, "revoke": {holder.ID}}).leadsTo(http.StatusSeeOther, path)
	if _, err := f.db.Token(t.Context(), secret); err == nil {
		t.Error("a revoked token is good")
	}
	change := func(current, next string) answer {
		return f.do("POST", "/app/settings/password", url.Values{"csrf": {csrf}, "current": {current}, "password": {next}})
	}
	change("wrong", "a new passphrase").want(http.StatusUnprocessableEntity, "The present password is wrong")
	change("correct horse battery", "short").want(http.StatusUnprocessableEntity, "10 to 200")
	change("correct horse battery", "a new passphrase").want(http.StatusOK, "The password is changed")
	f.get(path).want(http.StatusOK)
	f.logInAs("ann", "a new passphrase", "").leadsTo(http.StatusSeeOther, "/app/")
}
