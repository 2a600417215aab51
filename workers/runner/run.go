package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"gantry.example/client"
	"gantry.example/internal/mask"
	"gantry.example/internal/telemetry"
	"gantry.example/internal/variable"
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
	// Around is the environment, KEY=VALUE, of a container that was made for this attempt, for its configuration to see.
	Around []string
}

// attempt is the runner's state while it works.
type attempt struct {
	Assignment
	cfg    Config
	in     wire.Inputs
	log    *slog.Logger
	folder folder
	nonce  string          // of this runner
	ctx    context.Context // of the process: its end means cancel
	hide   *mask.Secrets

	transport *client.Transport
	api       *client.Attempt
	out       *logStream
	events    *eventLine
	stop      *stopper
	link      *link

	workFolder    workFolder
	user          *terraform.User // who terraform runs as; nil: as we do
	root          string          // folder of the root module
	configuration string          // what identifies it
	state         []byte          // what the attempt starts from
	engine        terraform.Engine
	session       *terraform.Session
	store         *stateStore // nil if terraform's state is a file in root
	states        *stateSync  // of an apply
	phases        map[messages.Stage]int64
	starting      time.Duration // how long the start took to be answered
	usable        bool          // an apply may use the work folder
	recovered     bool          // all is delivered, without a result
	owing         bool          // the plan's JSON form is left to be made later

	plan *attempt      // the plan that this apply goes on from, in the same process; nil otherwise
	next *successor    // the apply that goes on from this plan
	idle chan struct{} // closed when the attempt executes nothing any more, if it began to
	over chan struct{} // closed when the attempt has nothing left to do
}

// Run carries out one attempt, and the apply that follows at once if it was a plan, and returns the exit code of the process.
// The end of ctx means cancel: one SIGINT to terraform, then an orderly end with state and result delivered.
func Run(ctx context.Context, a Assignment, cfg Config) int {
	if err := a.Validate(); err != nil {
		cfg.Log.Error("assignment refused", "error", err)
		return ExitContract
	}
	if cfg.Connect == nil {
		in := a.Claim.Inputs // the connection may serve several attempts of the run
		cfg.Connect = ConnectNATS(cfg.Log.With("run", in.RunID).With(telemetry.LogAttrs(in.Traceparent)...))
	}
	return newAttempt(ctx, a, cfg).run()
}

func newAttempt(ctx context.Context, a Assignment, cfg Config) *attempt {
	a = a.withDefaults()
	in := a.Claim.Inputs
	log := cfg.Log.With("run", in.RunID, "task", in.TaskID, "attempt", in.AttemptID).With(telemetry.LogAttrs(in.Traceparent)...)
	log.Debug("attempt begins", "phase", in.Phase, "epoch", in.Epoch, "recover", a.Recover)
	return &attempt{
		Assignment: a, cfg: cfg, in: in, log: log,
		folder: folder{a.Dir}, nonce: messages.NewID("n-"), ctx: ctx, hide: mask.New(variable.Secrets(in.Variables)), phases: map[messages.Stage]int64{}, idle: make(chan struct{}), over: make(chan struct{}),
	}
}

// run takes the attempt's folder and does the work.
func (r *attempt) run() int {
	code := r.alone()
	close(r.over)
	if r.next != nil {
		return r.next.wait()
	}
	return code
}

// alone is run without what follows.
func (r *attempt) alone() int {
	unlock, err := r.folder.lock(r.Recover || r.Describe)
	if errors.Is(err, errOccupied) || errors.Is(err, errStarted) {
		r.log.Warn("attempt not started", "error", err)
		return ExitRefused
	}
	if err != nil {
		r.log.Error("attempt not started", "error", err)
		return ExitInternal
	}
	defer unlock()
	work := r.work
	switch {
	case r.Recover:
		work = r.recover
	case r.Describe:
		work = r.describe
	}
	if err := work(r.ctx); err != nil {
		code := exitCode(err)
		r.log.Error("attempt ended without a delivered result", "error", err, "exit_code", code)
		return code
	}
	if r.recovered {
		return ExitRecovered
	}
	return ExitDelivered
}

