package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/workers/terraform"
	"gantry.example/workers/terraform/shim"
)

// execute runs terraform under the lease and delivers what came of it.
func (r *attempt) execute(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if r.in.Phase == messages.PhasePlan { // an apply goes on without its lease: stopping it would not undo anything
		ended := make(chan struct{})
		defer close(ended)
		go func() {
			select {
			case <-r.link.lease.Lost():
				cancel(errLeaseLost)
			case <-ended:
			}
		}()
	}
	if r.in.Phase == messages.PhaseApply {
		stop := r.watchContact(ctx, cancel)
		defer stop()
	}
	result := r.terraform(ctx)
	if errors.Is(context.Cause(ctx), errLeaseLost) {
		// No result: the server takes the silence for a lost plan and queues it again, which is what is wanted.
		return &unavailableError{errors.New("the plan was stopped because its lease was lost")}
	}
	if err := r.deliver(ctx, result); err != nil {
		return err
	}
	if r.in.Phase == messages.PhasePlan && result.HasChanges {
		r.describeNowOrLater(ctx)
	}
	return nil
}

// terraform prepares and runs the engine and says how it ended. The state or plan file is in the folder afterwards.
func (r *attempt) terraform(ctx context.Context) wire.Result {
	result := wire.Result{V: messages.Version, Outcome: wire.OutcomeSucceeded}
	err := r.openSession(ctx)
	result.TerraformVersion = r.engine.Version
	if err != nil && ctx.Err() != nil {
		result.Outcome, result.Code, result.Message = wire.OutcomeCanceled, messages.CodeRunCanceled, "Canceled before terraform was started."
		if r.interrupted(ctx) {
			result.Code, result.Message = messages.CodeRunInterrupted, r.interruptedText()+" Terraform had not been started, so nothing was changed."
		}
		return result
	}
	if err != nil {
		return setupFailure(err).result()
	}
	if r.workFolder.ready == nil {
		leave := r.enter(messages.StageInit)
		err = r.initialize(ctx)
		leave()
	}
	if err == nil && r.in.Phase == messages.PhasePlan {
		leave := r.enter(messages.StagePlan)
		result.HasChanges, err = r.session.Plan(ctx, r.in.Options, r.workFolder.plan())
		leave()
	} else if err == nil {
		leave := r.enter(messages.StageApply)
		if err := r.folder.markApplying(); err != nil { // then nothing may be executed: nobody would know
			leave()
			return setupFailure(err).result()
		}
		stop := r.states.start()
		err = r.session.Apply(ctx, r.workFolder.plan())
		stop()
		leave()
	}
	summary := r.summary()
	result.Changes = summary.Changes
	if err != nil {
		result.Outcome, result.Code, result.Message = r.explain(err, summary)
		result.HasChanges = false
		switch stopped := result.Outcome == wire.OutcomeCanceled; {
		case stopped && errors.Is(context.Cause(ctx), errOffline):
			result.Outcome, result.Code, result.Message = wire.OutcomeFailed, messages.CodeRunOffline, r.offlineText()
		case stopped && r.interrupted(ctx):
			result.Code, result.Message = messages.CodeRunInterrupted, r.interruptedText()+" What it had changed by then is in the state."
		}
	} else if result.Changes == nil {
		result.Changes = &wire.Changes{} // outputs only
	}
	return result
}

// interrupted reports whether it was this process that was asked to stop, as by a worker that stops, before anybody canceled the run.
func (r *attempt) interrupted(ctx context.Context) bool {
	return r.ctx.Err() != nil && context.Cause(ctx) == context.Cause(r.ctx)
}

// interruptedText tells people why the phase was stopped.
func (r *attempt) interruptedText() string {
	host, _ := os.Hostname() // for people; an empty one is fine
	return fmt.Sprintf("The %s was stopped because the worker or agent that carried it out, on %s, was stopped.", r.in.Phase, host)
}

// initialize runs init and keeps what it downloaded and made for other runs, or takes what an earlier one made.
func (r *attempt) initialize(ctx context.Context) error {
	recalled, err := r.session.Recall()
	if err != nil {
		return err
	}
	if recalled {
		r.out.printf("This configuration was initialized before, with the same providers and modules: no %s init is needed.", r.engine.Engine)
		return nil
	}
	if err := r.session.Init(ctx); err != nil {
		return err
	}
	if err := errors.Join(r.session.KeepPlugins(), r.session.Remember()); err != nil {
		r.log.Warn("other runs have to be initialized all over", "error", err)
	}
	return nil
}

