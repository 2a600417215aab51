package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// fault is a way to break something. It returns what it did when everything is whole again, as far as that is in its hands.
type fault struct {
	name   string
	weight int
	inject func(context.Context, *rand.Rand) (what string, err error)
}

// errSkipped: there was nothing to break.
var errSkipped = errors.New("skipped")

// injector injects the faults that a seed asks for, one after the other.
type injector struct {
	in     *installation
	out    io.Writer
	asked  int
	dice   *rand.Rand
	faults []fault

	injected, skipped map[string]int
	expected          map[string]string // faults that cannot be injected here, and why
	logsDeleted       bool
	broken            map[string]bool // attempts whose runner was broken
	alone             bool            // one kind of fault is injected: hosts that are lost stay so until their runs were given up
	aside             sync.WaitGroup  // of faults that others go on beside
}

func newInjector(in *installation, s settings, out io.Writer) *injector {
	i := &injector{
		in: in, out: out, asked: s.faults, dice: rand.New(rand.NewPCG(s.seed, 1<<32)), //nolint:gosec // chance, not secrecy
		injected: map[string]int{}, skipped: map[string]int{}, expected: map[string]string{}, broken: map[string]bool{},
		alone: s.only != "",
	}
	i.faults = slices.DeleteFunc(i.all(), func(f fault) bool { return s.only != "" && f.name != s.only })
	return i
}

// Pauses between faults: the shorter one lets them meet.
const (
	shortPause = 100 * time.Millisecond
	longPause  = 1500 * time.Millisecond
)

func (i *injector) run(ctx context.Context) error {
	defer i.aside.Wait()
	total := 0
	for _, f := range i.faults {
		total += f.weight
	}
	begun := time.Now()
	for n := range i.asked {
		// Each fault has dice of its own: how often it has to look for a victim changes nothing for the next one.
		dice := rand.New(rand.NewPCG(i.dice.Uint64(), uint64(n))) //nolint:gosec // chance, not secrecy
		f := i.pick(dice.IntN(total))
		what, err := f.inject(ctx, dice)
		switch {
		case errors.Is(err, errSkipped):
			i.skipped[f.name]++
			what = err.Error()
		case err != nil:
			return fmt.Errorf("fault %d, %s: %w", n+1, f.name, err)
		default:
			i.injected[f.name]++
		}
		fmt.Fprintf(i.out, "%7.1fs %4d/%d %s: %s\n", time.Since(begun).Seconds(), n+1, i.asked, f.name, what)
		if err := pause(ctx, shortPause+time.Duration(dice.Int64N(int64(longPause-shortPause)))); err != nil {
			return err
		}
	}
	return nil
}

func (i *injector) pick(n int) fault {
	for _, f := range i.faults {
		if n -= f.weight; n < 0 {
			return f
		}
	}
	return i.faults[len(i.faults)-1]
}

// verdict prints what was asked for and what happened, and fails for a skip that nothing explains.
func (i *injector) verdict() error {
	injected, skipped := 0, 0
	var err error
	for _, f := range i.faults {
		injected, skipped = injected+i.injected[f.name], skipped+i.skipped[f.name]
		fmt.Fprintf(i.out, "  %-34s %4d injected %4d skipped\n", f.name, i.injected[f.name], i.skipped[f.name])
		if i.skipped[f.name] > 0 && i.expected[f.name] == "" {
			err = errors.Join(err, fmt.Errorf("%s: skipped %d times, which should not happen", f.name, i.skipped[f.name]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(i.expected)) {
		fmt.Fprintf(i.out, "  %s is not tested: %s\n", name, i.expected[name])
	}
	fmt.Fprintf(i.out, "chaos: %d faults asked for, %d injected, %d skipped\n", i.asked, injected, skipped)
	return err
}
