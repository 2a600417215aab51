package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// settings are what can be set.
type settings struct {
	bin   string
	out   string // file of the report; empty for none
	gate  bool   // a missed limit is a failure
	sizes []size

	rounds int
	agent  int // times one resource is applied on an agent; 0: no agent is measured
	clouds []size
	noop   int // tasks that execute nothing, per round
	memory int // runs over which the heap is watched; negative: not even an idle server
	past   int // runs that a server with a long past has
}

// size says how often a configuration of so many resources is applied by either side.
type size struct{ resources, times int }

func parse(args []string, getenv func(string) string, usage io.Writer) (settings, error) {
	s := settings{}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(usage)
	f.StringVar(&s.bin, "bin", "bin/gantry", "the `program` to measure")
	f.StringVar(&s.out, "out", "docs/performance.md", `write the report to this `+"`file`"+`; "" for none`)
	f.BoolVar(&s.gate, "gate", getenv("GATE") == "1", "exit with 1 if a limit is missed (default: whether GATE=1)")
	sizes := f.String("n", "1:50,10:15,100:15,1000:5", "`resources:times` to create and apply, with commas")
	clouds := f.String("cloud", "1:9,100:9", "`resources:times` to plan by the stock CLI, with commas")
	f.IntVar(&s.rounds, "rounds", 3, "how often throughput is measured; 0 for not at all")
	f.IntVar(&s.agent, "agent", 15, "how `often` one resource is applied on an agent, beside -rounds of throughput there; 0 for no agent")
	f.IntVar(&s.noop, "noop", 2000, "how many `tasks` that execute nothing are measured, twice; 0 for none")
	f.IntVar(&s.memory, "memory", 0, "over how many `runs` that execute nothing the heap is watched; 0 for an idle server only, -1 for nothing")
	f.IntVar(&s.past, "past", 0, "how many past `runs` a server has when its lists are measured; 0 for not at all")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	if f.NArg() > 0 {
		return s, fmt.Errorf("argument %q: there are only flags, see -h", f.Arg(0))
	}
	if s.rounds < 0 || s.agent < 0 || s.noop < 0 || s.past < 0 {
		return s, errors.New("-rounds, -agent, -noop, -past: cannot be less than 0")
	}
	var err error
	if s.sizes, err = parseSizes("n", *sizes); err == nil {
		s.clouds, err = parseSizes("cloud", *clouds)
	}
	return s, err
}

func parseSizes(flag, text string) ([]size, error) {
	if text == "" {
		return nil, nil
	}
	var out []size
	for part := range strings.SplitSeq(text, ",") {
		left, right, _ := strings.Cut(part, ":")
		resources, err := strconv.Atoi(left)
		times, err2 := strconv.Atoi(right)
		if err != nil || err2 != nil || resources < 1 || times < 1 {
			return nil, fmt.Errorf("-%s: %q is not resources:times, like 100:15", flag, part)
		}
		out = append(out, size{resources, times})
	}
	return out, nil
}
