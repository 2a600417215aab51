package figures

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Report is everything that one run of the bench found.
type Report struct {
	Facts      []Fact // about the machine and the programs
	Sizes      []Size
	Throughput Throughput
	Agent      Agent
	Cloud      []CloudPlan
	Start      Sample   // run accepted → terraform started, in milliseconds
	Steps      [][]Step // of every run of one resource
	BareSteps  [][]Step // of the bare CLI doing the same
	Tasks      Tasks
	Memory     Memory
	Scale      Scale
}

// Fact is a property of what was measured.
type Fact struct{ Name, Value string }

// Size is the comparison for configurations of one size, in seconds.
type Size struct {
	Resources    int
	Bare, Gantry Sample
}

// gate returns the limit for the size; not every size has one.
func (s Size) gate() (Gate, bool) {
	limit, ok := map[int]float64{1: 1.20, 100: 1.10, 1000: 0.35}[s.Resources]
	name := fmt.Sprintf("create → applied, %d × terraform_data", s.Resources)
	return Gate{Name: name, Ratio: Ratio(s.Gantry, s.Bare), Limit: limit}, ok
}

// Throughput is the comparison of many runs at once, in runs per minute.
type Throughput struct {
	Runs, Workspaces, Concurrency int
	Bare, Gantry                  Sample
	Described                     Sample // Gantry, until the JSON forms of all plans are there too
	Waits                         Sample // run created → applied, in seconds, all submitted at once; Gantry only
}

// minThroughput is the least part of the bare CLI's throughput that is good enough.
const minThroughput = 0.90

func (t Throughput) gate() Gate {
	return Gate{Name: "throughput", Ratio: Ratio(t.Gantry, t.Bare), Limit: minThroughput, AtLeast: true}
}

// Gates returns the limits on what was measured.
func (r Report) Gates() []Gate {
	var out []Gate
	for _, s := range r.Sizes {
		if g, ok := s.gate(); ok {
			out = append(out, g)
		}
	}
	if len(r.Throughput.Gantry) > 0 {
		out = append(out, r.Throughput.gate())
	}
	out = append(out, r.Agent.gates()...)
	for _, c := range r.Cloud {
		out = append(out, c.gate())
	}
	if len(r.Tasks.Gantry) > 0 {
		out = append(out, r.Tasks.gate())
	}
	return slices.Concat(out, r.Memory.gates(), r.Scale.gates())
}

// Tables returns what was measured.
func (r Report) Tables() []Table {
	var out []Table
	if len(r.Sizes) > 0 {
		out = append(out, r.sizes())
	}
	if len(r.Throughput.Gantry) > 0 {
		out = append(out, r.throughput())
	}
	out = append(out, r.Agent.tables()...)
	if len(r.Cloud) > 0 {
		out = append(out, r.cloud())
	}
	if len(r.Start) > 0 {
		out = append(out, r.start())
	}
	if len(r.Steps) > 0 {
		out = append(out, r.steps())
	}
	if len(r.Tasks.Gantry) > 0 {
		out = append(out, r.Tasks.table())
	}
	out = append(out, r.Memory.tables()...)
	if len(r.Scale.Lists) > 0 {
		out = append(out, r.Scale.table())
	}
	return out
}

