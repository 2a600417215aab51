package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"gantry.example/internal/bus"
	"gantry.example/messages"
)

// How long things stay broken.
const (
	shortestFreeze = 300 * time.Millisecond
	longestFreeze  = 8 * time.Second // longer than the lease and the settle time, shorter than the users' patience
	longestDown    = 4 * time.Second
	victimPatience = 20 * time.Second // until somebody comes to be killed
)

func (i *injector) all() []fault {
	faults := []fault{
		{"kill terraform", 4, i.kill(kindTerraform)},
		{"freeze terraform", 3, i.freeze(kindTerraform)},
		{"kill runner", 6, i.kill(kindRunner)},
		{"freeze runner", 5, i.freeze(kindRunner)},
		{"kill server", 4, i.killServer},
		{"freeze server", 3, i.freezeServer},
		{"kill server and runner", 2, i.killBoth},
		{"kill Postgres", 2, i.kill(kindPostgres)},
		{"freeze Postgres", 2, i.freezePostgres},
		{"repeat events", 5, i.repeatEvents},
	}
	for _, stream := range []string{"TASKS_local", "STATUS", "LOGS", "KV_LOCKS_local"} {
		faults = append(faults, fault{"delete " + stream, 1, i.deleteStream(stream)})
	}
	return append(faults, fault{"fill the disk", 2, i.fillDisk})
}

// one waits for a process of the kind and picks one.
func (i *injector) one(ctx context.Context, k kind, dice *rand.Rand) (int, error) {
	for end := time.Now().Add(victimPatience); time.Now().Before(end); {
		if pids := i.in.some(k); len(pids) > 0 {
			return pids[dice.IntN(len(pids))], nil
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return 0, err
		}
	}
	return 0, fmt.Errorf("%w: no process within %s", errSkipped, victimPatience)
}

func (i *injector) kill(k kind) func(context.Context, *rand.Rand) (string, error) {
	return func(ctx context.Context, dice *rand.Rand) (string, error) {
		pid, err := i.one(ctx, k, dice)
		if err != nil {
			return "", err
		}
		// Processes of a kind are often at the same point when they are found.
		if err := pause(ctx, time.Duration(dice.Int64N(int64(500*time.Millisecond)))); err != nil {
			return "", err
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			return fmt.Sprintf("%d, which just ended", pid), nil
		}
		return fmt.Sprint(pid), nil
	}
}

func freezeFor(dice *rand.Rand) time.Duration {
	return shortestFreeze + time.Duration(dice.Int64N(int64(longestFreeze-shortestFreeze)))
}

func (i *injector) freeze(k kind) func(context.Context, *rand.Rand) (string, error) {
	return func(ctx context.Context, dice *rand.Rand) (string, error) {
		pid, err := i.one(ctx, k, dice)
		if err != nil {
			return "", err
		}
		return frozen(ctx, freezeFor(dice), pid)
	}
}

// frozen stops processes for a while.
func frozen(ctx context.Context, d time.Duration, pids ...int) (string, error) {
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGSTOP) // it may just have ended
	}
	err := pause(ctx, d)
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}
	return fmt.Sprintf("%v for %s", pids, d.Round(time.Millisecond)), err
}

func (i *injector) killServer(ctx context.Context, dice *rand.Rand) (string, error) {
	return i.down(ctx, dice, func() error { return nil })
}

// down kills the server and lets it start again after a while; meanwhile something may be done to its files.
func (i *injector) down(ctx context.Context, dice *rand.Rand, meanwhile func() error) (string, error) {
	s := i.in.server
	s.hold(true)
	defer s.hold(false)
	pid := s.pid()
	if err := s.signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return "", err
	}
	if err := gone(ctx, pid); err != nil {
		return "", err
	}
	if err := meanwhile(); err != nil {
		return "", err
	}
	d := time.Duration(dice.Int64N(int64(longestDown)))
	return fmt.Sprintf("%d for %s", pid, d.Round(time.Millisecond)), pause(ctx, d)
}

