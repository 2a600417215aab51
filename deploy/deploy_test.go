// Package deploy_test holds what is deployed beside Gantry to what Gantry is: metrics that dashboards, alerts and docs name
// must exist, and what exists must be documented.
package deploy_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metricsql"
	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"
)

const docs = "../docs/observability.md"

// registered returns the names of the metrics that our sources define: strings like one in files that use Prometheus.
func registered(t *testing.T) map[string]bool {
	t.Helper()
	name := regexp.MustCompile(`^gantry_[a-z0-9_]+$`)
	out := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		uses := false
		for _, i := range f.Imports {
			uses = uses || i.Path.Value == `"github.com/prometheus/client_golang/prometheus"`
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && uses && lit.Kind == token.STRING {
				if s, err := strconv.Unquote(lit.Value); err == nil && name.MatchString(s) {
					out[s] = true
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// metric is a row of the table in the docs.
type metric struct {
	kind   string
	labels map[string]bool
}

func documented(t *testing.T) map[string]metric {
	t.Helper()
	row := regexp.MustCompile("(?m)^\\| `(gantry_[a-z0-9_]+)` \\| (\\w+) \\|([^|]*)\\|")
	out := map[string]metric{}
	for _, m := range row.FindAllStringSubmatch(read(t, docs), -1) {
		labels := map[string]bool{}
		for _, l := range strings.Fields(m[3]) {
			labels[strings.Trim(l, "`")] = true
		}
		out[m[1]] = metric{m[2], labels}
	}
	return out
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestEveryMetricIsDocumented(t *testing.T) {
	t.Parallel()
	got := map[string]bool{}
	for name := range documented(t) {
		got[name] = true
	}
	if diff := cmp.Diff(registered(t), got); diff != "" {
		t.Errorf("the table in %s is not what the sources define (-sources +docs):\n%s", docs, diff)
	}
}

// checkQuery reports what is wrong with a query: it does not parse, or it names a metric or a label that is not there.
func checkQuery(t *testing.T, where, query string, known map[string]metric) {
	t.Helper()
	e, err := metricsql.Parse(query)
	if err != nil {
		t.Errorf("%s: %v\n%s", where, err, query)
		return
	}
	var found []metric
	metricsql.VisitAll(e, func(e metricsql.Expr) {
		m, ok := e.(*metricsql.MetricExpr)
		if !ok {
			return
		}
		for _, filters := range m.LabelFilterss {
			name := ""
			for _, f := range filters {
				if f.Label == "__name__" {
					name = f.Value
				}
			}
			if !strings.HasPrefix(name, "gantry_") {
				continue // Prometheus' own
			}
			own, ok := known[name]
			if base, cut := cutSuffixes(name); !ok && cut && known[base].kind == "histogram" {
				own, ok = known[base], true
			}
			if !ok || (own.kind == "histogram" && known[name].kind != "") {
				t.Errorf("%s: there is no metric %s", where, name)
				continue
			}
			found = append(found, own)
			for _, f := range filters {
				if f.Label != "__name__" && !own.labels[f.Label] {
					t.Errorf("%s: metric %s has no label %s", where, name, f.Label)
				}
			}
		}
	})
	metricsql.VisitAll(e, func(e metricsql.Expr) {
		if a, ok := e.(*metricsql.AggrFuncExpr); ok {
			for _, label := range a.Modifier.Args {
				for _, m := range found {
					if label != "le" && !m.labels[label] {
						t.Errorf("%s: grouped by %s, which not every metric in it has", where, label)
					}
				}
			}
		}
	})
}

func cutSuffixes(name string) (string, bool) {
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if base, ok := strings.CutSuffix(name, suffix); ok {
			return base, true
		}
	}
	return name, false
}

func TestRules(t *testing.T) {
	t.Parallel()
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "prometheus/rules.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	known := documented(t)
	got, want := map[string]bool{}, map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^### (Gantry\w+)$`).FindAllStringSubmatch(read(t, docs), -1) {
		want[m[1]] = true
	}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			got[r.Alert] = true
			checkQuery(t, r.Alert, r.Expr, known)
			if s := r.Labels["severity"]; (s != "critical" && s != "warning" && s != "info") || r.Annotations["summary"] == "" {
				t.Errorf("%s: got severity %q, summary %q, want both", r.Alert, s, r.Annotations["summary"])
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || len(got) == 0 {
		t.Errorf("alerts: what %s explains is not what there is (-docs +rules):\n%s", docs, diff)
	}
}

func TestDashboard(t *testing.T) {
	t.Parallel()
	var board struct {
		UID    string
		Panels []struct {
			ID      int
			Title   string
			Type    string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, "grafana/gantry.json")), &board); err != nil {
		t.Fatal(err)
	}
	known := documented(t)
	variables := strings.NewReplacer("$__rate_interval", "5m", "$pool", "local")
	ids := map[int]bool{}
	for _, p := range board.Panels {
		if ids[p.ID] || (p.Type != "row" && len(p.Targets) == 0) {
			t.Errorf("panel %q: its id %d is taken, or it shows nothing", p.Title, p.ID)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			checkQuery(t, p.Title, variables.Replace(target.Expr), known)
		}
	}
	if len(board.Panels) == 0 || board.UID == "" {
		t.Errorf("got %d panels of %q, want a dashboard", len(board.Panels), board.UID)
	}
}

// TestScrape: the example finds the rules and is named as the alert that watches it expects.
func TestScrape(t *testing.T) {
	t.Parallel()
	var file struct {
		RuleFiles []string `yaml:"rule_files"`
		Scrape    []struct {
			Job string `yaml:"job_name"`
		} `yaml:"scrape_configs"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "prometheus/prometheus.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	if len(file.RuleFiles) != 1 || len(file.Scrape) != 1 || file.Scrape[0].Job != "gantry" {
		t.Fatalf("got %+v, want one rule file and the job gantry", file)
	}
	read(t, filepath.Join("prometheus", file.RuleFiles[0]))
}
