package figures

import (
	"fmt"
	"strconv"
)

// Tasks is the comparison of runs that execute nothing with operations of Postgres and NATS alone, in tasks per second.
type Tasks struct {
	Tasks, Workers, Workspaces int
	Statements                 float64 // that a server makes for a task
	Gantry                     Sample
	Same                       Sample // the operations that the server makes
	Least                      Sample // the least that any would have to make
	Events                     Sample // projected per second
}

// minTasks is the least part of what the same operations reach that is good enough.
const minTasks = 0.70

func (t Tasks) gate() Gate {
	return Gate{Name: "tasks that execute nothing", Ratio: Ratio(t.Gantry, t.Same), Limit: minTasks, Of: "the same operations", AtLeast: true}
}

func (t Tasks) table() Table {
	g := t.gate()
	return Table{
		Title: fmt.Sprintf("%d tasks that execute nothing, %d workers", t.Tasks, t.Workers),
		Note: fmt.Sprintf("Runs over %d workspaces, from the first request to create one until the last is final in Postgres: created, queued, claimed, started, a stage "+
			"told and the result taken, over HTTP and NATS, every write synced. Against the same operations of Postgres and NATS by themselves: the %.0f statements and 9 "+
			"messages of each task, recorded from the server and done again by as many connections in a copy of the database (`test/bench/replay`). Last column: against "+
			"the least that these steps could ask for, one statement for each commit with nothing read and nothing decided (`test/bench/raw`): that leaves nothing for HTTP. "+
			"Tasks per second, median (min–max).",
			t.Workspaces, t.Statements),
		Header: []string{"rounds", "same operations /s", "Gantry /s", "ratio", "limit", "gate", "events projected /s", "least operations /s", "ratio"},
		Rows: [][]string{{strconv.Itoa(len(t.Gantry)), t.Same.Show(0), t.Gantry.Show(0), fmt.Sprintf("%.2f", g.Ratio), g.Bound(), g.Verdict(),
			t.Events.Show(0), t.Least.Show(0), fmt.Sprintf("%.2f", Ratio(t.Gantry, t.Least))}},
	}
}

// Scale is the comparison of a database with a long past with one that has next to none.
type Scale struct {
	Runs, Workspaces       int // of the one
	FewRuns, FewWorkspaces int // of the other
	Lists                  []Asked
}

// Asked is how long one thing took on both, in milliseconds.
type Asked struct {
	What      string
	Few, Many Sample
}

// maxScale is how much longer something may take with a long past.
const maxScale = 2

func (a Asked) gate() Gate {
	return Gate{Name: a.What, Ratio: Ratio(a.Many, a.Few), Limit: maxScale, Of: "a nearly empty database"}
}

func (s Scale) gates() []Gate {
	var out []Gate
	for _, a := range s.Lists {
		out = append(out, a.gate())
	}
	return out
}

func (s Scale) table() Table {
	t := Table{
		Title: fmt.Sprintf("%d past runs in %d workspaces", s.Runs, s.Workspaces),
		Note: fmt.Sprintf("What people and tools ask for, in turn of a server with that past and of one with %d runs in %d workspaces, so that its pages are as full. "+
			"Milliseconds over HTTP, median (min–max).", s.FewRuns, s.FewWorkspaces),
		Header: []string{"what", "times", "few runs ms", "many runs ms", "ratio", "limit", "gate"},
	}
	for _, a := range s.Lists {
		g := a.gate()
		t.Rows = append(t.Rows, []string{a.What, strconv.Itoa(len(a.Many)), a.Few.Show(1), a.Many.Show(1), fmt.Sprintf("%.2f", g.Ratio), g.Bound(), g.Verdict()})
	}
	return t
}
