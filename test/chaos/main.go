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
	agents     int
	keep       bool
	single     bool
	planted    bool
	fits       bool
	figures    bool

	only      string        // the only fault; empty: all
	planTakes time.Duration // how long each plan takes; 0: as it comes
	lostAfter time.Duration // how long an apply without contact is waited for
	patience  time.Duration // of users with a run: it is then judged as it is
	handsOff  time.Duration // until they unlock a workspace whose outcome is unknown
	quiet     time.Duration // how long everything may take to come to rest after the last fault and the last user
	hasty     bool          // users cancel what they have just asked for
	flags     []string      // of the program, over ours
}

func parse(args []string) (settings, error) {
	var s settings
	f := flag.NewFlagSet("chaos", flag.ContinueOnError)
	f.StringVar(&s.bin, "bin", "bin/gantry", "the `program` to test")
	f.IntVar(&s.faults, "faults", 60, "how many faults to inject")
	f.Uint64Var(&s.seed, "seed", 0, "where the faults come from; 0 for another one each time")
	f.IntVar(&s.workspaces, "workspaces", 20, "in how many workspaces users work")
	f.IntVar(&s.agents, "agents", 2, "how many agents serve half of the workspaces, which are of local workers otherwise; none with -single")
	f.BoolVar(&s.single, "single", false, "one process with everything in it (default: each part by itself, over three NATS servers)")
	f.BoolVar(&s.keep, "keep", false, "keep all files also if nothing is wrong")
	f.BoolVar(&s.planted, "planted", false, "plant bugs in the program, one after the other, and see that each is caught")
	f.BoolVar(&s.figures, "figures", false, "measure what docs/operations.md says about losses; -only loss, leases or restart")
	f.BoolVar(&s.fits, "fits", false, "with -planted: only see whether the bugs still fit the sources")
	f.StringVar(&s.only, "only", "", "inject this `fault` only, as the list at the end names it; with -planted: plant bugs whose names have this in them")
	f.DurationVar(&s.planTakes, "plan-takes", 0, "how long each plan takes; 0 for as long as it does, and some longer")
	f.DurationVar(&s.lostAfter, "lost-after", 25*time.Second, "how long an apply without contact is waited for")
	f.DurationVar(&s.patience, "patience", 4*time.Minute, "until users give up on a run, which is then judged as it is")
	f.DurationVar(&s.handsOff, "hands-off", 12*time.Second, "until users unlock a workspace whose outcome is unknown")
	f.DurationVar(&s.quiet, "quiet", 90*time.Second, "how long everything may take to come to rest at the end")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	s.flags = f.Args() // after "--"
	if s.faults < 0 || s.workspaces < 1 {
		return s, errors.New("want at least one workspace and no fewer than 0 faults, see -h")
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
	if s.figures {
		return figures(ctx, s, out)
	}
	if s.planted {
		return plantAll(ctx, s, out)
	}
	root, err := newRoot()
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

// newRoot makes the folder that everything of a session is in.
func newRoot() (string, error) {
	root, err := os.MkdirTemp("", "gantry-chaos-")
	if err != nil {
		return "", err
	}
	return root, os.Chmod(root, 0o755) //nolint:gosec // others than us pass through: Postgres and terraform
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
	breaches, err := judge(ctx, in, crowd, injected, s.quiet, out)
	return breaches, errors.Join(err, injected.verdict())
}

// judge reads the records until nothing is wrong with them or it had its time: logs and the outbox arrive a little later.
func judge(ctx context.Context, in *installation, c *crowd, i *injector, quiet time.Duration, out io.Writer) ([]history.Breach, error) {
	for end := time.Now().Add(quiet); ; {
		h, err := in.records(ctx, c)
		if err != nil {
			return nil, err
		}
		h.LogsDeleted, h.Broken = i.logsDeleted, i.broken
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
