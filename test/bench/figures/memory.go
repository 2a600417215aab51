package figures

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Memory is what a server takes, in MiB.
type Memory struct {
	Server float64 // idle, resident
	Others []Share // of the processes that belong to it
	Heap   []Heap  // over many runs
}

// Share is a program's.
type Share struct {
	Program string
	Size    float64
}

// Shares returns the shares by program, the largest first.
func Shares(of map[string]float64) []Share {
	var out []Share
	for _, name := range slices.Sorted(maps.Keys(of)) {
		out = append(out, Share{name, of[name]})
	}
	slices.SortStableFunc(out, func(a, b Share) int { return cmp.Compare(b.Size, a.Size) })
	return out
}

// Heap is what is live after so many runs.
type Heap struct {
	Runs           int
	Live, Resident float64
}

const (
	idleLimit = 100 // MiB
	// growthLimit is on the heap at the end to that at the beginning, both on the line fitted. What has warmed up does not count.
	growthLimit = 1.10
	warmUp      = 2000 // runs
)

func (m Memory) idle() Gate {
	return Gate{Name: "memory of an idle server", Ratio: m.Server / idleLimit, Limit: 1, Of: fmt.Sprintf("%d MiB", idleLimit)}
}

// growth fits a line to the heap after the warm-up.
func (m Memory) growth() (g Gate, slope float64, ok bool) {
	var runs, live Sample
	for _, h := range m.Heap {
		if h.Runs >= warmUp {
			runs, live = append(runs, float64(h.Runs)), append(live, h.Live)
		}
	}
	if len(runs) < 3 {
		return g, 0, false
	}
	slope, at0 := Fit(runs, live)
	first, last := at0+slope*runs[0], at0+slope*runs[len(runs)-1]
	return Gate{Name: fmt.Sprintf("heap after %.0f runs", runs[len(runs)-1]), Ratio: last / first, Limit: growthLimit,
		Of: fmt.Sprintf("that after %.0f", runs[0])}, slope, true
}

// Fit returns the line of least squares through the points.
func Fit(x, y Sample) (slope, at0 float64) {
	n := float64(len(x))
	mx, my := x.Sum()/n, y.Sum()/n
	var xy, xx float64
	for i := range x {
		xy += (x[i] - mx) * (y[i] - my)
		xx += (x[i] - mx) * (x[i] - mx)
	}
	slope = xy / xx
	return slope, my - slope*mx
}

func (m Memory) gates() []Gate {
	var out []Gate
	if m.Server > 0 {
		out = append(out, m.idle())
	}
	if g, _, ok := m.growth(); ok {
		out = append(out, g)
	}
	return out
}

func (m Memory) tables() []Table {
	var out []Table
	if m.Server > 0 {
		g := m.idle()
		var others []string
		for _, s := range m.Others {
			others = append(others, fmt.Sprintf("%s %.0f", s.Program, s.Size))
		}
		out = append(out, Table{
			Title: "Memory of an idle server",
			Note: "After its first run, all parts in one process: API, pages, embedded NATS, worker. MiB resident (VmRSS). Beside it the processes that belong to it: " +
				"its private PostgreSQL and the runner that stands by, each with its share of what they have in common (Pss).",
			Header: []string{"server MiB", "limit", "gate", "beside it"},
			Rows:   [][]string{{fmt.Sprintf("%.1f", m.Server), fmt.Sprintf("≤ %d", idleLimit), g.Verdict(), strings.Join(others, ", ")}},
		})
	}
	if g, slope, ok := m.growth(); ok {
		t := Table{
			Title: "Memory over many runs",
			Note: fmt.Sprintf("The server's heap after two garbage collections, in MiB, fifteen seconds after every thousand runs that execute nothing. A line fitted from %d runs on rises by "+
				"%.2f MiB per thousand runs: at its end it is %.2f × what it is at its beginning (limit %s: %s).", warmUp, 1000*slope, g.Ratio, g.Bound(), g.Verdict()),
			Header: []string{"runs", "live MiB", "resident MiB"},
		}
		for _, h := range m.Heap {
			t.Rows = append(t.Rows, []string{strconv.Itoa(h.Runs), fmt.Sprintf("%.1f", h.Live), fmt.Sprintf("%.1f", h.Resident)})
		}
		out = append(out, t)
	}
	return out
}
