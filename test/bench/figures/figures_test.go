package figures_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gantry.example/test/bench/figures"
)

func TestSample(t *testing.T) {
	t.Parallel()
	hundred := make(figures.Sample, 100)
	for i := range hundred {
		hundred[i] = float64(100 - i)
	}
	for _, c := range []struct {
		name      string
		got, want float64
	}{
		{"median of an odd number", figures.Sample{9, 1, 5}.Median(), 5},
		{"median of an even number", figures.Sample{4, 1, 3, 2}.Median(), 2.5},
		{"median of one", figures.Sample{7}.Median(), 7},
		{"p50 is a measured value", figures.Sample{4, 1, 3, 2}.Quantile(0.5), 2},
		{"p99 of 100", hundred.Quantile(0.99), 99},
		{"p99 of few is the largest", figures.Sample{1, 2, 3}.Quantile(0.99), 3},
		{"smallest", hundred.Min(), 1},
		{"largest", hundred.Max(), 100},
		{"sum", figures.Sample{1, 2, 3}.Sum(), 6},
		{"ratio", figures.Ratio(figures.Sample{3, 3, 9}, figures.Sample{1, 2, 3}), 1.5},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, c.got, c.want)
		}
	}
	if got := (figures.Sample{}).Median(); !math.IsNaN(got) {
		t.Errorf("median of nothing: got %v, want NaN", got)
	}
	unsorted := figures.Sample{3, 1, 2}
	_ = unsorted.Median()
	if diff := cmp.Diff(figures.Sample{3, 1, 2}, unsorted); diff != "" {
		t.Errorf("the order of a sample changed (-want +got):\n%s", diff)
	}
	if got, want := unsorted.Show(1), "2.0 (1.0–3.0)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestGate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		gate figures.Gate
		want bool
	}{
		{"at most, below", figures.Gate{Ratio: 1.1, Limit: 1.2}, true},
		{"at most, equal", figures.Gate{Ratio: 1.2, Limit: 1.2}, true},
		{"at most, above", figures.Gate{Ratio: 1.21, Limit: 1.2}, false},
		{"at least, below", figures.Gate{Ratio: 0.89, Limit: 0.9, AtLeast: true}, false},
		{"at least, above", figures.Gate{Ratio: 0.95, Limit: 0.9, AtLeast: true}, true},
		{"nothing was measured", figures.Gate{Ratio: math.NaN(), Limit: 1.2}, false},
	} {
		if got := c.gate.Passed(); got != c.want {
			t.Errorf("%s: got passed %v, want %v", c.name, got, c.want)
		}
	}
}

// history is a run that took so many milliseconds to each event.
func history(plan, apply int) []figures.Event {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	after := func(ms int) time.Time { at = at.Add(time.Duration(ms) * time.Millisecond); return at }
	return []figures.Event{
		{Type: "created", At: after(0)}, {Type: "plan_queued", At: after(0)}, {Type: "claimed", At: after(5)},
		{Type: "progress", Stage: "plan", At: after(1)}, {Type: "planned", At: after(plan)}, {Type: "apply_queued", At: after(0)},
		{Type: "claimed", At: after(4)}, {Type: "progress", Stage: "apply", At: after(0)}, {Type: "applied", At: after(apply)},
	}
}

func TestBreakdown(t *testing.T) {
	t.Parallel()
	type row struct {
		Phase, From, To string
		Times           figures.Sample
		Share           float64
	}
	var got []row
	for _, s := range figures.Breakdown([][]figures.Step{figures.Steps(history(20, 10)), figures.Steps(history(30, 30))}) {
		got = append(got, row{s.Phase, s.From, s.To, s.Times, s.Share})
	}
	want := []row{
		{"plan", "created", "plan_queued", figures.Sample{0, 0}, 0},
		{"plan", "plan_queued", "claimed", figures.Sample{5, 5}, 10. / 110},
		{"plan", "claimed", "plan", figures.Sample{1, 1}, 2. / 110},
		{"plan", "plan", "planned", figures.Sample{20, 30}, 50. / 110},
		{"apply", "planned", "apply_queued", figures.Sample{0, 0}, 0},
		{"apply", "apply_queued", "claimed", figures.Sample{4, 4}, 8. / 110},
		{"apply", "claimed", "apply", figures.Sample{0, 0}, 0},
		{"apply", "apply", "applied", figures.Sample{10, 30}, 40. / 110},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("breakdown (-want +got):\n%s", diff)
	}
}

// report has 100 resources within their limit and 1000 above theirs.
func report() figures.Report {
	return figures.Report{
		Facts: []figures.Fact{{Name: "processor", Value: "abacus"}},
		Sizes: []figures.Size{
			{Resources: 10, Bare: figures.Sample{1}, Gantry: figures.Sample{9}},
			{Resources: 100, Bare: figures.Sample{1, 2, 3}, Gantry: figures.Sample{2, 2, 2}},
			{Resources: 1000, Bare: figures.Sample{5}, Gantry: figures.Sample{2}},
		},
		Throughput: figures.Throughput{
			Runs: 100, Workspaces: 20, Concurrency: 5, Bare: figures.Sample{1000}, Gantry: figures.Sample{950}, Described: figures.Sample{800}, Waits: figures.Sample{1, 2, 3},
		},
		Cloud: []figures.CloudPlan{{Resources: 1, Bare: figures.Sample{0.1}, Gantry: figures.Sample{1.6}}},
		Start: figures.Sample{10, 20, 30},
		Steps: [][]figures.Step{figures.Steps(history(20, 10))},
	}
}

