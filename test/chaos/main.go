package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"gantry.example/test/chaos/history"
)

func main() {
	var err error
	if filepath.Base(os.Args[0]) == wrapperName {
		err = wrap()
	} else {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		err = run(ctx, os.Args[1:], os.Stdout)
		stop()
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1) //nolint:forbidigo // a main
	}
}

// settings are what can be set.
type settings struct {
	bin        string
	faults     int
	seed       uint64
	workspaces int
	keep       bool
	single     bool
}

func parse(args []string) (settings, error) {
	var s settings
	f := flag.NewFlagSet("chaos", flag.ContinueOnError)
	f.StringVar(&s.bin, "bin", "bin/gantry", "the `program` to test")
	f.IntVar(&s.faults, "faults", 60, "how many faults to inject")
	f.Uint64Var(&s.seed, "seed", 0, "where the faults come from; 0 for another one each time")
	f.IntVar(&s.workspaces, "workspaces", 20, "in how many workspaces users work")
	f.BoolVar(&s.single, "single", false, "one process with everything in it (default: each part by itself, over three NATS servers)")
	f.BoolVar(&s.keep, "keep", false, "keep all files also if nothing is wrong")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	if f.NArg() > 0 || s.faults < 0 || s.workspaces < 1 {
		return s, errors.New("want flags only, see -h")
	}
	for s.seed == 0 {
		s.seed = rand.Uint64() >> 32 // short enough to be typed
	}
	var err error
	s.bin, err = filepath.Abs(s.bin)
	return s, err
}

func run(ctx context.Context, args []string, out io.Writer) error {
	s, err := parse(args)
	if err != nil {
		return err
	}
	root, err := os.MkdirTemp("", "gantry-chaos-")
	if err == nil {
		err = os.Chmod(root, 0o755) // others than us pass through: Postgres and terraform
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "chaos: seed %d, %d faults, %d workspaces, files in %s\n", s.seed, s.faults, s.workspaces, root)
	breaches, err := session(ctx, s, root, out)
	for _, b := range breaches {
		fmt.Fprintln(out, "BREACH", b)
	}
	switch {
	case err != nil:
	case len(breaches) > 0:
		err = fmt.Errorf("%d promises were not kept; again with SEED=%d", len(breaches), s.seed)
	case s.keep:
	default:
		return os.RemoveAll(root)
	}
	fmt.Fprintln(out, "chaos: files are kept in", root)
	return err
}

// session is the whole story: start, users and faults at the same time, quiet, judgement.
func session(ctx context.Context, s settings, root string, out io.Writer) (_ []history.Breach, err error) {
	in, err := install(ctx, s, root)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, in.remove()) }()
	crowd, err := newCrowd(ctx, in, s)
	if err != nil {
		return nil, err
	}
	crowd.start(ctx)
	injected := newInjector(in, s, out)
	faultErr := injected.run(ctx)
	if err := errors.Join(faultErr, in.calm(ctx)); err != nil {
		crowd.abandon()
		return nil, errors.Join(err, crowd.leave())
	}
	if err := crowd.leave(); err != nil {
		return nil, err
	}
	breaches, err := judge(ctx, in, crowd, injected, out)
	return breaches, errors.Join(err, injected.verdict())
}

// quiet is how long everything may take to come to rest after the last fault and the last user.
const quiet = 90 * time.Second

// judge reads the records until nothing is wrong with them or it had its time: logs and the outbox arrive a little later.
func judge(ctx context.Context, in *installation, c *crowd, i *injector, out io.Writer) ([]history.Breach, error) {
	for end := time.Now().Add(quiet); ; {
		h, err := in.records(ctx, c)
		if err != nil {
			return nil, err
		}
		h.LogsDeleted = i.logsDeleted
		breaches := history.Check(h)
		if len(breaches) == 0 || time.Now().After(end) {
			summary(out, h)
			return breaches, nil
		}
		if err := pause(ctx, 5*time.Second); err != nil {
			return breaches, err
		}
	}
}

func summary(out io.Writer, h history.History) {
	statuses := map[string]int{}
	unknown := 0
	for _, e := range h.Events {
		if e.Type == "outcome_unknown" {
			unknown++
		}
	}
	for _, r := range h.Runs {
		statuses[r.Status]++
	}
	fmt.Fprintf(out, "chaos: judged %d runs %v (%d times an outcome was unknown), %d events, %d states, %d results, %d lines of journals\n",
		len(h.Runs), statuses, unknown, len(h.Events), len(h.States), len(h.Results), len(h.Journal))
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
