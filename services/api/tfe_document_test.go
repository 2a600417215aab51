package api_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gantry.example/messages"
)

// node is a JSON:API resource as a client of TFE decodes it.
type node[A any] struct {
	ID            string              `json:"id"`
	Type          string              `json:"type"`
	Attributes    A                   `json:"attributes"`
	Relationships map[string]relation `json:"relationships"`
}

type relation struct {
	Data *reference `json:"data"`
}

// UnmarshalJSON leaves Data nil for a relationship to many.
func (r *relation) UnmarshalJSON(b []byte) error {
	var plain struct {
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(b, &plain); err != nil || bytes.HasPrefix(plain.Data, []byte("[")) {
		return err
	}
	return json.Unmarshal(plain.Data, &r.Data)
}

type reference struct {
	ID   string `json:"id"`
	Type string `json:"type"`
}

type resource[A any] struct {
	Data     node[A]     `json:"data"`
	Included []reference `json:"included"`
}

type resources[A any] struct {
	Data []node[A] `json:"data"`
	Meta struct {
		Pagination struct {
			Current int  `json:"current-page"`
			Next    *int `json:"next-page"`
			Prev    *int `json:"prev-page"`
			Pages   int  `json:"total-pages"`
			Count   int  `json:"total-count"`
		} `json:"pagination"`
	} `json:"meta"`
}

// attributes are whatever a resource has.
type attributes = map[string]any

func decoded[T any](a answer, status int) T {
	a.t.Helper()
	var v T
	if a.status != status {
		a.t.Fatalf("%s: got %d, want %d: %s", a.call, a.status, status, a.body)
	}
	if got, want := a.header.Get("Content-Type"), "application/vnd.api+json"; got != want {
		a.t.Errorf("%s: got content type %q, want %q", a.call, got, want)
	}
	if err := json.Unmarshal(a.body, &v); err != nil {
		a.t.Fatalf("%s: %v in %s", a.call, err, a.body)
	}
	return v
}

// doc is a JSON:API request. relations are pairs of a name and the type/id it points at.
func doc(kind string, attrs attributes, relations ...string) any {
	rel := map[string]relation{}
	for i := 0; i+1 < len(relations); i += 2 {
		kind, id, _ := strings.Cut(relations[i+1], "/")
		rel[relations[i]] = relation{&reference{Type: kind, ID: id}}
	}
	return map[string]any{"data": map[string]any{"type": kind, "attributes": attrs, "relationships": rel}}
}

func (f *fixture) patch(path, token string, body any) answer {
	f.t.Helper()
	b, err := json.Marshal(body)
	must(f.t, err)
	return f.call("PATCH", path, token, b)
}

// wantDetail checks that the error tells the user every one of the words.
func (a answer) wantDetail(words ...string) {
	a.t.Helper()
	for _, w := range words {
		if !strings.Contains(string(a.body), w) {
			a.t.Errorf("%s: got %s, want it to say %q", a.call, a.body, w)
		}
	}
}

func equal(t testing.TB, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestErrorsSayWhatAndWhere(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const runs, workspaces = "/api/v2/runs", "/api/v2/organizations/default/workspaces"
	for _, c := range []struct {
		name, method, path, token, body string
		status                          int
		code                            messages.Code
		says                            string
	}{
		{"no token", "GET", workspaces, "", "", 401, messages.CodeUnauthorized, "Authorization"},
		{"unknown token", "GET", workspaces, "wrong", "", 401, messages.CodeUnauthorized, "unknown"},
		{"a worker's token", "GET", workspaces, poolToken, "", 403, messages.CodeForbidden, "person"},
		{"no such organization", "GET", "/api/v2/organizations/nobody/entitlement-set", adminToken, "", 404, messages.CodeNotFound, `organization \"nobody\"`},
		{"no such workspace name", "GET", workspaces + "/nothing", adminToken, "", 404, messages.CodeNotFound, "default/nothing"},
		{"no such workspace", "GET", "/api/v2/workspaces/ws-none", adminToken, "", 404, messages.CodeNotFound, "ws-none"},
		{"no such workspace of a state", "GET", "/api/v2/workspaces/ws-none/current-state-version", adminToken, "", 404, messages.CodeNotFound, "ws-none"},
		{"no such run", "GET", runs + "/run-none", adminToken, "", 404, messages.CodeNotFound, "run-none"},
		{"no such plan", "GET", "/api/v2/plans/plan-none", adminToken, "", 404, messages.CodeNotFound, `plan \"plan-none\"`},
		{"an apply is no plan", "GET", "/api/v2/plans/apply-none", adminToken, "", 404, messages.CodeNotFound, `plan \"apply-none\"`},
		{"no such apply", "GET", "/api/v2/applies/apply-none", adminToken, "", 404, messages.CodeNotFound, `apply \"apply-none\"`},
		{"no such output", "GET", "/api/v2/state-version-outputs/wsout-1", adminToken, "", 404, messages.CodeNotFound, "wsout-1"},
		{"no such configuration", "GET", "/api/v2/configuration-versions/cv-none", adminToken, "", 404, messages.CodeNotFound, "cv-none"},
		{"no such call", "GET", "/api/v2/nothing", adminToken, "", 404, messages.CodeNotFound, "/api/v2/nothing"},
		{"name taken", "POST", workspaces, adminToken, `{"data":{"type":"workspaces","attributes":{"name":"network"}}}`, 422, messages.CodeNameTaken, "network"},
		{"name missing", "POST", workspaces, adminToken, `{"data":{"type":"workspaces","attributes":{}}}`, 422, messages.CodeInvalid, "field name"},
		{"wrong kind", "POST", workspaces, adminToken, `{"data":{"type":"workspaces","attributes":{"auto-apply":"yes"}}}`, 422, messages.CodeInvalid, "field auto-apply: want true or false"},
		{"wrong list", "POST", runs, adminToken, `{"data":{"type":"runs","attributes":{"target-addrs":[1]}}}`, 422, messages.CodeInvalid, "field target-addrs: want a list of strings"},
		{"wrong type", "POST", runs, adminToken, `{"data":{"type":"run","attributes":{}}}`, 422, messages.CodeInvalid, "field data.type"},
		{"not JSON", "POST", runs, adminToken, `{`, 422, messages.CodeInvalid, "JSON:API"},
		{"wrong relationship", "POST", runs, adminToken, `{"data":{"type":"runs","relationships":{"workspace":{"data":"ws-1"}}}}`, 422, messages.CodeInvalid, "relationship workspace: want"},
		{"relationship of another type", "POST", runs, adminToken, `{"data":{"type":"runs","relationships":{"workspace":{"data":{"type":"runs","id":"x"}}}}}`, 422, messages.CodeInvalid, "relationship workspace: want"},
		{"no workspace", "POST", runs, adminToken, `{"data":{"type":"runs","attributes":{}}}`, 422, messages.CodeInvalid, "relationship workspace"},
		{"page", "GET", workspaces + "?page[number]=x", adminToken, "", 422, messages.CodeInvalid, "page[number]"},
	} {
		a := f.call(c.method, c.path, c.token, []byte(c.body)).want(c.status, c.code)
		a.wantDetail(c.says)
		if strings.Contains(string(a.body), "api.") || strings.Contains(string(a.body), "struct") {
			t.Errorf("%s: got %s, want no words of the Go source", c.name, a.body)
		}
		if got, want := a.header.Get("TFP-API-Version"), "2.6"; got != want {
			t.Errorf("%s: got TFP-API-Version %q, want %q", c.name, got, want)
		}
	}
}

func TestListsHavePages(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, name := range []string{"a", "b"} { // beside "network"
		f.post("/api/v2/organizations/default/workspaces", adminToken, doc("workspaces", attributes{"name": name})).want(http.StatusCreated, "")
	}
	var names []string
	for page := "1"; page != ""; {
		got := decoded[resources[attributes]](f.get("/api/v2/organizations/default/workspaces?page[size]=2&page[number]="+page, adminToken), http.StatusOK)
		for _, w := range got.Data {
			names = append(names, w.Attributes["name"].(string))
		}
		p := got.Meta.Pagination
		equal(t, "pages, count", []int{p.Pages, p.Count}, []int{2, 3})
		page = ""
		if p.Next != nil {
			page = "2"
		}
	}
	equal(t, "names", names, []string{"a", "b", "network"})

	empty := f.get("/api/v2/organizations/default/runs", adminToken)
	got := decoded[resources[attributes]](empty, http.StatusOK)
	if got.Data == nil || len(got.Data) != 0 || got.Meta.Pagination.Current != 1 {
		t.Errorf("got %s, want an empty list with its first page", empty.body)
	}
}
