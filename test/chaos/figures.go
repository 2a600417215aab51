package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"gantry.example/client"
	"gantry.example/internal/bus"
	"gantry.example/internal/pgserver"
	"gantry.example/messages"
)

// What is measured.
const (
	lossRounds   = 3
	leaseCount   = 1000
	leaseTTL     = 15 * time.Second // the default
	leasesFor    = 30 * time.Second
	queuedRuns   = 10_000
	queuedSpaces = 100
	queueWriters = 8
)

// figures measures what docs/operations.md says about losses, on installations of their own with the default patience.
func figures(ctx context.Context, s settings, out io.Writer) error {
	s.flags = []string{"--lease-ttl", leaseTTL.String(), "--lost-after", "15m", "--offline-limit", "10m", "--grace", "60s", "--start-within", "30s", "--republish-after", "30s"}
	s.planTakes, s.agents = 10*time.Minute, 0
	for _, f := range []struct {
		name    string
		measure func(context.Context, *installation, settings, io.Writer) error
	}{{"loss", lossFigures}, {"leases", leaseFigures}, {"restart", restartFigures}} {
		if s.only != "" && s.only != f.name {
			continue
		}
		root, err := newRoot()
		if err != nil {
			return err
		}
		in, err := install(ctx, s, root)
		if err == nil {
			err = errors.Join(f.measure(ctx, in, s, out), in.remove())
		}
		if err != nil {
			return fmt.Errorf("%s: %w; files in %s", f.name, err, root)
		}
		if err := os.RemoveAll(root); err != nil {
			return err
		}
	}
	return nil
}

// lossFigures kills hosts that plan and apply, and waits until it is seen.
func lossFigures(ctx context.Context, in *installation, s settings, out io.Writer) error {
	db, err := sql.Open("postgres", in.pg.DSN(pgserver.Database))
	if err != nil {
		return err
	}
	defer db.Close()
	for round := range lossRounds {
		plan, apply, err := in.twoRuns(ctx, s, round)
		if err != nil {
			return err
		}
		if err := in.reach(ctx, plan, client.Planning); err != nil {
			return err
		}
		if err := in.reach(ctx, apply, client.Applying); err != nil {
			return err
		}
		if err := pause(ctx, 2*time.Second); err != nil {
			return err
		}
		for _, h := range in.hosts {
			h.worker.hold(true)
			for _, pid := range h.pids() {
				_ = syscall.Kill(pid, syscall.SIGKILL) // all are to be gone
			}
		}
		killed := time.Now()
		for _, seen := range []struct{ run, event, what string }{{plan, "requeued", "its plan is queued again"}, {apply, "contact_lost", "its apply is shown as contact_lost"}} {
			at, err := eventTime(ctx, db, seen.run, seen.event)
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "worker killed → %s: %.1f s (lease TTL %s)\n", seen.what, at.Sub(killed).Seconds(), leaseTTL)
		}
		for _, h := range in.hosts {
			h.worker.hold(false)
		}
	}
	return nil
}

// twoRuns are one that plans for minutes, and one that applies for minutes.
func (in *installation) twoRuns(ctx context.Context, s settings, round int) (plan, apply string, err error) {
	var ids []string
	for _, takes := range []time.Duration{s.planTakes, 0} {
		name := fmt.Sprintf("loss-%d-%d", round, len(ids))
		if err := newJournal(in.path("journals", name)); err != nil {
			return "", "", err
		}
		u := &user{settings: settings{planTakes: max(takes, time.Millisecond)}, in: in, name: name}
		if err := u.moveIn(ctx); err != nil {
			return "", "", err
		}
		r, err := u.create(ctx, client.RunOptions{WorkspaceID: u.id, AutoApply: true}, u.files(name, []time.Duration{10 * time.Minute}, false))
		if err != nil {
			return "", "", err
		}
		ids = append(ids, r.ID)
	}
	return ids[0], ids[1], nil
}

// reach waits until the run has the status.
func (in *installation) reach(ctx context.Context, id string, want client.Status) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		r, err := in.client.Run(ctx, id)
		if err == nil && r.Status == want {
			return nil
		}
		if perr := pause(ctx, 50*time.Millisecond); perr != nil {
			return fmt.Errorf("run %s is %s, not %s: %w", id, r.Status, want, errors.Join(perr, err))
		}
	}
}

