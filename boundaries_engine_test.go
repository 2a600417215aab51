package gantry_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The rules are tried on packages made up for it: a rule that cannot fail keeps nothing apart.
func TestEveryRuleCanFail(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ who, imported, reason string }{
		{"messages", "github.com/google/go-cmp/cmp", "standard library only"},
		{"services/run", module + "/services/postgres", "the domain is pure"},
		{"client", module + "/services/run", "HTTP client"},
		{"services/api", module + "/workers/runner", "meet on NATS"},
		{"workers/runner", module + "/services/run", "meet on NATS"},
		{"internal/bus", module + "/services/run", "cannot stand on them"},
		{"internal/pgtest", module + "/services/postgres", "cannot stand on them"},
		{"services/api", module + "/cli", "outermost layer"},
		{"services/api", "database/sql", "SQL lives"},
		{"cli", "github.com/lib/pq", "SQL lives"},
		{"services/projector", "github.com/jmoiron/sqlx", "SQL lives"},
		{"workers/executor", "k8s.io/client-go/kubernetes", "client-go lives"},
		{"services/relay", "github.com/nats-io/nats.go/jetstream", "JetStream live"},
		{"workers/queue", "github.com/nats-io/nats.go", "JetStream live"},
		{"workers/runner", "github.com/hashicorp/terraform-exec/tfexec", "terraform lives"},
		{"cmd/gantry-agent", "github.com/lib/pq", "an agent is small"},
		{"cmd/gantry-agent", "github.com/nats-io/nats-server/v2/server", "an agent is small"},
		{"internal/bus", "github.com/nats-io/nats-server/v2/server", "broker only"},
		{"services/api", module + "/internal/pgtest", "test harness"},
		{"workers/queue", "github.com/stretchr/testify/require", "go-cmp"},
	} {
		who := module + "/" + c.who
		all := map[string]listed{who: {ImportPath: who, Imports: []string{c.imported}}}
		found := slices.ContainsFunc(rules(), func(r rule) bool {
			return strings.Contains(r.reason, c.reason) && len(r.breaches(all)) == 1
		})
		if !found {
			t.Errorf("%s imports %s: got no breach, want one because …%s…", who, c.imported, c.reason)
		}
	}
}

func TestWhatTheRulesAllow(t *testing.T) {
	t.Parallel()
	all := map[string]listed{}
	for who, imports := range map[string][]string{
		"messages":                       {"encoding/json", "crypto/rand"},
		"services/run":                   {"errors", module + "/messages"},
		"services/postgres":              {"database/sql", "github.com/lib/pq", "github.com/pressly/goose/v3", module + "/services/run"},
		"services/api":                   {module + "/services/run", module + "/internal/wire"},
		"internal/pgtest":                {"database/sql", module + "/internal/pgserver"},
		"internal/bus":                   {"github.com/nats-io/nats.go"},
		"internal/bus/broker":            {"github.com/nats-io/nats.go", "github.com/nats-io/nats-server/v2/server"},
		"workers/k8s":                    {"k8s.io/client-go/kubernetes"},
		"workers/terraform":              {"github.com/hashicorp/terraform-exec/tfexec"},
		"workers/runner":                 {module + "/client", module + "/workers/terraform"},
		"client":                         {"net/http", module + "/messages", module + "/internal/wire"},
		"cmd/gantry":                     {module + "/cli"},
		"workers/executor/executortest":  {module + "/workers/executor"},
		"servicesandmore/runs/different": {module + "/workers/runner"},
	} {
		path := module + "/" + who
		all[path] = listed{ImportPath: path, Imports: imports}
	}
	for _, r := range rules() {
		if got := r.breaches(all); len(got) > 0 {
			t.Errorf("got breaches %q (%s), want none", got, r.reason)
		}
	}
}

func TestRulesCoverTests(t *testing.T) {
	t.Parallel()
	all := map[string]listed{
		module + "/services/api":   {TestImports: []string{module + "/internal/pgtest"}, XTestImports: []string{module + "/workers/runner"}},
		module + "/services/run":   {XTestImports: []string{module + "/services/run", "github.com/google/go-cmp/cmp", "example.org/x"}},
		module + "/services/relay": {XTestImports: []string{module + "/internal/natstest", "database/sql"}},
	}
	var got []string
	for _, r := range rules() {
		got = append(got, r.breaches(all)...)
	}
	want := []string{
		"the test of gantry.example/services/run imports example.org/x",
		"the test of gantry.example/services/api imports gantry.example/workers/runner",
		"the test of gantry.example/services/relay imports database/sql",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("breaches (- want, + got):\n%s", diff)
	}
}

func TestLinkingRuleReportsTheChain(t *testing.T) {
	t.Parallel()
	r := rule{who: []string{"./cmd/agent"}, links: true, deny: []string{"github.com/lib/pq/..."}}
	all := map[string]listed{
		module + "/cmd/agent": {Imports: []string{"fmt", "a.example/x"}},
		"a.example/x":         {Imports: []string{"a.example/y", "a.example/z"}},
		"a.example/y":         {Imports: []string{"a.example/x"}}, // a cycle must not hang the walk
		"a.example/z":         {Imports: []string{"github.com/lib/pq/oid"}},
	}
	want := []string{"gantry.example/cmd/agent imports a.example/x imports a.example/z imports github.com/lib/pq/oid"}
	if diff := cmp.Diff(want, r.breaches(all)); diff != "" {
		t.Errorf("breaches (- want, + got):\n%s", diff)
	}
}

func TestMatches(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"std", "net/http", true},
		{"std", "github.com/lib/pq", false},
		{"std", module + "/messages", false},
		{"./...", module + "/cli", true},
		{"./...", module, true},
		{"./services/...", module + "/services", true},
		{"./services/...", module + "/services/run", true},
		{"./services/...", module + "/services2/run", false},
		{"./services/run", module + "/services/run/x", false},
		{"github.com/lib/pq/...", "github.com/lib/pq", true},
		{"github.com/lib/pq/...", "github.com/lib/pqx", false},
		{"k8s.io/...", "sigs.k8s.io/yaml", false},
	} {
		if got := matches([]string{c.pattern}, c.path); got != c.want {
			t.Errorf("pattern %s, path %s: got %t, want %t", c.pattern, c.path, got, c.want)
		}
	}
}