func (r Report) sizes() Table {
	t := Table{
		Title: "Create → applied",
		Note: "From the request that creates an auto-applied run until its event stream says `applied`, in a fresh workspace on a server with default " +
			"settings; against `terraform init`, `plan -out` and `apply` of that plan in a fresh folder. Seconds, median (min–max); the ratio is that of the medians.",
		Header: []string{"terraform_data", "times", "bare CLI s", "Gantry s", "ratio", "limit", "gate"},
	}
	for _, s := range r.Sizes {
		row := []string{
			strconv.Itoa(s.Resources), strconv.Itoa(len(s.Gantry)), s.Bare.Show(3), s.Gantry.Show(3),
			fmt.Sprintf("%.2f", Ratio(s.Gantry, s.Bare)), "–", "–",
		}
		if g, ok := s.gate(); ok {
			row[5], row[6] = g.Bound(), g.Verdict()
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func (r Report) throughput() Table {
	m, g := r.Throughput, r.Throughput.gate()
	return Table{
		Title: fmt.Sprintf("%d runs over %d workspaces, %d at a time", m.Runs, m.Workspaces, m.Concurrency),
		Note: fmt.Sprintf("All runs are created at once on a server with `--concurrency %d`; each updates one resource. Against the same commands in the same number "+
			"of folders, by %d loops beside each other. Runs per minute, median (min–max). The JSON forms of the plans, which the bare CLI does not make, follow when the worker "+
			"has nothing else to do; with them: the column after. Last two columns: how long a run took, its wait for a free place included.",
			m.Concurrency, m.Concurrency),
		Header: []string{"rounds", "bare CLI /min", "Gantry /min", "ratio", "limit", "gate", "with JSON forms /min", "a run p50 s", "p99 s"},
		Rows: [][]string{{
			strconv.Itoa(len(m.Gantry)), m.Bare.Show(0), m.Gantry.Show(0), fmt.Sprintf("%.2f", g.Ratio), g.Bound(), g.Verdict(),
			m.Described.Show(0), fmt.Sprintf("%.1f", m.Waits.Quantile(0.5)), fmt.Sprintf("%.1f", m.Waits.Quantile(0.99)),
		}},
	}
}

func (r Report) start() Table {
	return Table{
		Title: "Run accepted → terraform started",
		Note: "From the run's `created_at` until the fence is passed (`started_at` of its plan's attempt), both of the server's clock; one run at a time. " +
			"Nothing is executed before that moment. Milliseconds.",
		Header: []string{"runs", "p50 ms", "p99 ms", "min ms", "max ms"},
		Rows: [][]string{{
			strconv.Itoa(len(r.Start)), fmt.Sprintf("%.1f", r.Start.Quantile(0.5)), fmt.Sprintf("%.1f", r.Start.Quantile(0.99)),
			fmt.Sprintf("%.1f", r.Start.Min()), fmt.Sprintf("%.1f", r.Start.Max()),
		}},
	}
}

// invisible is the time in milliseconds below which a step is left out of the table: its events are of one transaction.
const invisible = 0.05

func (r Report) steps() Table {
	t := Table{
		Title: "Where the time goes",
		Note: "A run of one resource, cut at the events of its history, each at the moment the server recorded it. The rows `client` are what the client saw beside; " +
			"the rows `bare CLI` are its three commands, for comparison. Milliseconds, median (min–max), and the part of the whole (of the bare CLI: of its own).",
		Header: []string{"phase", "from", "to", "ms", "part", "what"},
	}
	for _, s := range append(Breakdown(r.Steps), Breakdown(r.BareSteps)...) {
		if s.Times.Max() < invisible {
			continue
		}
		t.Rows = append(t.Rows, []string{s.Phase, s.From, s.To, s.Times.Show(1), fmt.Sprintf("%.0f %%", 100*s.Share), meaning(s.From)})
	}
	return t
}

// Text is the report for a terminal.
func (r Report) Text() string {
	var b strings.Builder
	for _, f := range r.Facts {
		fmt.Fprintf(&b, "%s: %s\n", f.Name, f.Value)
	}
	for _, t := range r.Tables() {
		b.WriteString("\n" + t.Text())
	}
	b.WriteString("\n")
	for _, g := range r.Gates() {
		fmt.Fprintf(&b, "%s  %s: %.2f × %s (%s)\n", g.Verdict(), g.Name, g.Ratio, cmp.Or(g.Of, "bare"), g.Bound())
	}
	return b.String()
}

// Markdown is the report as a document.
func (r Report) Markdown() string {
	var b strings.Builder
	b.WriteString("<!-- Generated by `make bench`. Do not edit: the next run writes it anew. -->\n\n# Performance\n\n")
	b.WriteString("What Gantry costs on top of the bare Terraform CLI. `make bench` wrote this page. It measures both in turn, in one run, with the same Terraform " +
		"in the same environment on the same disk: seconds differ from machine to machine, the **ratios** are what counts.\n\n| | |\n|---|---|\n")
	for _, f := range r.Facts {
		fmt.Fprintf(&b, "| %s | %s |\n", f.Name, f.Value)
	}
	for _, t := range r.Tables() {
		b.WriteString("\n" + t.Markdown())
	}
	return b.String()
}
