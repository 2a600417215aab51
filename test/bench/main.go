// Command bench measures Gantry against the bare Terraform CLI, both in turn in one run, prints the comparison and writes it
// to docs/performance.md. `make bench` builds the programs and runs it; everything it starts and writes, it takes away again.
//
//	main.go        what is measured, in which order       bare.go     the one side: terraform in a folder
//	settings.go    what can be set                        gantry.go   the other side: a run through the API
//	latency.go     create → applied, start, steps         server.go   an installation of its own
//	throughput.go  many runs at once                      figures/    medians, gates, tables
//	cloud.go       the stock CLI with the server as its cloud
//	tasks.go       runs that execute nothing, against bare Postgres and NATS: replay/ and raw/; noop.go is their worker
//	memory.go      what a server takes                    scale.go    lists of a server with a long past
//	database.go    a Postgres for these                   machine.go  what it was measured on
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"gantry.example/test/bench/figures"
	"gantry.example/workers/terraform"
)

// Limits on one bench as a whole, and on any single thing that is measured.
const (
	limit     = 40 * time.Minute
	onceLimit = 3 * time.Minute
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1) //nolint:forbidigo // this is a main
	}
}

// run measures, prints and writes. It fails for a gate only if the settings say so.
func run(ctx context.Context, args []string, stdout, progress io.Writer) error {
	s, err := parse(args, os.Getenv, progress)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	report, err := measure(ctx, s, progress)
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("stopped (%w): %w", context.Cause(ctx), err)
	}
	if err != nil {
		return err
	}
	fmt.Fprint(stdout, report.Text())
	if s.out != "" {
		if err := os.MkdirAll(filepath.Dir(s.out), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(s.out, []byte(report.Markdown()), 0o644); err != nil {
			return err
		}
		fmt.Fprintln(progress, "bench: written to", s.out)
	}
	if failed := figures.Failed(report.Gates()); s.gate && len(failed) > 0 {
		return fmt.Errorf("%d of %d limits missed", len(failed), len(report.Gates()))
	}
	return nil
}

// bench is one run of this program.
type bench struct {
	settings
	root      string // private folder of everything
	terraform string // the program both sides run
	progress  io.Writer
	report    figures.Report
}

func measure(ctx context.Context, s settings, progress io.Writer) (report figures.Report, err error) {
	b := &bench{settings: s, progress: progress}
	if b.terraform, err = locate(); err != nil {
		return report, err
	}
	if b.bin, err = filepath.Abs(b.bin); err != nil {
		return report, err
	}
	if _, err := os.Stat(b.bin); err != nil {
		return report, fmt.Errorf("no program to measure (%w): run make build, or name it with -bin", err)
	}
	if b.root, err = os.MkdirTemp("", "gantry-bench-"); err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, b.clear()) }()
	if err := b.prepare(); err != nil {
		return report, err
	}
	if b.report.Facts, err = b.facts(ctx); err != nil {
		return report, err
	}
	if len(b.sizes) > 0 {
		if err := b.with(ctx, b.latency, "single"); err != nil {
			return report, fmt.Errorf("create → applied: %w", err)
		}
	}
	if b.rounds > 0 {
		if err := b.with(ctx, b.throughput, "many", "--concurrency", strconv.Itoa(concurrency)); err != nil {
			return report, fmt.Errorf("throughput: %w", err)
		}
	}
	if b.agent > 0 {
		if err := b.remote(ctx); err != nil {
			return report, fmt.Errorf("agent: %w", err)
		}
	}
	if len(b.clouds) > 0 {
		if err := b.with(ctx, b.cloud, "cloud"); err != nil {
			return report, fmt.Errorf("cloud block: %w", err)
		}
	}
	return b.report, b.measureServer(ctx)
}

// measureServer measures what has nothing to do with terraform.
func (b *bench) measureServer(ctx context.Context) error {
	if b.memory >= 0 {
		if err := b.with(ctx, b.idle, "idle"); err != nil {
			return fmt.Errorf("memory: %w", err)
		}
	}
	for _, m := range []struct {
		what    string
		wanted  int
		measure func(context.Context) error
	}{{"tasks", b.noop, b.tasks}, {"memory over many runs", b.memory, b.growth}, {"a long past", b.past, b.scale}} {
		if m.wanted > 0 {
			if err := m.measure(ctx); err != nil {
				return fmt.Errorf("%s: %w", m.what, err)
			}
		}
	}
	return nil
}

// with measures on a new server with the default settings, but for the flags given.
func (b *bench) with(ctx context.Context, measure func(context.Context, *server) error, name string, flags ...string) error {
	return b.withServer(ctx, func(ctx context.Context, s *server) error {
		if err := b.warmUp(ctx, s); err != nil {
			return err
		}
		return measure(ctx, s)
	}, name, flags...)
}

// withServer is with, without doing anything else on the server before.
func (b *bench) withServer(ctx context.Context, measure func(context.Context, *server) error, name string, flags ...string) error {
	s, err := b.startServer(ctx, name, flags...)
	if err != nil {
		return err
	}
	err = measure(ctx, s)
	if err = errors.Join(err, s.stop()); err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w\nthe end of the server's log:\n%s", err, s.tail())
	}
	return err
}

// prepare makes the folders. PostgreSQL may run as another user, who passes through the root and uses tmp.
func (b *bench) prepare() error {
	if err := os.Chmod(b.root, 0o755); err != nil {
		return err
	}
	for _, dir := range []string{b.tmp(), b.home()} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
	}
	if err := os.Chmod(b.tmp(), 0o777|os.ModeSticky); err != nil {
		return err
	}
	return os.WriteFile(b.cliConfig(), []byte("disable_checkpoint = true\n"), 0o600)
}

// clear ends what an aborted measurement left running (a runner outlives its server on purpose) and removes the folder.
// Processes are known by the private folder in their environment.
func (b *bench) clear() error {
	return errors.Join(terraform.KillTree(b.root, false), os.RemoveAll(b.root))
}

func (b *bench) tmp() string       { return filepath.Join(b.root, "tmp") }
func (b *bench) home() string      { return filepath.Join(b.root, "home") }
func (b *bench) cliConfig() string { return filepath.Join(b.root, "terraform.rc") }

func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.progress, "bench: "+format+"\n", args...)
}

// rest lets what a measurement left to be done in the background end, so that the next one does not pay for it.
func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