func (i *injector) freezeServer(ctx context.Context, dice *rand.Rand) (string, error) {
	return frozen(ctx, freezeFor(dice), i.in.server.pid())
}

// killBoth is a worker that goes down with a runner: nobody sees how that ends.
func (i *injector) killBoth(ctx context.Context, dice *rand.Rand) (string, error) {
	pid, err := i.one(ctx, kindRunner, dice)
	if err != nil {
		return "", err
	}
	what, err := i.down(ctx, dice, func() error {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may just have ended
		return nil
	})
	return fmt.Sprintf("runner %d, server %s", pid, what), err
}

func (i *injector) freezePostgres(ctx context.Context, dice *rand.Rand) (string, error) {
	pids := i.in.some(kindPostgres)
	if len(pids) == 0 {
		return "", fmt.Errorf("%w: it does not run", errSkipped)
	}
	return frozen(ctx, freezeFor(dice), append(pids, children(pids[0])...)...)
}

// children are the processes that one has started.
func children(pid int) []int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid)) // none: it has none
	var out []int
	for _, field := range strings.Fields(string(text)) {
		var child int
		if _, err := fmt.Sscan(field, &child); err == nil {
			out = append(out, child)
		}
	}
	return out
}

// deleteStream takes a stream away with all it holds, while its server is down.
func (i *injector) deleteStream(name string) func(context.Context, *rand.Rand) (string, error) {
	return func(ctx context.Context, dice *rand.Rand) (string, error) {
		found := false
		what, err := i.down(ctx, dice, func() error {
			dirs, err := filepath.Glob(i.in.path("data", "nats", "jetstream", "*", "streams", name))
			for _, dir := range dirs {
				found = true
				err = errors.Join(err, os.RemoveAll(dir))
			}
			return err
		})
		if err == nil && !found {
			err = fmt.Errorf("%w: there is no such stream", errSkipped)
		}
		i.logsDeleted = i.logsDeleted || name == "LOGS"
		return "server " + what, err
	}
}

// repeatEvents sends old messages again, in any order, as NATS may do.
func (i *injector) repeatEvents(ctx context.Context, dice *rand.Rand) (string, error) {
	token, err := os.ReadFile(i.in.path("data", "worker-token"))
	if err != nil {
		return "", err
	}
	events, err := i.in.oldEvents(ctx, 50)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errSkipped, err)
	}
	nc, err := bus.Connect(bus.ConnectConfig{URL: "nats://" + i.in.nats, Token: strings.TrimSpace(string(token)), Name: "chaos"})
	if err != nil {
		return "", err
	}
	defer nc.Close()
	for nc.FlushTimeout(time.Second) != nil { // it may just be starting
		if err := pause(ctx, shortPause); err != nil {
			return "", err
		}
	}
	dice.Shuffle(len(events), func(a, b int) { events[a], events[b] = events[b], events[a] })
	for _, e := range events {
		// Without the id by which JetStream would know it.
		if err := nc.Publish(messages.StatusSubject(messages.LocalPool, e.workspace, e.run, e.attempt), e.body); err != nil {
			return "", err
		}
	}
	if err := nc.FlushTimeout(victimPatience); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d of them", len(events)), nil
}

// fillDisk takes all room of the work folder for a while.
func (i *injector) fillDisk(ctx context.Context, dice *rand.Rand) (string, error) {
	if !i.in.full {
		i.expected["fill the disk"] = "only root can mount a small file system"
		return "", errSkipped
	}
	path := i.in.path("data", "work", "filler")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	block := make([]byte, 64<<10)
	for err == nil {
		_, err = f.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return "", errors.Join(err, f.Close())
	}
	d := time.Duration(dice.Int64N(int64(longestDown)))
	return "for " + d.Round(time.Millisecond).String(), errors.Join(pause(ctx, d), f.Close(), os.Remove(path))
}
