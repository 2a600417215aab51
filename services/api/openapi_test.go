package api_test

import (
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"gantry.example/messages"
	"gantry.example/services/api"
	"gantry.example/services/run"
)

func document(t *testing.T) *openapi3.T {
	t.Helper()
	b, err := os.ReadFile("../../schemas/openapi.json")
	must(t, err)
	doc, err := openapi3.NewLoader().LoadFromData(b)
	must(t, err)
	return doc
}

func TestDocumentIsValidOpenAPI(t *testing.T) {
	t.Parallel()
	doc := document(t)
	if err := doc.Validate(t.Context()); err != nil {
		t.Errorf("schemas/openapi.json: %v", err)
	}
	var got []messages.Code
	for _, c := range doc.Components.Schemas["Code"].Value.Enum {
		got = append(got, messages.Code(c.(string)))
	}
	if !slices.Equal(got, messages.Codes()) {
		t.Errorf("schemas/openapi.json lists the codes %q, want %q", got, messages.Codes())
	}
}

func TestDocumentHasEveryRouteAndNoOther(t *testing.T) {
	t.Parallel()
	doc := document(t)
	routes := map[string]api.RouteInfo{}
	for _, r := range api.Describe() {
		routes[r.Method+" "+strings.ReplaceAll(strings.TrimSuffix(r.Pattern, "{$}"), "...}", "}")] = r
	}
	documented := map[string]*openapi3.Operation{}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			documented[method+" "+path] = op
		}
	}
	for name, r := range routes {
		op := documented[name]
		if op == nil {
			t.Errorf("%s is a route and not in schemas/openapi.json: run make generate", name)
			continue
		}
		if (op.RequestBody != nil) != (r.In != nil) {
			t.Errorf("%s: the document's request body and the route's differ", name)
		}
		if op.Responses.Status(r.Status) == nil || op.Responses.Default() == nil {
			t.Errorf("%s: the document lacks the answer %d or the error", name, r.Status)
		}
		if want := r.Access != "public"; (len(*op.Security) == 1) != want {
			t.Errorf("%s: the document says security %v, the route %s", name, *op.Security, r.Access)
		}
	}
	for name := range documented {
		if _, ok := routes[name]; !ok {
			t.Errorf("%s is in schemas/openapi.json and no route: run make generate", name)
		}
	}
}

// TestEveryRouteChecksItsCaller calls every route without a token, with an unknown one and with good ones of the wrong kind.
func TestEveryRouteChecksItsCaller(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	c := f.claim(f.newRun(run.Options{}).Plan.ID)
	tokens := map[string]string{"person": adminToken, "pool": poolToken, "attempt": c.Token}
	for _, r := range api.Describe() {
		path := strings.ReplaceAll(r.Pattern, "{attempt}", c.AttemptID)
		path = regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(path, "x")
		if r.Access == "public" {
			if strings.Contains(r.Pattern, "{signature}") {
				f.call(r.Method, path, adminToken, nil).want(http.StatusNotFound, messages.CodeNotFound)
			}
			continue
		}
		f.call(r.Method, path, "", nil).want(http.StatusUnauthorized, messages.CodeUnauthorized)
		f.call(r.Method, path, "unknown", nil).want(http.StatusUnauthorized, messages.CodeUnauthorized)
		f.call(r.Method, path, "", nil, "Authorization", "Basic "+tokens[r.Access]).want(http.StatusUnauthorized, messages.CodeUnauthorized)
		for kind, token := range tokens {
			if kind != r.Access {
				f.call(r.Method, path, token, nil).want(http.StatusForbidden, messages.CodeForbidden)
			}
		}
	}
}
