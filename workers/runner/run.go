package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"gantry.example/client"
	"gantry.example/internal/telemetry"
	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/workers/terraform"
)

// Config is what a runner needs beside its assignment.
type Config struct {
	Log     *slog.Logger // required
	Connect Connect      // nil means ConnectNATS
	Shim    string       // path of gantry-exec; empty: beside this program, else this program itself under that name

	// Dedicated tells that this process serves this attempt only, so that all its children are the attempt's.
	Dedicated bool
}

// attempt is the runner's state while it works.
type attempt struct {
	Assignment
	cfg    Config
	in     wire.Inputs
	log    *slog.Logger
	folder folder
	nonce  string // of this runner

	api    *client.Attempt
	bus    Bus
	out    *logStream
	events *eventLine
	stop   *stopper

	fetching   *fetching
	workFolder workFolder
	root       string // folder of the root module
	state      []byte // what the attempt starts from
	engine     terraform.Engine
	session    *terraform.Session
	store      *stateStore // nil if terraform's state is a file in root
	states     *stateSync  // of an apply
	phases     map[messages.Stage]int64
	setup      setupTimes
	usable     bool // an apply may use the work folder
	recovered  bool // all is delivered, without a result
}

// Run carries out one attempt and returns the exit code of the process. The end of ctx means cancel: one SIGINT to
// terraform, then an orderly end with state and result delivered.
func Run(ctx context.Context, a Assignment, cfg Config) int {
	log := cfg.Log
	if err := a.Validate(); err != nil {
		log.Error("assignment refused", "error", err)
		return ExitContract
	}
	a = a.withDefaults()
	in := a.Claim.Inputs
	log = log.With("run", in.RunID, "task", in.TaskID, "attempt", in.AttemptID).With(telemetry.LogAttrs(in.Traceparent)...)
	if cfg.Connect == nil {
		cfg.Connect = ConnectNATS(log)
	}
	f := folder{a.Dir}
	unlock, err := f.lock(a.Recover)
	if errors.Is(err, errOccupied) || errors.Is(err, errStarted) {
		log.Warn("attempt not started", "error", err)
		return ExitRefused
	}
	if err != nil {
		log.Error("attempt not started", "error", err)
		return ExitInternal
	}
	defer unlock()
	r := &attempt{
		Assignment: a, cfg: cfg, in: in, log: log, folder: f, nonce: messages.NewID("n-"), phases: map[messages.Stage]int64{},
	}
	work := r.work
	if a.Recover {
		work = r.recover
	}
	if err := work(ctx); err != nil {
		code := exitCode(err)
		log.Error("attempt ended without a delivered result", "error", err, "exit_code", code)
		return code
	}
	if r.recovered {
		return ExitRecovered
	}
	return ExitDelivered
}

// setupTimes say where the time before terraform went.
type setupTimes struct{ connect, lease, start time.Duration }

// into adds them to the times of the stages. Nothing else writes there any more when it is called.
func (t setupTimes) into(phases map[messages.Stage]int64) map[messages.Stage]int64 {
	phases[wire.StageConnect] = t.connect.Milliseconds()
	phases[wire.StageLease] = t.lease.Milliseconds()
	phases[wire.StageStart] = t.start.Milliseconds()
	return phases
}

// refusedError: the server's word is that this attempt must not go on.
type refusedError struct{ err error }

func (e *refusedError) Error() string { return e.err.Error() }
func (e *refusedError) Unwrap() error { return e.err }

// unavailableError: somebody needed did not answer in time.
type unavailableError struct{ err error }

func (e *unavailableError) Error() string { return e.err.Error() }
func (e *unavailableError) Unwrap() error { return e.err }

func exitCode(err error) int {
	var refused *refusedError
	var unavailable *unavailableError
	switch {
	case errors.As(err, &refused):
		return ExitRefused
	case errors.As(err, &unavailable):
		return ExitUnavailable
	}
	return ExitInternal
}