// explain turns the failure of a call into what people read.
func (r *attempt) explain(err error, summary terraform.Summary) (wire.Outcome, messages.Code, string) {
	phase := r.in.Phase
	switch {
	case errors.Is(err, terraform.ErrCanceled) && errors.Is(err, terraform.ErrKilled):
		return wire.OutcomeFailed, messages.CodeRunCanceled,
			fmt.Sprintf("The %s was canceled and %s was killed before it stopped by itself: its last changes may be missing from the state.", phase, r.engine.Name())
	case errors.Is(err, terraform.ErrCanceled):
		return wire.OutcomeCanceled, messages.CodeRunCanceled, fmt.Sprintf("The %s was canceled on request.", phase)
	case errors.Is(err, terraform.ErrKilled) && phase == messages.PhaseApply:
		return wire.OutcomeLost, messages.CodeRunOutcomeUnknown,
			r.engine.Name() + " was killed from outside (out of memory?): its last changes may be missing from the state."
	case errors.Is(err, terraform.ErrKilled):
		return wire.OutcomeFailed, messages.CodeRunTerraformFailed,
			r.engine.Name() + " was killed from outside (out of memory?). Nothing was changed."
	case terraform.Failed(err) && summary.Error != "":
		return wire.OutcomeFailed, messages.CodeRunTerraformFailed, summary.Error
	case terraform.Failed(err):
		return wire.OutcomeFailed, messages.CodeRunTerraformFailed, r.engine.Name() + " ended with an error; its log says why."
	}
	return wire.OutcomeFailed, messages.CodeRunSetupFailed, err.Error()
}

// openSession finds the engine and prepares the work folder. It runs after the start, because an engine may have to be
// downloaded and asking a program for its version is executing it.
func (r *attempt) openSession(ctx context.Context) error {
	if err := r.locateEngine(ctx); err != nil {
		return err
	}
	if err := r.planSomething(); err != nil {
		return err
	}
	host, _ := os.Hostname() // for people; an empty one is fine
	// Terraform's CLI shows neither the first line of an apply's log, which begin wrote, nor these two: they must be three.
	r.out.printf("Runner %s on %s\n%s v%s on %s_%s", r.in.AttemptID, host, r.engine.Name(), r.engine.Version, runtime.GOOS, runtime.GOARCH)
	program, err := shimProgram(r.cfg.Shim, r.folder)
	if err != nil {
		return err
	}
	cfg := terraform.SessionConfig{
		Engine: r.engine, Shim: program, Dir: r.Dir, Root: r.root, Output: r.folder.log(),
		Around: slices.Concat(r.cfg.Around, r.Around), Env: runEnvironment(r.in), Variables: r.in.Variables, State: r.state, Initialized: r.workFolder.ready != nil,
		User: r.user, Grace: time.Duration(r.in.GraceSeconds) * time.Second, OwnChildren: r.cfg.Dedicated,
		Providers: r.Providers, Plugins: r.workFolder.path("plugins"), SharedPlugins: filepath.Join(r.CacheDir, "providers"),
		Inits: filepath.Join(r.CacheDir, "inits"), Configuration: r.configuration,
	}
	if err := r.chooseState(ctx, &cfg); err != nil {
		return err
	}
	if r.session, err = terraform.NewSession(cfg); err != nil {
		return err
	}
	if r.in.Phase == messages.PhaseApply && !cfg.Initialized {
		if err := r.session.UsePlanLock(r.workFolder.plan()); err != nil {
			return err
		}
	}
	r.stop.killWith(func() {
		if err := r.session.Kill(); err != nil {
			r.log.Error("forced end", "error", err)
		}
	})
	return nil
}

