// Package process runs runners as child processes of a worker.
//
//	executor.go     starting, asking, canceling           spare.go   the idle runner that is always ready
//	adopt.go        what an earlier worker left behind    child.go   one runner process of ours
//	recover.go      what a killed runner left behind      tree_*.go  killing a runner and all it started
//	describe.go     what runners left for quieter times   users.go   whom terraform runs as
//	folder.go       the work folder, an attempt's folder
//
// A runner is started ahead of need and waits for one line on its standard input. Idle, it ends with the worker, because
// its standard input does. Once it has its line nothing ties it to the worker any more: it is in a session of its own,
// writes to a file, and holds a lock on its folder while it lives, by which the next worker finds it.
package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"gantry.example/messages"
	"gantry.example/workers/executor"
	"gantry.example/workers/runner"
	"gantry.example/workers/terraform"
)

// Config describes an executor.
type Config struct {
	// Command is the runner program with its arguments; it takes a runner.Assignment from standard input.
	Command []string
	// Env is the runner's whole environment, KEY=VALUE. Nil means Environment of this process.
	Env []string
	// Dir is the work folder, absolute; made if missing. One executor at a time may have it open.
	Dir string
	// Users is whom terraform runs as.
	Users Users
	// Assignment holds what all assignments have in common. Claim, Dir and RunAs are set for each attempt.
	Assignment runner.Assignment
	// Keep is how long the folder of an attempt whose result was not delivered is kept; default 7 days.
	Keep time.Duration
	// KeepWork is how long the folder that a plan prepared waits for its apply; default 24 hours. An apply that comes later
	// prepares its own.
	KeepWork time.Duration
	// Redeliver is the pause after which what an ended runner could not deliver is tried again; default 1 minute.
	Redeliver time.Duration
	Log       *slog.Logger
	// Output takes what runners logged, line by line, when they are gone: meanwhile it is in their folders, because a runner
	// outlives this process. Written from several goroutines; nil means that nobody wants it.
	Output io.Writer
}

const (
	defaultKeep     = 7 * 24 * time.Hour
	defaultKeepWork = 24 * time.Hour

	defaultRedeliver = time.Minute
)

// forgetAfter is how long an attempt is remembered after its folder is gone.
const forgetAfter = time.Hour

// Executor implements executor.Executor and executor.Watcher with child processes.
type Executor struct {
	cfg    Config
	log    *slog.Logger
	folder workFolder
	spares chan *child
	exits  *executor.Backlog

	ctx  context.Context // ends with Close
	stop context.CancelFunc
	wg   sync.WaitGroup

	sweeping sync.Mutex // held while folders are removed
	swept    time.Time  // when sweepWork looked last; guarded by sweeping

	users userIDs // guarded by starting

	plans backlog // to be described

	starting sync.Mutex // held during a start, so that an attempt cannot be started twice at the same time

	mu       sync.Mutex // guards attempts and what they point to
	attempts map[string]*attempt
}

// attempt is what is known of one attempt.
type attempt struct {
	ref    executor.Ref
	folder folder
	runner process
	status executor.Status
	since  time.Time // of its exit
	seen   bool      // by this process from its start: the host did not restart since
	user   *terraform.User
}

// process is a runner as the operating system knows it: our child, or one that an earlier worker started.
type process interface {
	// wait returns the exit code, or false if ctx ended first.
	wait(ctx context.Context) (code int, exited bool)
	// id is the process id; false if it is no longer certain whose id that is.
	id() (pid int, alive bool)
}

// New opens the work folder, adopts the runners that live there, queues the exits of those that do not, and starts the
// first idle runner.
func New(cfg Config) (*Executor, error) {
	if len(cfg.Command) == 0 {
		return nil, errors.New("process executor: no runner command")
	}
	if cfg.Env == nil {
		cfg.Env = Environment()
	}
	if cfg.Keep == 0 {
		cfg.Keep = defaultKeep
	}
	if cfg.Redeliver == 0 {
		cfg.Redeliver = defaultRedeliver
	}
	if cfg.KeepWork == 0 {
		cfg.KeepWork = defaultKeepWork
	}
	work, err := openWorkFolder(cfg.Dir)
	if err != nil {
		return nil, err
	}
	if cfg.Users != (Users{}) {
		if err := errors.Join(cfg.Users.Check(), work.letPass()); err != nil {
			return nil, errors.Join(fmt.Errorf("process executor: %w", err), work.close())
		}
	}
	e := &Executor{
		cfg: cfg, log: cfg.Log, folder: work, spares: make(chan *child), exits: executor.NewBacklog(), attempts: map[string]*attempt{},
	}
	e.users = userIDs{users: cfg.Users, taken: e.usedIDs}
	e.ctx, e.stop = context.WithCancel(context.Background())
	if err := e.adoptAll(); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	e.wg.Go(e.keepSpare)
	e.wg.Go(e.redeliver)
	e.wg.Go(e.describePlans)
	return e, nil
}

