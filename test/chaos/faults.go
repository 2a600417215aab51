package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"gantry.example/messages"
)

// How long things stay broken.
const (
	shortestFreeze = 300 * time.Millisecond
	longestFreeze  = 8 * time.Second // longer than the lease and the settle time, shorter than the users' patience
	longestDown    = 4 * time.Second
	shortestCut    = 9 * time.Second // of a worker that is cut off: its lease is over and its runs are seen without contact
	longestCut     = 14 * time.Second
	victimPatience = 20 * time.Second // until somebody comes to be killed
)

func (i *injector) all() []fault {
	faults := []fault{
		{"kill terraform", 4, i.kill(kindTerraform)},
		{"freeze terraform", 3, i.freeze(kindTerraform)},
		{"kill runner", 6, i.kill(kindRunner)},
		{"freeze runner", 5, i.freeze(kindRunner)},
		{"kill Postgres", 2, i.kill(kindPostgres)},
		{"freeze Postgres", 2, i.freezePostgres},
		{"repeat events", 4, i.repeatEvents},
		{"fill the disk", 2, i.fillDisk},
	}
	for _, r := range []role{roleServer, roleAPI, roleRelay, roleProjector, roleHouse, roleWorker, roleAgent, roleNATS} {
		if len(i.in.parts[r]) > 0 {
			faults = append(faults, fault{"kill " + string(r), 2, i.killPart(r)}, fault{"freeze " + string(r), 1, i.freezePart(r)})
		}
	}
	worker := roleWorker
	if !i.in.split() {
		worker = roleServer
	}
	faults = append(faults, fault{"kill " + string(worker) + " and runner", 2, i.killBoth(worker)},
		fault{"suspend a host", 2, i.suspend}, fault{"lose a host", 2, i.loseHost})
	if len(i.in.parts[roleAgent]) > 0 {
		faults = append(faults, fault{"kill agent and runner", 2, i.killBoth(roleAgent)})
	}
	if i.in.split() {
		faults = append(faults, fault{"kill the leader of a stream", 2, i.killLeader}, fault{"cut the network", 4, i.cutLink},
			fault{"cut a worker off before a start", 1, i.cutOff(host.starting)}, fault{"cut a worker off at work", 1, i.cutOff(host.working)},
			fault{"delete consumer of STATUS", 1, i.deleteConsumer(messages.StatusStream, messages.ProjectorConsumer)},
			fault{"delete consumer of LOGS", 1, i.deleteConsumer(messages.LogStream, messages.LogConsumer)})
	}
	for _, stream := range i.in.streams() {
		name := stream
		if agents := i.in.pools[1:]; len(agents) > 0 { // its id is another one each time
			name = strings.Replace(stream, agents[0], "agents", 1)
		}
		faults = append(faults, fault{"delete " + name, 1, i.deleteStream(stream)})
	}
	return faults
}

// streams are those that may vanish. What producers put into INTAKE is nowhere else until it is a run.
func (in *installation) streams() []string {
	out := []string{messages.StatusStream, messages.LogStream}
	for _, pool := range in.pools {
		out = append(out, messages.TaskStream(pool), messages.LeaseStream(pool))
	}
	return out
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
		i.breaks(pid)
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
		i.breaks(pid)
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
	who := fmt.Sprint(pids)
	if len(pids) > 4 {
		who = fmt.Sprintf("%d of them", len(pids))
	}
	return fmt.Sprintf("%s for %s", who, d.Round(time.Millisecond)), err
}

// part picks one that is there.
func (i *injector) part(r role, dice *rand.Rand) *program {
	all := i.in.parts[r]
	there := slices.DeleteFunc(slices.Clone(all), (*program).isHeld)
	if len(there) == 0 {
		there = all
	}
	return there[dice.IntN(len(there))]
}

func (i *injector) killPart(r role) func(context.Context, *rand.Rand) (string, error) {
	return func(ctx context.Context, dice *rand.Rand) (string, error) {
		return down(ctx, i.part(r, dice), dice, func() error { return nil })
	}
}

func (i *injector) freezePart(r role) func(context.Context, *rand.Rand) (string, error) {
	return func(ctx context.Context, dice *rand.Rand) (string, error) {
		return frozen(ctx, freezeFor(dice), i.part(r, dice).pid())
	}
}

func (i *injector) killLeader(ctx context.Context, dice *rand.Rand) (string, error) {
	all := i.in.streams()
	stream := all[dice.IntN(len(all))]
	for end := time.Now().Add(victimPatience); time.Now().Before(end); {
		if p := i.in.leader(ctx, stream); p != nil {
			what, err := down(ctx, p, dice, func() error { return nil })
			return "of " + stream + ", " + what, err
		}
		if err := pause(ctx, shortPause); err != nil {
			return "", err
		}
	}
	return "", fmt.Errorf("%w: %s has no leader", errSkipped, stream)
}

// cutLink cuts a worker, or the users, off from everything.
func (i *injector) cutLink(ctx context.Context, dice *rand.Rand) (string, error) {
	n, hard, d := dice.IntN(len(i.in.links)), dice.IntN(2) == 0, freezeFor(dice)
	i.in.links[n].cut(hard)
	defer i.in.links[n].heal()
	return fmt.Sprintf("link %d for %s, connections broken: %t", n, d.Round(time.Millisecond), hard), pause(ctx, d)
}

// down kills a program and lets it start again after a while; meanwhile something may be done to its files.
func down(ctx context.Context, p *program, dice *rand.Rand, meanwhile func() error) (string, error) {
	p.hold(true)
	defer p.hold(false)
	pid := p.pid()
	if err := p.signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return "", err
	}
	if err := gone(ctx, pid); err != nil {
		return "", err
	}
	if err := meanwhile(); err != nil {
		return "", err
	}
	d := time.Duration(dice.Int64N(int64(longestDown)))
	return fmt.Sprintf("%s, %d for %s", p.name, pid, d.Round(time.Millisecond)), pause(ctx, d)
}

// killBoth is a worker that goes down with a runner: nobody sees how that ends.
func (i *injector) killBoth(r role) func(context.Context, *rand.Rand) (string, error) {
	return func(ctx context.Context, dice *rand.Rand) (string, error) {
		pid, err := i.one(ctx, kindRunner, dice)
		if err != nil {
			return "", err
		}
		what, err := down(ctx, i.part(r, dice), dice, func() error {
			i.breaks(pid)
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may just have ended
			return nil
		})
		return fmt.Sprintf("runner %d, %s", pid, what), err
	}
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

// fillDisk takes all room of the work folder for a while.
func (i *injector) fillDisk(ctx context.Context, dice *rand.Rand) (string, error) {
	if !i.in.full {
		i.expected["fill the disk"] = "only root can mount a small file system"
		return "", errSkipped
	}
	path := filepath.Join(i.in.work, "filler")
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
