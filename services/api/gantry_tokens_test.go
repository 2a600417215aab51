package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"gantry.example/messages"
)

type shownToken struct {
	ID          string     `json:"id"`
	Description string     `json:"description"`
	Kind        string     `json:"kind"`
	CreatedAt   time.Time  `json:"created_at"`
	ExpiresAt   *time.Time `json:"expires_at"`
	Token       string     `json:"token"`
}

func TestTokensAreShownOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const path = "/api/gantry/v1/tokens"
	create := func(description, life string) shownToken {
		a := f.post(path, adminToken, attributes{"description": description, "expires_in": life}).want(http.StatusCreated, "")
		equal(t, "cached", a.header.Get("Cache-Control"), "no-store")
		var got shownToken
		must(t, json.Unmarshal(a.body, &got))
		return got
	}
	forever, limited := create("ci", ""), create("ada's laptop", "1h30m")
	if forever.ExpiresAt != nil || limited.ExpiresAt == nil || !limited.ExpiresAt.Equal(limited.CreatedAt.Add(90*time.Minute)) {
		t.Errorf("got %+v and %+v, want one that does not expire and one of 90 minutes", forever, limited)
	}
	f.get("/api/v2/account/details", limited.Token).want(http.StatusOK, "").wantDetail("ada's laptop")

	list := f.get(path, adminToken)
	var all []shownToken
	list.into(&all)
	var names []string
	for _, s := range all {
		names = append(names, s.Kind+" "+s.Description)
	}
	equal(t, "list", names, []string{"admin test", "admin ci", "admin ada's laptop"})
	for _, secret := range []string{forever.Token, limited.Token, adminToken} {
		if strings.Contains(string(list.body), secret) {
			t.Errorf("the list shows a token: %s", list.body)
		}
	}

	revoke := func(id, with string) (own bool) {
		var got struct{ Own bool }
		f.call("DELETE", path+"/"+id, with, nil).into(&got)
		return got.Own
	}
	equal(t, "another's", revoke(forever.ID, limited.Token), false)
	equal(t, "one's own", revoke(limited.ID, limited.Token), true)
	for _, token := range []string{forever.Token, limited.Token} {
		f.get(path, token).want(http.StatusUnauthorized, messages.CodeUnauthorized).wantDetail("revoked")
	}
	f.call("DELETE", path+"/"+limited.ID, adminToken, nil).want(http.StatusNotFound, messages.CodeNotFound)
	for _, c := range []struct{ description, life, says string }{
		{"", "", "field description"}, {"x", "soon", "field expires_in"}, {"x", "-1h", "field expires_in"}, {"x", "10", "field expires_in"},
	} {
		f.post(path, adminToken, attributes{"description": c.description, "expires_in": c.life}).
			want(http.StatusUnprocessableEntity, messages.CodeInvalid).wantDetail(c.says)
	}
}