// Close ends the idle runner and lets go of the work folder. Started runners go on; as long as this process lives it
// still reaps those that are its children, but it reports nothing any more.
func (e *Executor) Close() error {
	e.starting.Lock() // a start that is under way ends first
	e.stop()
	e.starting.Unlock()
	e.wg.Wait()
	return e.folder.close()
}

// StartPlan implements executor.Executor.
func (e *Executor) StartPlan(ctx context.Context, a executor.Attempt) error {
	return e.start(ctx, a, messages.PhasePlan)
}

// StartApply implements executor.Executor.
func (e *Executor) StartApply(ctx context.Context, a executor.Attempt) error {
	return e.start(ctx, a, messages.PhaseApply)
}

func (e *Executor) start(ctx context.Context, a executor.Attempt, phase messages.Phase) error {
	if a.Inputs.Phase != phase {
		return fmt.Errorf("attempt %s: is of phase %q, not %q", a.AttemptID, a.Inputs.Phase, phase)
	}
	assignment := e.cfg.Assignment
	assignment.Claim = a.Claim
	assignment.Dir, assignment.Work = e.folder.attempt(a.AttemptID).dir, e.folder.runs()
	if err := assignment.Validate(); err != nil {
		return fmt.Errorf("attempt %s: %w", a.AttemptID, err)
	}
	e.starting.Lock()
	defer e.starting.Unlock()
	if err := errors.Join(ctx.Err(), e.ctx.Err()); err != nil {
		return fmt.Errorf("attempt %s: not started: %w", a.AttemptID, err)
	}
	if _, known := e.find(a.AttemptID); known {
		return nil
	}
	user, err := e.users.take()
	if err != nil {
		return fmt.Errorf("attempt %s: not started: %w", a.AttemptID, err)
	}
	assignment.RunAs = user
	if e.plans.room() {
		assignment.DescribeAfter = describeAfter
	}
	f := e.folder.attempt(a.AttemptID)
	if err := f.create(a.Ref()); err != nil {
		return fmt.Errorf("attempt %s: not started: %w", a.AttemptID, err)
	}
	c, err := e.handOver(f, assignment)
	if err != nil {
		return fmt.Errorf("attempt %s: not started: %w", a.AttemptID, errors.Join(err, f.remove()))
	}
	e.follow(&attempt{ref: a.Ref(), folder: f, runner: c, user: user, seen: true})
	return nil
}

// handOver gives the assignment to the idle runner, or to a new one if there is none or it is no good.
func (e *Executor) handOver(f folder, a runner.Assignment) (*child, error) {
	line, err := json.Marshal(a)
	if err != nil {
		return nil, err
	}
	line = append(line, '\n')
	select {
	case c := <-e.spares:
		if err = c.assign(f, line); err == nil {
			return c, nil
		}
		e.log.Warn("the idle runner did not take its assignment, starting another", append(executor.Attempt{Claim: a.Claim}.Ref().LogAttrs(), "error", err)...)
	default:
	}
	c, err := e.spawn()
	if err != nil {
		return nil, err
	}
	return c, c.assign(f, line)
}

// follow remembers a running attempt and waits for its exit.
func (e *Executor) follow(a *attempt) {
	a.status = executor.Status{State: executor.Running}
	e.remember(a)
	e.wg.Go(func() {
		code, exited := a.runner.wait(e.ctx)
		if !exited {
			return
		}
		code = e.handedOn(a, code)
		// Noted on disk, so that it is reported even if this worker does not come to it.
		if err := a.folder.saveExit(code); err != nil {
			e.log.Warn("exit not noted in the attempt's folder", append(a.ref.LogAttrs(), "error", err)...)
		}
		idle := a.seen && runner.NoApply(a.folder.dir, a.ref.Phase)
		if code, exited = e.recovered(a, code); exited {
			e.exited(a, code, idle)
		}
	})
}

