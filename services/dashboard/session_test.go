package dashboard_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

func TestLoginLeadsBackToThePage(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	r := f.newRun("first")
	page := "/app/default/network/runs/" + r.ID
	login := f.get(page+"?x=1").leadsTo(http.StatusSeeOther, "/app/login?next="+url.QueryEscape(page+"?x=1"))
	f.get(login.header.Get("Location")).want(http.StatusOK, `name="token"`, `value="`+page+`?x=1"`)

	in := f.logIn("  "+adminToken+"\n", page).leadsTo(http.StatusSeeOther, page)
	cookie := in.header.Get("Set-Cookie")
	for _, want := range []string{"gantry_session=gantry-se-", "HttpOnly", "SameSite=Lax", "Path=/app", "Max-Age=43200"} {
		if !strings.Contains(cookie, want) {
			t.Errorf("got cookie %q, want it with %s", cookie, want)
		}
	}
	if strings.Contains(cookie, "Secure") {
		t.Errorf("got cookie %q, want one that works without TLS", cookie)
	}
	f.get(page).want(http.StatusOK, "<h1>first</h1>")
	f.get("/app/login?next="+url.QueryEscape(page)).leadsTo(http.StatusSeeOther, page)
}

func TestTheCookieIsForHTTPSOnlyWhereTheServerIs(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "https://gantry.example.com")
	if cookie := f.logIn(adminToken, "").header.Get("Set-Cookie"); !strings.Contains(cookie, "; Secure") {
		t.Errorf("got cookie %q, want it Secure", cookie)
	}
}

func TestTokensThatDoNotLogIn(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	for _, c := range []struct {
		token  string
		status int
		says   string
	}{
		{"gantry-wrong", http.StatusUnauthorized, "unknown, expired or revoked"},
		{" ", http.StatusUnauthorized, "paste a token"},
		{poolToken, http.StatusForbidden, "This is the token of a worker (pool token)"},
	} {
		a := f.logIn(c.token, "/app/default/network").want(c.status, c.says, `name="token"`, `value="/app/default/network"`)
		if a.header.Get("Set-Cookie") != "" || strings.TrimSpace(c.token) != "" && strings.Contains(a.body, c.token) {
			t.Errorf("token %q: got cookie %q and page %s, want no cookie and no token in it", c.token, a.header.Get("Set-Cookie"), a.body)
		}
	}
	f.get("/app/").leadsTo(http.StatusSeeOther, "/app/login?next=%2Fapp%2F")
}

func TestOtherSitesCanNotPost(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	for _, header := range [][2]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"}} {
		a := f.logIn(adminToken, "", header[0], header[1]).want(http.StatusForbidden, "sent from another site")
		if cookie := a.header.Get("Set-Cookie"); cookie != "" {
			t.Errorf("%s: got cookie %q, want none", header, cookie)
		}
	}
	f.logIn(adminToken, "", "Sec-Fetch-Site", "same-origin", "Origin", f.server.URL).want(http.StatusSeeOther)
	f.do("POST", "/app/logout", url.Values{"csrf": {"any"}}, "Origin", "https://evil.example").want(http.StatusForbidden)
	f.get("/app/").want(http.StatusOK)
}

func TestLogoutTakesTheSessionsOwnToken(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	f.logIn(adminToken, "")
	old := f.client.Jar.Cookies(parse(t, f.server.URL+"/app/"))
	page := f.get("/app/").want(http.StatusOK)
	csrf := regexp.MustCompile(`name="csrf" value="([^"]+)"`).FindStringSubmatch(page.body)
	if len(csrf) != 2 {
		t.Fatalf("got a page without the logout form:\n%s", page.body)
	}
	f.do("POST", "/app/logout", url.Values{"csrf": {"gantry-cs-wrong"}}).want(http.StatusForbidden, "you are still logged in")
	f.get("/app/").want(http.StatusOK)
	f.do("POST", "/app/logout", url.Values{"csrf": {csrf[1]}}).leadsTo(http.StatusSeeOther, "/app/login")
	f.client.Jar.SetCookies(parse(t, f.server.URL+"/app/"), old)
	f.get("/app/").want(http.StatusSeeOther) // the old cookie is worth nothing
}

func TestLoginLeadsToOurPagesOnly(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	for next, want := range map[string]string{
		"":                                "/app/",
		"/app/default/network/runs?x=1":   "/app/default/network/runs?x=1",
		"https://evil.example/app/":       "/app/",
		"//evil.example/app/":             "/app/",
		"/app//evil.example":              "/app/",
		"/app/../../evil":                 "/app/",
		"/app/%2e%2e/api":                 "/app/",
		`/app/\evil.example`:              "/app/",
		`/\evil.example`:                  "/app/",
		"javascript:alert(1)":             "/app/",
		"/api/v2/organizations":           "/app/",
		"/app/logout":                     "/app/",
		"/app/login?next=/app/login":      "/app/",
		"/app/a\r\nSet-Cookie: x=1":       "/app/",
		"https:/app/":                     "/app/",
		"/app/default/network/runs/run-1": "/app/default/network/runs/run-1",
	} {
		f.logIn(adminToken, next).leadsTo(http.StatusSeeOther, want)
	}
}

func parse(t *testing.T, address string) *url.URL {
	t.Helper()
	u, err := url.Parse(address)
	must(t, err)
	return u
}