// times say where the time went, that before terraform included. Nothing else writes there any more when it is called.
func (r *attempt) times() map[messages.Stage]int64 {
	select {
	case <-r.link.done:
		r.phases[wire.StageConnect] = r.link.connecting.Milliseconds()
		r.phases[wire.StageLease] = r.link.leasing.Milliseconds()
	default: // an apply that goes on from its plan does not wait for them
	}
	r.phases[wire.StageStart] = r.starting.Milliseconds()
	return r.phases
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
	if err := r.openAPI(); err != nil {
		return err
	}
	defer r.closeAPI()
	if err := r.folder.saveAssignment(r.Assignment); err != nil {
		return err
	}
	if r.out, err = openLog(r.folder.log(), r.hide, r.LogLimit, r.log); err != nil {
		return err
	}
	r.events = newEvents(r.in)
	defer func() { r.leave(err) }()
	r.link = r.openLink(ctx)
	defer r.link.close()
	r.out.printf("Gantry %s of %s, workspace %s/%s", r.in.Phase, r.in.RunID, r.in.OrganizationName, r.in.WorkspaceName)
	if err := r.begin(ctx); err != nil {
		var verdict *failure
		if errors.As(err, &verdict) {
			return r.deliver(ctx, verdict.result())
		}
		return err
	}
	defer r.endSession()
	return r.execute(ctx)
}

// openAPI gets at the server. An apply that goes on from its plan does so by the plan's connections, which are of the same run.
func (r *attempt) openAPI() (err error) {
	if r.plan != nil {
		r.transport = r.plan.transport.As(r.Claim.Token)
	} else {
		r.transport, err = client.NewTransport(client.Config{Address: r.Address, CACert: []byte(r.CACert), Token: r.Claim.Token, Traceparent: r.in.Traceparent})
	}
	if err == nil {
		r.api = client.NewAttempt(r.transport, r.in.AttemptID, r.stop.ask)
	}
	return err
}

// closeAPI leaves the connections to an apply that goes on.
func (r *attempt) closeAPI() {
	if r.next == nil {
		r.transport.Close()
	}
}

// leave lets go of the work folder. It stays for the apply of a plan that was delivered, and for a recovery of an apply that
// was not.
func (r *attempt) leave(err error) {
	r.store.close()
	done := err == nil
	if r.in.Phase == messages.PhasePlan {
		done = err != nil || !r.usable
	}
	leave := func() error { return r.workFolder.leave(done) }
	if r.owing {
		leave = r.workFolder.lendOn
	}
	if err := leave(); err != nil {
		r.log.Warn("the work folder was not removed, it will be when it is old", "error", err)
	}
	switch {
	case r.owing:
		err = r.folder.owe(r.hide.Any())
	case err == nil:
		err = r.folder.settle(r.hide.Any())
	case !r.folder.has("start"): // nothing to recover
		err = r.folder.forget()
	default:
		return
	}
	if err != nil {
		r.log.Warn("the attempt's folder was not settled", "error", err)
	}
}

// begin does all that must be done before terraform may run: inputs, lease, start. An apply that goes on from its plan was
// started with the plan's result, under the plan's lease.
// A request to stop ends it: what has not started need not end in an orderly way.
func (r *attempt) begin(ctx context.Context) error {
	if r.plan != nil {
		return r.inherit(ctx)
	}
	err := r.prepare(ctx)
	var verdict *failure
	if err != nil && ctx.Err() != nil && !errors.As(err, &verdict) {
		err = &refusedError{fmt.Errorf("stopped before the start: %w", context.Cause(ctx))}
	}
	return err
}

func (r *attempt) prepare(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// The server keeps the claim of a runner that is downloading, so what is still coming may take its time.
	limit := time.AfterFunc(r.SetupLimit, func() { cancel(fmt.Errorf("not ready to start within %s", r.SetupLimit)) })
	defer limit.Stop()
	r.api.OnReceived(func() { limit.Reset(r.SetupLimit) })
	// The inputs and the lease do not depend on each other; the start needs both.
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.fetch(gctx) })
	g.Go(func() error {
		_, err := r.link.wait(gctx)
		return err
	})
	if err := g.Wait(); err != nil {
		return err
	}
	base, err := r.base()
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return &unavailableError{context.Cause(ctx)}
	}
	return r.askStart(ctx, base)
}

// askStart passes the fence. Once it has asked it waits for the answer, whatever else happens: an attempt that is started
// for the server and not for us would end as an unknown outcome.
func (r *attempt) askStart(ctx context.Context, base wire.StateRef) error {
	if err := r.folder.markStart(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.OfflineLimit)
	defer cancel()
	began := time.Now()
	defer func() { r.starting = time.Since(began) }()
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