// handedOn gives the exit code of a runner that went on with another attempt to that one, and returns what it means for a.
func (e *Executor) handedOn(a *attempt, code int) int {
	id, went := runner.Next(a.folder.dir)
	if !went {
		return code
	}
	f := e.folder.attempt(id)
	if _, ours := a.runner.(*child); ours && f.exists() {
		if err := f.saveExit(code); err != nil {
			e.log.Warn("exit not noted in the attempt's folder", "attempt", id, "error", err)
		}
	}
	e.adopt(f, a.seen)
	return executor.CodeDelivered
}

// exited makes an exit known to whoever watches; idle tells that it executed no apply.
func (e *Executor) exited(a *attempt, code int, idle bool) {
	e.passOn(a)
	e.mu.Lock()
	a.status, a.since = executor.Status{State: executor.Exited, Code: code}, time.Now()
	e.mu.Unlock()
	e.exits.Add(executor.Exit{Ref: a.ref, Code: code, NotBegun: idle})
}

func (e *Executor) remember(a *attempt) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.attempts[a.ref.AttemptID] = a
}

func (e *Executor) find(attemptID string) (attempt, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if a := e.attempts[attemptID]; a != nil {
		return *a, true
	}
	return attempt{status: executor.Status{State: executor.Unknown}}, false
}

// Status implements executor.Executor.
func (e *Executor) Status(_ context.Context, attemptID string) (executor.Status, error) {
	a, _ := e.find(attemptID)
	return a.status, nil
}

// Cancel implements executor.Executor: SIGTERM to the runner, which sends one SIGINT to terraform; with force SIGKILL to
// the runner, everything it started, and everything else of the attempt that outlived it.
func (e *Executor) Cancel(_ context.Context, attemptID string, force bool) error {
	a, known := e.find(attemptID)
	if !known {
		return nil
	}
	if err := cancelRunner(a, force); err != nil {
		return fmt.Errorf("attempt %s: cancel: %w", attemptID, err)
	}
	if !force {
		return nil
	}
	if err := terraform.KillTree(a.folder.dir, false); err != nil {
		return fmt.Errorf("attempt %s: kill: %w", attemptID, err)
	}
	return nil
}

func cancelRunner(a attempt, force bool) error {
	if a.status.State != executor.Running {
		return nil
	}
	pid, alive := a.runner.id()
	switch {
	case !alive:
		return nil
	case force:
		return killTree(pid)
	}
	return terminate(pid)
}

// Running implements executor.Watcher.
func (e *Executor) Running(context.Context) ([]executor.Ref, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var refs []executor.Ref
	for _, a := range e.attempts {
		if a.status.State == executor.Running {
			refs = append(refs, a.ref)
		}
	}
	return refs, nil
}

// Watch implements executor.Watcher. Beside, it removes old folders.
func (e *Executor) Watch(ctx context.Context, handle func(context.Context, executor.Exit) error) error {
	return e.exits.Watch(ctx, func(ctx context.Context, x executor.Exit) error {
		if err := handle(ctx, x); err != nil {
			return err
		}
		if err := e.settle(x); err != nil {
			e.log.Warn("the folder of a reported attempt was not put away", append(x.LogAttrs(), "error", err)...)
		}
		e.sweep(time.Now())
		return nil
	})
}

// settle puts away the folder of an attempt whose exit was reported. What was not delivered is kept.
func (e *Executor) settle(x executor.Exit) error {
	f := e.folder.attempt(x.AttemptID)
	if f.owes() {
		defer e.plans.add(x.Ref)
		return f.markReported()
	}
	if x.Code == executor.CodeDelivered && !f.undelivered() {
		return f.remove()
	}
	return f.markReported()
}

// sweep forgets what is over for long enough, and removes folders nobody came for.
func (e *Executor) sweep(now time.Time) {
	e.sweeping.Lock()
	defer e.sweeping.Unlock()
	e.sweepWork(now)
	for _, a := range e.over(now.Add(-forgetAfter)) {
		if a.folder.exists() {
			if !a.folder.reported() || now.Sub(a.since) < e.cfg.Keep {
				continue
			}
		}
		e.forget(a)
	}
}

// forget removes an attempt that is over, and its folder if there is one.
func (e *Executor) forget(a attempt) {
	if err := a.folder.remove(); err != nil {
		e.log.Warn("the folder of an old attempt was not removed", append(a.ref.LogAttrs(), "error", err)...)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.attempts, a.ref.AttemptID)
}

// over lists the attempts that exited before that time.
func (e *Executor) over(before time.Time) []attempt {
	e.mu.Lock()
	defer e.mu.Unlock()
	var found []attempt
	for _, a := range e.attempts {
		if a.status.State == executor.Exited && a.since.Before(before) {
			found = append(found, *a)
		}
	}
	return found
}