// work is the whole attempt. A nil error means that the result was delivered, whatever it says.
func (r *attempt) work(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r.stop = &stopper{cancel: cancel}
	transport, err := r.openAPI()
	if err != nil {
		return err
	}
	defer transport.Close()
	if err := r.folder.saveAssignment(r.Assignment); err != nil {
		return err
	}
	if r.out, err = openLog(r.folder.log(), r.log); err != nil {
		return err
	}
	r.events = newEvents(r.in)
	defer func() { r.leave(err) }()
	r.fetching = r.startFetch(ctx)
	defer r.fetching.stop()
	began := time.Now()
	if r.bus, err = r.cfg.Connect(ctx, r.Assignment); err != nil {
		return &unavailableError{err}
	}
	r.setup.connect = time.Since(began)
	defer r.bus.Close()
	r.out.start(r.bus.Logs)
	defer r.out.stop()
	r.events.start(context.WithoutCancel(ctx), r.bus.Events, r.log)
	defer r.events.close()
	unsubscribe, err := r.bus.Control.Commands(func(c messages.Command) {
		if c.AttemptID == r.in.AttemptID && (c.Cancel || c.Force) {
			r.stop.ask(c.Force)
		}
	})
	if err != nil {
		return &unavailableError{err}
	}
	defer unsubscribe()
	r.out.printf("Gantry %s of %s, workspace %s/%s", r.in.Phase, r.in.RunID, r.in.OrganizationName, r.in.WorkspaceName)

	lease, err := r.begin(ctx)
	if lease != nil {
		defer func() { r.release(ctx, lease) }()
	}
	var verdict *failure
	if errors.As(err, &verdict) {
		return r.deliver(ctx, lease, verdict.result())
	}
	if err != nil {
		return err
	}
	defer r.endSession()
	return r.execute(ctx, lease)
}

func (r *attempt) openAPI() (*client.Transport, error) {
	transport, err := client.NewTransport(client.Config{Address: r.Address, CACert: []byte(r.CACert), Token: r.Claim.Token, Traceparent: r.in.Traceparent})
	if err == nil {
		r.api = client.NewAttempt(transport, r.in.AttemptID, r.stop.ask)
	}
	return transport, err
}

// leave lets go of the work folder. It stays for the apply of a plan that was delivered, and for a recovery of an apply that
// was not.
func (r *attempt) leave(err error) {
	r.store.close()
	done := err == nil
	if r.in.Phase == messages.PhasePlan {
		done = err != nil || !r.usable
	}
	if err := r.workFolder.leave(done); err != nil {
		r.log.Warn("the work folder was not removed, it will be when it is old", "error", err)
	}
	if err != nil {
		return
	}
	if err := r.folder.settle(); err != nil {
		r.log.Warn("the attempt's folder was not settled", "error", err)
	}
}

// begin does all that must be done before terraform may run: inputs, lease, start.
// A request to stop ends it: what has not started need not end in an orderly way.
func (r *attempt) begin(ctx context.Context) (Lease, error) {
	lease, err := r.prepare(ctx)
	var verdict *failure
	if err != nil && ctx.Err() != nil && !errors.As(err, &verdict) {
		err = &refusedError{fmt.Errorf("stopped before the start: %w", context.Cause(ctx))}
	}
	return lease, err
}

func (r *attempt) prepare(ctx context.Context) (Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, r.SetupLimit)
	defer cancel()
	// The inputs and the lease do not depend on each other; the start needs both.
	var lease Lease
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.fetching.wait(gctx) })
	g.Go(func() (err error) {
		began := time.Now()
		defer func() { r.setup.lease = time.Since(began) }()
		if lease, err = r.bus.Control.Acquire(gctx, r.in); err != nil {
			lease = nil // an interface around a nil pointer would not look like one
			return &unavailableError{err}
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return lease, err
	}
	base, err := r.base()
	if err != nil {
		return lease, err
	}
	if err := ctx.Err(); err != nil {
		return lease, &unavailableError{err}
	}
	return lease, r.askStart(ctx, base)
}

// askStart passes the fence. Once it has asked it waits for the answer, whatever else happens: an attempt that is started
// for the server and not for us would end as an unknown outcome.
func (r *attempt) askStart(ctx context.Context, base wire.StateRef) error {
	if err := r.folder.markStart(r.nonce); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.OfflineLimit)
	defer cancel()
	began := time.Now()
	defer func() { r.setup.start = time.Since(began) }()
	if _, err := r.api.Start(ctx, wire.StartRequest{V: messages.Version, Nonce: r.nonce, Base: base}); err != nil {
		return remote(err, "the start was not permitted")
	}
	return nil
}

// remote tells a refusal by the server from a server that does not answer.
func remote(err error, what string) error {
	var refusal *client.Error
	if errors.As(err, &refusal) && refusal.Status < 500 {
		return &refusedError{fmt.Errorf("%s: %w", what, err)}
	}
	return &unavailableError{fmt.Errorf("%s: %w", what, err)}
}

// enter notes that a stage begins; the returned function notes how long it took.
func (r *attempt) enter(stage messages.Stage) (leave func()) {
	r.events.add(messages.EventProgress, stage)
	began := time.Now()
	return func() { r.phases[stage] += time.Since(began).Milliseconds() }
}

// release frees the lease. It may be called again.
func (r *attempt) release(ctx context.Context, lease Lease) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := lease.Release(ctx); err != nil {
		r.log.Warn("lease not released, it expires by itself", "error", err)
	}
}
