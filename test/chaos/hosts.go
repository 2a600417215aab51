package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// host is what a machine with a worker would be: the worker, its runners, and everything that they execute.
type host struct {
	worker *program
	dir    string // the worker's data folder: those who belong to it work in it, or know it
	link   *link  // to everything else; nil where they are one process
}

// pids are the processes of the host that live now.
func (h host) pids() []int {
	entries, _ := os.ReadDir("/proc") // none: nobody is there
	var pids []int
	if pid := h.worker.pid(); pid > 0 {
		pids = append(pids, pid)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		proc := filepath.Join("/proc", e.Name())
		cwd, _ := os.Readlink(filepath.Join(proc, "cwd"))     // empty for one that just ended
		env, _ := os.ReadFile(filepath.Join(proc, "environ")) // the same
		if strings.HasPrefix(cwd+"/", h.dir+"/") || bytes.Contains(env, []byte(h.dir+"/")) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// applying reports whether terraform applies something there.
func (h host) applying() bool { return h.has("applying", "result.json", 10*time.Second) }

// starting reports whether a runner there did not ask for its start yet.
func (h host) starting() bool { return h.has("lock", "start", time.Second) }

// working reports whether an attempt there has begun and has no result yet.
func (h host) working() bool { return h.has("start", "result.json", 10*time.Second) }

// has reports whether there is an attempt with the one mark in its folder, made a moment ago, and without the other. What is
// older may have been left by somebody who was killed.
func (h host) has(mark, without string, moment time.Duration) bool {
	marks, _ := filepath.Glob(filepath.Join(h.dir, "work", "attempts", "*", mark)) // none: there is not
	return !h.worker.isHeld() && slices.ContainsFunc(marks, func(path string) bool {
		info, err := os.Stat(path)
		_, over := os.Stat(filepath.Join(filepath.Dir(path), without))
		return err == nil && over != nil && time.Since(info.ModTime()) < moment
	})
}

// attemptsOf are the attempts whose files the process has open: those that a runner works at.
func attemptsOf(pid int) []string {
	fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid)) // none: it has ended
	var out []string
	for _, fd := range fds {
		path, _ := os.Readlink(fd)
		if _, rest, ok := strings.Cut(path, "/work/attempts/"); ok {
			id, _, _ := strings.Cut(rest, "/")
			out = append(out, id)
		}
	}
	return out
}

// breaks notes whose runners are about to be broken.
func (i *injector) breaks(pids ...int) {
	for _, pid := range pids {
		for _, id := range attemptsOf(pid) {
			i.broken[id] = true
		}
	}
}

// host picks one that is there.
func (i *injector) host(dice *rand.Rand) host {
	var there []host
	for _, h := range i.in.hosts {
		if !h.worker.isHeld() {
			there = append(there, h)
		}
	}
	if len(there) == 0 {
		there = i.in.hosts
	}
	return there[dice.IntN(len(there))]
}

// suspend is a virtual machine that stands still for a while.
func (i *injector) suspend(ctx context.Context, dice *rand.Rand) (string, error) {
	pids := i.host(dice).pids()
	i.breaks(pids...)
	what, err := frozen(ctx, freezeFor(dice), pids...)
	return "processes " + what, err
}

// loseHost takes the power from a machine that applies something. One in three comes back only when its runs were given up;
// meanwhile other things break.
func (i *injector) loseHost(ctx context.Context, dice *rand.Rand) (string, error) {
	h, d := i.host(dice), time.Duration(dice.Int64N(int64(longestDown)))
	if long := dice.IntN(3) == 0; (long || i.alone) && i.allThere() {
		d += i.in.patience
	}
	for end := time.Now().Add(victimPatience); !h.applying() && time.Now().Before(end); { // or else it does something else
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return "", err
		}
	}
	if err := pause(ctx, time.Duration(dice.Int64N(int64(time.Second)))); err != nil {
		return "", err
	}
	h.worker.hold(true)
	for range 3 { // what was just being started is there at the second look
		pids := h.pids()
		i.breaks(pids...)
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may just have ended
		}
	}
	back := func() error {
		defer h.worker.hold(false)
		return pause(ctx, d)
	}
	what := fmt.Sprintf("%s for %s", h.worker.name, d.Round(time.Millisecond))
	if d < longestDown || i.alone {
		return what, back()
	}
	i.aside.Go(func() { _ = back() }) // an end of ctx is everybody's
	return what + ", while other things break", nil
}

// allThere reports whether no host is lost.
func (i *injector) allThere() bool {
	return !slices.ContainsFunc(i.in.hosts, func(h host) bool { return h.worker.isHeld() })
}

// cutOff takes a machine from the network until its leases are over, when one of its attempts is at the point.
func (i *injector) cutOff(at func(host) bool) func(context.Context, *rand.Rand) (string, error) {
	return func(ctx context.Context, dice *rand.Rand) (string, error) {
		found := -1
		for end := time.Now().Add(victimPatience); found < 0; found = slices.IndexFunc(i.in.hosts, at) {
			if time.Now().After(end) {
				return "", fmt.Errorf("%w: no attempt came to that point within %s", errSkipped, victimPatience)
			}
			if err := pause(ctx, 2*time.Millisecond); err != nil {
				return "", err
			}
		}
		h := i.in.hosts[found]
		d, hard := shortestCut+time.Duration(dice.Int64N(int64(longestCut-shortestCut))), dice.IntN(2) == 0
		h.link.cut(hard)
		defer h.link.heal()
		return fmt.Sprintf("%s for %s, connections broken: %t", h.worker.name, d.Round(time.Millisecond), hard), pause(ctx, d)
	}
}