func TestGatesOfAReport(t *testing.T) {
	t.Parallel()
	got := map[string]string{}
	for _, g := range report().Gates() {
		got[g.Name] = g.Verdict() + " " + g.Bound()
	}
	want := map[string]string{
		"create → applied, 100 × terraform_data": "PASS ≤ 1.10", "create → applied, 1000 × terraform_data": "FAIL ≤ 0.35", "throughput": "PASS ≥ 0.90",
		"terraform plan through the cloud block, 1 × terraform_data, without the CLI's pauses": "PASS ≤ 0.15",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("gates (-want +got):\n%s", diff)
	}
	if failed := figures.Failed(report().Gates()); len(failed) != 1 {
		t.Errorf("got %d failed gates, want 1: %v", len(failed), failed)
	}
}

func TestReportIsWritten(t *testing.T) {
	t.Parallel()
	for _, want := range []string{
		"Generated by `make bench`", "| processor | abacus |",
		"| 10 | 1 | 1.000 (1.000–1.000) | 9.000 (9.000–9.000) | 9.00 | – | – |",
		"| 100 | 3 | 2.000 (1.000–3.000) | 2.000 (2.000–2.000) | 1.00 | ≤ 1.10 | PASS |",
		"## 100 runs over 20 workspaces, 5 at a time", "| 1 | 1000 (1000–1000) | 950 (950–950) | 0.95 | ≥ 0.90 | PASS | 800 (800–800) | 2.0 | 3.0 |",
		"| 1 | 1 | 0.100 (0.100–0.100) | 1.600 (1.600–1.600) | 16.00 | 1.5 | 0.100 | 6 % | ≤ 0.15 | PASS |",
		"| 3 | 20.0 | 30.0 | 10.0 | 30.0 |", "| plan | plan | planned | 20.0 (20.0–20.0) | 50 % | terraform plan |",
	} {
		if got := report().Markdown(); !strings.Contains(got, want) {
			t.Errorf("the document lacks %q:\n%s", want, got)
		}
	}
	for _, want := range []string{"processor: abacus", "FAIL  create → applied, 1000 × terraform_data: 0.40 × bare (≤ 0.35)"} {
		if got := report().Text(); !strings.Contains(got, want) {
			t.Errorf("the text lacks %q:\n%s", want, got)
		}
	}
	if got := report().Markdown(); strings.Contains(got, "plan_queued | 0.0") {
		t.Errorf("a step that takes no time is shown:\n%s", got)
	}
	if got := (figures.Report{}).Tables(); len(got) != 0 {
		t.Errorf("got %d tables of nothing, want none", len(got))
	}
}

func TestFit(t *testing.T) {
	t.Parallel()
	slope, at0 := figures.Fit(figures.Sample{0, 1, 2, 3}, figures.Sample{1, 3, 5, 7})
	if slope != 2 || at0 != 1 {
		t.Errorf("got a slope of %v from %v, want 2 from 1", slope, at0)
	}
}

func TestScaleGates(t *testing.T) {
	t.Parallel()
	var flat, rising []figures.Heap
	for i := range 6 {
		runs := i * 1000
		flat = append(flat, figures.Heap{Runs: runs, Live: 10 + float64(i%2)*0.1})
		rising = append(rising, figures.Heap{Runs: runs, Live: 10 + float64(i)})
	}
	asked := func(few, many float64) figures.Scale {
		return figures.Scale{Lists: []figures.Asked{{What: "a list", Few: figures.Sample{few}, Many: figures.Sample{many}}}}
	}
	tasks := func(rate float64) figures.Tasks {
		return figures.Tasks{Gantry: figures.Sample{rate}, Same: figures.Sample{100}, Least: figures.Sample{200}, Events: figures.Sample{1}}
	}
	for _, c := range []struct {
		name   string
		report figures.Report
		want   bool
	}{
		{"enough tasks", figures.Report{Tasks: tasks(70)}, true},
		{"too few tasks", figures.Report{Tasks: tasks(69)}, false},
		{"a small server", figures.Report{Memory: figures.Memory{Server: 100}}, true},
		{"a large server", figures.Report{Memory: figures.Memory{Server: 101}}, false},
		{"a heap that stays", figures.Report{Memory: figures.Memory{Heap: flat}}, true},
		{"a heap that grows", figures.Report{Memory: figures.Memory{Heap: rising}}, false},
		{"twice as long", figures.Report{Scale: asked(2, 4)}, true},
		{"longer", figures.Report{Scale: asked(2, 4.1)}, false},
	} {
		gates := c.report.Gates()
		if len(gates) != 1 || gates[0].Passed() != c.want {
			t.Errorf("%s: got gates %+v, want one that passes: %v", c.name, gates, c.want)
		}
		if text := c.report.Markdown(); !strings.Contains(text, "PASS") && !strings.Contains(text, "FAIL") {
			t.Errorf("%s: the page says no verdict:\n%s", c.name, text)
		}
	}
}

func TestShares(t *testing.T) {
	t.Parallel()
	got := figures.Shares(map[string]float64{"a": 1, "b": 3, "c": 1})
	if diff := cmp.Diff([]figures.Share{{Program: "b", Size: 3}, {Program: "a", Size: 1}, {Program: "c", Size: 1}}, got); diff != "" {
		t.Errorf("shares (-want +got):\n%s", diff)
	}
}
