package figures

import (
	"fmt"
	"strconv"
)

// Agent is the comparison for runs on an agent, which reaches the server over HTTPS.
type Agent struct {
	Size       Size // one resource at a time
	Throughput Throughput
}

// Limits of agents: what passes between them and the server costs a little more.
const (
	maxAgent           = 1.35
	minAgentThroughput = 0.85
)

func (a Agent) gates() []Gate {
	var out []Gate
	if len(a.Size.Gantry) > 0 {
		out = append(out, Gate{Name: "create → applied on an agent, 1 × terraform_data", Ratio: Ratio(a.Size.Gantry, a.Size.Bare), Limit: maxAgent})
	}
	if len(a.Throughput.Gantry) > 0 {
		out = append(out, Gate{Name: "throughput on an agent", Ratio: Ratio(a.Throughput.Gantry, a.Throughput.Bare), Limit: minAgentThroughput, AtLeast: true})
	}
	return out
}

func (a Agent) tables() []Table {
	gates := a.gates()
	if len(gates) == 0 {
		return nil
	}
	t := Table{
		Title: "On an agent",
		Note: "The same on an idle agent on the same machine, which reaches the server over HTTPS and NATS through it: one resource in seconds, and " +
			"many runs at once, runs per minute. Median (min–max).",
		Header: []string{"what", "times", "bare CLI", "Gantry", "ratio", "limit", "gate"},
	}
	for i, row := range []struct {
		what         string
		bare, gantry Sample
		digits       int
	}{
		{"create → applied, 1 × terraform_data, s", a.Size.Bare, a.Size.Gantry, 3},
		{fmt.Sprintf("%d runs over %d workspaces, /min", a.Throughput.Runs, a.Throughput.Workspaces), a.Throughput.Bare, a.Throughput.Gantry, 0},
	} {
		if i < len(gates) {
			g := gates[i]
			t.Rows = append(t.Rows, []string{row.what, strconv.Itoa(len(row.gantry)), row.bare.Show(row.digits), row.gantry.Show(row.digits),
				fmt.Sprintf("%.2f", g.Ratio), g.Bound(), g.Verdict()})
		}
	}
	return []Table{t}
}
