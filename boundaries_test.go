package gantry_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "gantry.example"

// rule forbids imports. Patterns are those of the go tool ("a/..." is a and all below it); "./" stands for this module and
// "std" for the standard library.
type rule struct {
	who    []string // the packages the rule is about
	except []string // but not these
	deny   []string // what they may not import …
	only   []string // … or all they may import
	tests  []string // what their tests may import besides
	links  bool     // counts what is imported indirectly too
	reason string
}

// rules is the table "may import" of ARCHITECTURE.md. Tests obey it like everything else, see rule.tests.
func rules() []rule {
	harness := []string{"./internal/natstest", "./internal/pgtest", "./internal/kubetest", "./internal/browsertest", "./services/servicestest", "./workers/executor/executortest"}
	return []rule{
		{who: []string{"./messages/..."}, only: []string{"std", "./messages/..."},
			reason: "outsiders import messages: it depends on the standard library only, tests included"},
		{who: []string{"./services/run/..."}, only: []string{"std", "./messages", "./services/run/..."}, tests: []string{"github.com/google/go-cmp/..."},
			reason: "the domain is pure: it knows no database, no queue and no HTTP"},
		{who: []string{"./client/..."}, only: []string{"std", "./messages", "./internal/wire", "./client/..."},
			tests:  []string{"github.com/google/go-cmp/..."},
			reason: "the client is an HTTP client and a contract, nothing of the server"},
		{who: []string{"./services/..."}, deny: []string{"./workers/..."},
			reason: "services and workers meet on NATS and HTTPS only"},
		{who: []string{"./workers/..."}, deny: []string{"./services/..."},
			reason: "services and workers meet on NATS and HTTPS only"},
		{who: []string{"./internal/..."}, deny: []string{"./services/...", "./workers/..."},
			reason: "internal is what services and workers stand on, so it cannot stand on them"},
		{who: []string{"./..."}, except: []string{"./cmd/...", "./cli/..."}, deny: []string{"./cli/..."},
			reason: "cli is the outermost layer: only the mains import it"},
		{who: []string{"./..."}, except: []string{"./services/postgres/...", "./internal/pgserver", "./internal/pgtest", "./test/chaos", "./test/bench/raw", "./test/bench/replay"},
			deny:   []string{"database/sql/...", "github.com/lib/pq/...", "github.com/jmoiron/sqlx/...", "github.com/pressly/goose/..."},
			reason: "SQL lives in services/postgres only (test/chaos judges what that wrote, so it reads for itself; test/bench/raw and replay measure Postgres without us)"},
		{who: []string{"./test/chaos/history"}, only: []string{"std"}, tests: []string{"./test/chaos/history"},
			reason: "the judge knows none of the code it judges"},
		{who: []string{"./..."}, except: []string{"./test/bench"}, deny: []string{"./services/postgres/pastruns"}, tests: []string{"./services/postgres/pastruns"},
			reason: "an invented past is for measuring"},
		{who: []string{"./..."}, except: []string{"./workers/k8s/...", "./internal/kubetest", "./test/k8s", "./test/kubescale", "./test/chart"}, deny: []string{"k8s.io/...", "sigs.k8s.io/..."},
			reason: "client-go lives in workers/k8s only (and in what tests it)"},
		{who: []string{"./..."}, except: []string{"./internal/bus/...", "./internal/natstest", "./test/bench/raw", "./test/bench/replay"},
			deny:   []string{"github.com/nats-io/nats.go/..."},
			reason: "NATS and JetStream live in internal/bus only: everybody else takes the small interfaces it gives"},
		{who: []string{"./..."}, except: []string{"./internal/bus/broker", "./internal/natstest"}, deny: []string{"github.com/nats-io/nats-server/...", "github.com/nats-io/jwt/..."},
			reason: "the NATS server is linked by internal/bus/broker only: workers and runners are clients"},
		{who: []string{"./..."}, except: []string{"./workers/terraform/..."},
			deny:   []string{"github.com/hashicorp/terraform-exec/...", "github.com/hashicorp/hc-install/...", "github.com/hashicorp/terraform-json/...", "github.com/opentofu/tofudl/..."},
			reason: "terraform lives in workers/terraform only"},
		{who: []string{"./cmd/gantry-agent"}, links: true, deny: []string{"github.com/lib/pq/...", "k8s.io/client-go/...", "github.com/nats-io/nats-server/..."},
			reason: "an agent is small and has no business with a database or a cluster, nor with a NATS server of its own"},
		{who: []string{"./..."}, except: harness, deny: harness, tests: harness,
			reason: "a test harness must not be linked into a program"},
		{who: []string{"./..."}, deny: []string{"github.com/stretchr/testify/..."},
			reason: "tests say got and want themselves and compare with go-cmp"},
	}
}

// listed is a package as go list describes it.
type listed struct {
	ImportPath   string
	Standard     bool
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// breaches returns one line per forbidden import of the packages, sorted.
func (r rule) breaches(all map[string]listed) []string {
	var out []string
	for path, p := range all {
		if !matches(r.who, path) || matches(r.except, path) {
			continue
		}
		for _, imported := range p.Imports {
			out = append(out, r.follow(all, []string{path, imported})...)
		}
		for _, imported := range slices.Concat(p.TestImports, p.XTestImports) {
			if imported != path && !matches(r.tests, imported) && !r.links && r.forbids(imported) {
				out = append(out, fmt.Sprintf("the test of %s imports %s", path, imported))
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// follow reports the last import of the chain when it is forbidden, or, where linking counts, the first forbidden one behind it.
func (r rule) follow(all map[string]listed, chain []string) []string {
	seen := map[string]bool{}
	var walk func(chain []string) []string
	walk = func(chain []string) []string {
		last := chain[len(chain)-1]
		if r.forbids(last) {
			return []string{strings.Join(chain, " imports ")}
		}
		if !r.links || seen[last] {
			return nil
		}
		seen[last] = true
		for _, next := range all[last].Imports {
			if found := walk(append(slices.Clone(chain), next)); found != nil {
				return found
			}
		}
		return nil
	}
	return walk(chain)
}

func (r rule) forbids(imported string) bool {
	if r.only != nil {
		return !matches(r.only, imported)
	}
	return matches(r.deny, imported)
}

// matches reports whether one of the patterns covers the import path.
func matches(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		if pattern == "std" { // only the standard library has no dot in its first element
			first, _, _ := strings.Cut(path, "/")
			return !strings.Contains(first, ".")
		}
		if rest, ok := strings.CutPrefix(pattern, "./"); ok {
			pattern = module + "/" + rest
		}
		prefix, below := strings.CutSuffix(pattern, "/...")
		return path == prefix || below && strings.HasPrefix(path, prefix+"/")
	})
}

// list asks the go tool for the packages and, with deps, for all they link.
func list(t *testing.T, args ...string) map[string]listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-e", "-json=ImportPath,Standard,Imports,TestImports,XTestImports"}, args...)...)
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, problems.String())
	}
	all := map[string]listed{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all[p.ImportPath] = p
	}
}

func TestBoundaries(t *testing.T) {
	t.Parallel()
	all := list(t, "-deps", "./...", module+"/messages/...")
	if _, ok := all[module+"/messages"]; !ok {
		t.Fatalf("got %d packages without %s/messages, want it among them", len(all), module)
	}
	for _, r := range rules() {
		for _, breach := range r.breaches(all) {
			t.Errorf("%s: %s", breach, r.reason)
		}
	}
}