// eventTime waits for an event of the run and returns when it was.
func eventTime(ctx context.Context, db *sql.DB, run, kind string) (at time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		err := db.QueryRowContext(ctx, `SELECT at FROM run_events WHERE run_id = $1 AND type = $2 ORDER BY seq LIMIT 1`, run, kind).Scan(&at)
		if !errors.Is(err, sql.ErrNoRows) {
			return at, err
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return at, fmt.Errorf("no event %s of run %s: %w", kind, run, err)
		}
	}
}

// leaseFigures holds many leases at once, over as many connections as runners would have, and looks at the NATS servers.
func leaseFigures(ctx context.Context, in *installation, _ settings, out io.Writer) error {
	nats := in.parts[roleNATS]
	cpu, memory := usage(nats)
	leases, closeAll, err := in.takeLeases(ctx)
	defer closeAll()
	if err != nil {
		return err
	}
	busy, _ := usage(nats)
	began := time.Now()
	if err := pause(ctx, leasesFor); err != nil {
		return err
	}
	took := time.Since(began).Seconds()
	after, grown := usage(nats)
	held := 0
	for _, l := range leases {
		if l.Valid() {
			held++
		}
	}
	began = time.Now()
	read, err := leases[0].bus.ReadLeases(ctx, messages.LocalPool)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d leases, TTL %s, over %d connections: %d held after %.0f s, %.0f renewals/s; three NATS servers use %.2f cores for it (%.2f s of CPU to take them) and %d MiB more memory together; the reconciler reads all %d in %s\n",
		leaseCount, leaseTTL, leaseCount, held, took, leaseCount/(leaseTTL.Seconds()/3), (after-busy).Seconds()/took, (busy - cpu).Seconds(), (grown-memory)>>20, len(read), time.Since(began).Round(time.Millisecond))
	return nil
}

type takenLease struct {
	*bus.Lease
	bus *bus.Bus
}

func (in *installation) takeLeases(ctx context.Context) (leases []takenLease, closeAll func(), err error) {
	var closers []func()
	closeAll = func() {
		for _, c := range closers {
			c()
		}
	}
	for n := range leaseCount {
		b, hangUp, err := in.openBus()
		if err != nil {
			return leases, closeAll, err
		}
		closers = append(closers, hangUp)
		if n == 0 {
			err = b.EnsureLeases(ctx, messages.LocalPool, natsServers)
		}
		if err != nil {
			return leases, closeAll, err
		}
		id := strconv.Itoa(n)
		l, err := b.AcquireLease(ctx, bus.LeaseConfig{
			Pool: messages.LocalPool, Key: "ws-" + id, TTL: leaseTTL, Value: messages.Lease{AttemptID: "att-" + id, Nonce: id, Epoch: 1},
		})
		if err != nil {
			return leases, closeAll, err
		}
		leases = append(leases, takenLease{l, b})
	}
	return leases, closeAll, nil
}

// usage is the processor time and the memory of the programs.
func usage(programs []*program) (cpu time.Duration, memory int64) {
	for _, p := range programs {
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid())) // none: it counts for nothing
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if len(fields) < 22 {
			continue
		}
		user, _ := strconv.ParseInt(fields[11], 10, 64)
		system, _ := strconv.ParseInt(fields[12], 10, 64)
		pages, _ := strconv.ParseInt(fields[21], 10, 64)
		cpu += time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100 everywhere
		memory += pages * int64(os.Getpagesize())
	}
	return cpu, memory
}