// locateEngine finds the engine: for a prepared folder the one that prepared it, because no other can apply its plan.
func (r *attempt) locateEngine(ctx context.Context) (err error) {
	want := r.in.Execution
	r.engine = r.Engine
	if r.workFolder.ready != nil {
		r.engine = r.workFolder.ready.Engine
	}
	if !r.engine.Satisfies(want.Engine, want.TerraformVersion) {
		r.engine, err = terraform.Locate(ctx, terraform.LocateConfig{
			Version: want.TerraformVersion, Engine: want.Engine, CacheDir: r.CacheDir, User: r.user, Releases: r.Releases, Tell: r.out.printf,
		})
	}
	return err
}

// chooseState decides where terraform reads and saves the state. The saved plan remembers the plan's choice, so an apply
// prepares for both. A configuration that asks for its workspace's name needs a file, see terraform.NamesWorkspace.
func (r *attempt) chooseState(ctx context.Context, cfg *terraform.SessionConfig) (err error) {
	named, err := terraform.NamesWorkspace(r.user, r.workFolder.config())
	if err != nil {
		return err
	}
	if r.in.Phase == messages.PhaseApply {
		if cfg.SaveEvery, err = terraform.SaveEvery(r.workFolder.plan()); err != nil {
			return err
		}
		base, err := r.base()
		if err != nil {
			return err
		}
		r.states = r.syncStates(r.state, base)
	} else if !named {
		if good, err := terraform.SavesEachStep(ctx, r.engine, r.CacheDir); err != nil || !good {
			return err
		}
	}
	if named {
		cfg.Workspace = r.in.WorkspaceName
		return nil
	}
	if r.store, err = serveState(r.folder, r.state, r.elsewhere(), r.log); err != nil {
		return err
	}
	if r.states != nil {
		r.states.store = r.store
	}
	cfg.StateURL = r.store.url
	return nil
}

// elsewhere is who takes states that cannot be written here: nobody in a plan.
func (r *attempt) elsewhere() func([]byte, wire.StateRef) error {
	if r.states == nil {
		return nil
	}
	return r.states.direct
}

// syncStates follows the state of the attempt from the one that the server has.
func (r *attempt) syncStates(stored []byte, ref wire.StateRef) *stateSync {
	return &stateSync{
		api: r.api, folder: r.folder, log: r.log, stored: stored, ref: ref,
		superseded: func() { r.stop.cancel(errSuperseded) },
	}
}

// shimProgram finds the program that starts engines.
func shimProgram(configured string, f folder) (string, error) {
	if configured != "" {
		return configured, nil
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	beside := filepath.Join(filepath.Dir(self), shim.Name)
	if _, err := os.Stat(beside); err == nil {
		return beside, nil
	}
	link := f.path(shim.Name)
	if err := os.Symlink(self, link); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	return link, nil
}

// runEnvironment is what a configuration may know about its run, each also as a root-module variable if it declares one.
func runEnvironment(in wire.Inputs) []string {
	var env []string
	for _, kv := range [][2]string{
		{"TFC_RUN_ID", in.RunID},
		{"TFC_WORKSPACE_ID", in.WorkspaceID},
		{"TFC_WORKSPACE_NAME", in.WorkspaceName},
		{"TFC_WORKSPACE_SLUG", in.OrganizationName + "/" + in.WorkspaceName},
	} {
		env = append(env, kv[0]+"="+kv[1], "TF_VAR_"+kv[0]+"="+kv[1])
	}
	if in.Traceparent != "" { // what the run's providers and scripts do can join its trace
		env = append(env, "TRACEPARENT="+in.Traceparent)
	}
	return env
}

// summary reads Terraform's own words out of the log.
func (r *attempt) summary() terraform.Summary {
	f, err := os.Open(r.folder.log())
	if err != nil {
		return terraform.Summary{}
	}
	defer f.Close()
	s, err := terraform.ReadSummary(f)
	if err != nil {
		r.log.Warn("the log cannot be read for its summary", "error", err)
	}
	return s
}

// endSession ends what terraform may have left running.
func (r *attempt) endSession() {
	close(r.idle)
	if r.session == nil {
		return
	}
	if r.next != nil && r.cfg.Dedicated {
		return // the apply, whose terraform is a child of this process too, ends what is left of both
	}
	if r.plan != nil {
		<-r.plan.over // it may still be making its JSON form, by a child of this process
	}
	if err := r.session.Close(); err != nil {
		r.log.Error("processes left by terraform", "error", err)
	}
}
