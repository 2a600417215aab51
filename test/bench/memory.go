package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"gantry.example/client"
	"gantry.example/test/bench/figures"
)

// settled is how long a server that has done its work is left alone before it counts as idle. NATS keeps what it wrote last of each
// stream, up to 8 MiB, for ten seconds: while runs go on that grows and shrinks as its files fill up.
const settled = 15 * time.Second

// idle measures what a server with the default settings takes when it has nothing to do.
func (b *bench) idle(ctx context.Context, s *server) error {
	b.say("memory of an idle server")
	if err := rest(ctx, settled); err != nil {
		return err
	}
	m := &b.report.Memory
	var err error
	if m.Server, err = resident(s.cmd.Process.Pid); err != nil {
		return err
	}
	m.Others, err = b.others(s.cmd.Process.Pid)
	return err
}

// memoryStep is after how many runs the heap is looked at.
const memoryStep = 1000

// growth measures the heap of a server over many runs that execute nothing.
func (b *bench) growth(ctx context.Context) (err error) {
	d, err := b.startDatabase(ctx, "memory-postgres")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	dsn, err := d.add(ctx, "gantry_memory")
	if err != nil {
		return err
	}
	s, err := b.startOn(ctx, "memory", dsn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	targets, err := s.noopTargets(ctx, taskWorkspaces)
	if err != nil {
		return err
	}
	for done := 0; ; done += memoryStep {
		if err := rest(ctx, settled); err != nil {
			return err
		}
		live, err := s.liveHeap(ctx)
		if err != nil {
			return err
		}
		rss, err := resident(s.cmd.Process.Pid)
		if err != nil {
			return err
		}
		b.report.Memory.Heap = append(b.report.Memory.Heap, figures.Heap{Runs: done, Live: live, Resident: rss})
		b.say("after %d runs: %.1f MiB live, %.1f MiB resident", done, live, rss)
		if done >= b.memory {
			return nil
		}
		if _, _, err := s.noopRuns(ctx, targets, memoryStep); err != nil {
			return err
		}
	}
}

// liveHeap is what two garbage collections in a row left over, in MiB. They come by themselves if the server has a little to do.
func (s *server) liveHeap(ctx context.Context) (float64, error) {
	const count = "go_gc_duration_seconds_count"
	before, err := s.metric(ctx, count)
	for now := before; err == nil && now < before+2; {
		if err = ctx.Err(); err == nil {
			now, err = s.metric(ctx, count)
		}
	}
	if err != nil {
		return 0, err
	}
	goal, err := s.metric(ctx, "go_memstats_next_gc_bytes")
	percent, err2 := s.metric(ctx, "go_gc_gogc_percent")
	return goal / (1 + percent/100) / (1 << 20), errors.Join(err, err2)
}

// metric reads a number without labels.
func (s *server) metric(ctx context.Context, name string) (value float64, err error) {
	err = s.transport.Do(ctx, client.Request{Method: http.MethodGet, Path: "/metrics", OnBody: func(body io.Reader) error {
		for lines := bufio.NewScanner(body); lines.Scan(); {
			if text, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
				value, err = strconv.ParseFloat(text, 64)
				return err
			}
		}
		return fmt.Errorf("the server has no metric %s", name)
	}})
	return value, err
}

// resident is what a process has in memory, in MiB, files that it shares with others included.
func resident(pid int) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	return kibibytes(field(string(status), "VmRSS"))
}

func kibibytes(text string) (float64, error) {
	n, err := strconv.ParseFloat(strings.TrimSuffix(text, " kB"), 64)
	return n / 1024, err
}

// others is what the processes take that belong to the server beside its own: PostgreSQL's and the spare runner. What they share
// is divided among them, so that it counts once.
func (b *bench) others(server int) ([]figures.Share, error) {
	shares := map[string]float64{}
	statuses, err := filepath.Glob("/proc/[0-9]*/status")
	if err != nil {
		return nil, err
	}
	parents, names := map[int]int{}, map[int]string{}
	for _, path := range statuses {
		status, err := os.ReadFile(path)
		if err != nil {
			continue // it is gone
		}
		pid, _ := strconv.Atoi(field(string(status), "Pid"))
		parents[pid], _ = strconv.Atoi(field(string(status), "PPid"))
		names[pid] = field(string(status), "Name")
	}
	for pid := range parents {
		below := false
		for at := parents[pid]; at > 1 && !below; at = parents[at] {
			below = at == server
		}
		if !below {
			continue
		}
		rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			continue
		}
		share, err := kibibytes(field(string(rollup), "Pss"))
		if err != nil {
			return nil, err
		}
		shares[names[pid]] += share
	}
	return figures.Shares(shares), nil
}