// restartFigures queues many plans that nobody carries out, kills everything but Postgres, and looks how soon it goes on with
// them: with its streams, and without.
func restartFigures(ctx context.Context, in *installation, s settings, out io.Writer) error {
	for _, p := range in.parts[roleWorker] { // nobody takes anything
		p.hold(true)
		_ = p.signal(syscall.SIGKILL) // or it was not there yet
	}
	if err := in.fillQueue(ctx, s, out); err != nil {
		return err
	}
	for _, what := range []string{"with its streams", "without the stream of tasks"} {
		if err := in.untilQueued(ctx); err != nil {
			return err
		}
		if what != "with its streams" {
			if err := in.deleteTasks(ctx); err != nil {
				return err
			}
		}
		var all []*program
		for _, r := range []role{roleAPI, roleRelay, roleProjector, roleHouse, roleNATS} {
			all = append(all, in.parts[r]...)
		}
		for _, p := range all {
			p.hold(true)
			pid := p.pid()
			if err := errors.Join(p.signal(syscall.SIGKILL), gone(ctx, pid)); err != nil {
				return err
			}
		}
		for _, p := range all {
			p.hold(false)
		}
		began := time.Now()
		if err := in.connect(ctx); err != nil {
			return err
		}
		ready := time.Since(began)
		if err := in.untilQueued(ctx); err != nil {
			return err
		}
		took := time.Since(began)
		cpu, memory := usage(append(in.parts[roleHouse], in.parts[roleRelay]...))
		fmt.Fprintf(out, "restart with %d queued runs, %s: ready after %.1f s, all of them can be taken after %.1f s (reconciler and relay: %.1f s of CPU, %d MiB)\n",
			queuedRuns, what, ready.Seconds(), took.Seconds(), cpu.Seconds(), memory>>20)
	}
	return nil
}

// untilQueued waits until every run's task can be taken from the queue.
func (in *installation) untilQueued(ctx context.Context) error {
	for {
		n, err := in.queued(ctx)
		if err == nil && n >= queuedRuns {
			return nil
		}
		if perr := pause(ctx, 200*time.Millisecond); perr != nil {
			return fmt.Errorf("%d of %d are queued: %w", n, queuedRuns, errors.Join(perr, err))
		}
	}
}

func (in *installation) deleteTasks(ctx context.Context) error {
	p, err := in.connectNATS(ctx)
	if err != nil {
		return err
	}
	defer p.Close()
	return errors.Join(p.Publish("$JS.API.STREAM.DELETE."+messages.TaskStream(messages.LocalPool), nil), p.FlushTimeout(victimPatience), pause(ctx, time.Second))
}

// fillQueue creates the runs. There are no workers, see settings.
func (in *installation) fillQueue(ctx context.Context, s settings, out io.Writer) error {
	began := time.Now()
	var group sync.WaitGroup
	failed := make([]error, queueWriters)
	for writer := range queueWriters {
		group.Go(func() {
			for n := writer; n < queuedSpaces && failed[writer] == nil; n += queueWriters {
				failed[writer] = in.fillWorkspace(ctx, s, fmt.Sprintf("queue-%02d", n))
			}
		})
	}
	group.Wait()
	fmt.Fprintf(out, "%d plans queued in %.0f s\n", queuedRuns, time.Since(began).Seconds())
	return errors.Join(failed...)
}

func (in *installation) fillWorkspace(ctx context.Context, s settings, name string) error {
	u := &user{settings: s, in: in, name: name}
	if err := u.moveIn(ctx); err != nil {
		return err
	}
	options := client.RunOptions{WorkspaceID: u.id, PlanOnly: true}
	first, err := u.create(ctx, options, u.files(name, []time.Duration{time.Second}, true))
	for n := 1; n < queuedRuns/queuedSpaces && err == nil; n++ {
		options.ConfigurationVersionID = first.ConfigurationVersionID
		_, err = in.client.CreateRun(ctx, options)
	}
	return err
}

// queued is how many tasks the stream holds.
func (in *installation) queued(ctx context.Context) (int, error) {
	b, hangUp, err := in.openBus()
	if err != nil {
		return 0, err
	}
	defer hangUp()
	held, err := b.TaskSubjects(ctx, messages.LocalPool)
	return len(held), err
}

// openBus connects to the NATS cluster as one of the services.
func (in *installation) openBus() (b *bus.Bus, hangUp func(), err error) {
	cluster, err := in.cluster()
	if err != nil {
		return nil, nil, err
	}
	nc, err := cluster.Connect("chaos")
	if err != nil {
		return nil, nil, err
	}
	if b, err = bus.New(nc); err != nil {
		nc.Close()
		return nil, nil, err
	}
	return b, nc.Close, nil
}
