package terraform

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/terraform-exec/tfexec"

	"gantry.example/internal/wire"
	"gantry.example/workers/terraform/shim"
)

// SessionConfig describes the work folder of one attempt.
type SessionConfig struct {
	Engine Engine
	Shim   string // path of a program that acts as the shim: gantry-exec
	Dir    string // the attempt's private folder, absolute; the engine's HOME, TMPDIR and settings are made in it
	Root   string // folder of the root module, absolute; User's
	Output string // file that everything the engine prints is appended to, stdout and stderr in order

	Around    []string        // the environment of a container made for the run, KEY=VALUE: all else counts for more
	Env       []string        // what a run may know about itself, KEY=VALUE
	Variables []wire.Variable // values of root-module variables and of the environment
	State     []byte          // the state to start from; nil means none; not needed with StateURL
	Grace     time.Duration   // from SIGINT to SIGKILL after the context of a call ends

	User *User // who the engine runs as; nil means the user of this process

	Providers     Providers // where provider plugins come from
	Plugins       string    // folder for the plugins that Init downloads, kept as long as Root; empty means below Root
	SharedPlugins string    // what all runs of this host have downloaded, see plugins.go; empty means none; needs Plugins

	// Inits is the folder that remembers what Init made of a configuration, see Recall; empty means none. Configuration is what
	// identifies it, with the root module's place in it.
	Inits, Configuration string

	// Initialized tells that an earlier session prepared Root for the same run, with the same engine, and Init succeeded.
	Initialized bool
	// Workspace is what terraform.workspace is to be in the configuration; empty means "default". Only with the state in a
	// file, so not together with StateURL.
	Workspace string
	// StateURL is where the engine reads and writes the state, by the protocol of its "http" backend. Empty means a file in
	// Root. A plan and its apply must agree in whether there is one.
	StateURL string
	// SaveEvery is, with StateURL, how much time must have passed since the last save for a resource's end to save the state.
	// 0 means that every resource's end saves it, before anything that depends on the resource starts.
	SaveEvery time.Duration

	// OwnChildren tells that every child process of this process belongs to this session, as in a runner that called
	// BecomeSubreaper. Then Close also ends those that left the engine's tree.
	OwnChildren bool
}

// Session is one prepared work folder. Its calls are made one after the other; Kill may come from anywhere at any time.
//
// A call whose context ends sends the engine one SIGINT and waits; when the grace period is over, the whole process tree
// is killed. The error of such a call satisfies errors.Is(err, ErrCanceled), and ErrKilled if it had to be killed.
type Session struct {
	cfg SessionConfig
	tf  *tfexec.Terraform

	lockBefore []byte // the dependency lock file as Init found it
}

// Errors of a session's calls, tested with errors.Is. Everything else wraps an *exec.ExitError when the engine ran and
// failed (its output says why), or is about our own work.
var (
	// ErrCanceled: the context ended and the engine stopped with a failure.
	ErrCanceled = errors.New("canceled")
	// ErrKilled: the engine ended by SIGKILL, so what it was doing is not in its state.
	ErrKilled = errors.New("killed")
)

// NewSession writes everything the engine needs beside the configuration into the work folder: local state, run variables,
// an environment made from nothing, and an override of whatever backend the configuration names.
func NewSession(cfg SessionConfig) (*Session, error) {
	s := &Session{cfg: cfg}
	for _, prepare := range []func() error{s.letPass, s.prepareRoot, s.takePlugins, s.writeSpec} {
		if err := prepare(); err != nil {
			return nil, err
		}
	}
	if err := s.open(); err != nil {
		return nil, err
	}
	return s, nil
}

// ResumeSession returns a session in folders that an earlier one prepared, as they are, to look at what it made. Of cfg only Shim,
// Dir, Root, Grace and OwnChildren are used; the rest is what the earlier one had.
func ResumeSession(cfg SessionConfig) (*Session, error) {
	spec, err := readSpec(cfg.Dir)
	if err != nil {
		return nil, err
	}
	cfg.Engine = Engine{Path: spec.Engine, Version: spec.Version}
	s := &Session{cfg: cfg}
	if err := s.open(); err != nil {
		return nil, err
	}
	return s, nil
}

// open makes the session ready for calls.
func (s *Session) open() error {
	tf, err := tfexec.NewTerraform(s.cfg.Root, s.cfg.Shim)
	if err != nil {
		return err
	}
	if err := errors.Join(tf.SetEnv(s.env()), tf.SetWaitDelay(s.cfg.Grace)); err != nil {
		return err
	}
	s.tf = tf
	return nil
}

// env is what the shim gets; the engine's environment is made by it.
func (s *Session) env() map[string]string {
	return map[string]string{shim.SpecVariable: s.specPath(), "CHECKPOINT_DISABLE": "1"}
}

// letPass lets the user get at what is its own in the attempt's folder.
func (s *Session) letPass() error { return s.cfg.User.LetPass(s.cfg.Dir) }

// Init runs "init".
func (s *Session) Init(ctx context.Context) error {
	err := s.cfg.User.Do(func() error {
		s.lockBefore, _ = os.ReadFile(filepath.Join(s.cfg.Root, lockFile)) // often there is none
		return nil
	})
	if err != nil {
		return err
	}
	if err := s.askVersion(ctx); err != nil {
		return err
	}
	err = s.call(ctx, "init", func(ctx context.Context) error { return s.tf.Init(ctx, tfexec.Upgrade(false)) })
	if err == nil && s.hasProviders() {
		err = s.writeSpec() // for what comes now
	}
	return err
}

// Plan runs "plan", saves the plan in the file out, which is in a folder of ours, and reports whether it has changes to make.
func (s *Session) Plan(ctx context.Context, o wire.RunOptions, out string) (hasChanges bool, err error) {
	if err := s.givePlanFile(out); err != nil {
		return false, err
	}
	opts := []tfexec.PlanOption{
		tfexec.Out(out), tfexec.Lock(true), tfexec.Destroy(o.Destroy), tfexec.Refresh(!o.SkipRefresh), tfexec.RefreshOnly(o.RefreshOnly),
	}
	if o.RefreshOnly || len(o.ReplaceAddrs) > 0 {
		if err := s.askVersion(ctx); err != nil {
			return false, err
		}
	}
	for _, addr := range o.TargetAddrs {
		opts = append(opts, tfexec.Target(addr))
	}
	for _, addr := range o.ReplaceAddrs {
		opts = append(opts, tfexec.Replace(addr))
	}
	err = s.call(ctx, "plan", func(ctx context.Context) error {
		hasChanges, err = s.tf.Plan(ctx, opts...)
		return err
	})
	if err == nil {
		err = s.takePlanFile(out)
	}
	return hasChanges && err == nil, err
}

// givePlanFile makes the file that the engine writes its plan to. The engine could make none in a folder of ours.
func (s *Session) givePlanFile(out string) error {
	if s.cfg.User == nil {
		return nil
	}
	return errors.Join(replaceFile(out, nil), s.cfg.User.own(out))
}

// takePlanFile makes sure that what is stored and approved as the plan is what is applied: nobody of the run writes to it any more.
func (s *Session) takePlanFile(out string) error {
	if s.cfg.User == nil {
		return nil
	}
	return errors.Join(s.Kill(), s.cfg.User.lend(out))
}

// UsePlanLock puts the provider versions that the saved plan was made with in place. Call it before the Init of an apply.
func (s *Session) UsePlanLock(plan string) error {
	lock, err := lockFromPlan(plan)
	if err != nil || lock == nil {
		return err
	}
	return s.cfg.User.Do(func() error { return replaceFile(filepath.Join(s.cfg.Root, lockFile), lock) })
}

// Apply applies the saved plan and nothing else. The state is at the plan's own choice of StateURL and file: both are there.
func (s *Session) Apply(ctx context.Context, plan string) error {
	if s.cfg.StateURL != "" && s.cfg.State != nil { // not earlier: Init would want to move the file's state to the URL
		write := func() error { return replaceFile(filepath.Join(s.cfg.Root, stateFile), s.cfg.State) }
		if err := s.cfg.User.Do(write); err != nil {
			return err
		}
	}
	if err := s.cfg.User.lend(plan); err != nil {
		return err
	}
	return s.call(ctx, "apply", func(ctx context.Context) error {
		return s.tf.Apply(ctx, tfexec.DirOrPlan(plan), tfexec.Lock(true))
	})
}

// ShowPlanJSON writes a saved plan in Terraform's JSON form to a file, byte for byte. Not by terraform-exec, which keeps the whole of
// it in memory and as values too: several times what may be hundreds of MiB.
func (s *Session) ShowPlanJSON(ctx context.Context, plan string, to *os.File) error {
	var said strings.Builder
	cmd := exec.CommandContext(ctx, s.cfg.Shim, "show", "-json", "-no-color", plan)
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = s.cfg.Root, to, &said, s.cfg.Grace
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	for key, value := range s.env() {
		cmd.Env = append(cmd.Env, key+"="+value)
	}
	err := cmd.Run()
	if err == nil {
		return nil
	}
	return &callError{engine: s.cfg.Engine, command: "show", canceled: ctx.Err() != nil, killed: killedBySignal(err), err: fmt.Errorf("%w\n%s", err, said.String())}
}

// Kill ends the engine and all its descendants at once, without giving it time to save its state.
func (s *Session) Kill() error { return KillTree(s.cfg.Dir, s.cfg.OwnChildren) }

// Close ends what the engine left running: provider plugins of a killed engine, background processes of provisioners.
func (s *Session) Close() error { return s.Kill() }

// askVersion lets terraform-exec ask for the engine's version, once per session, which it would otherwise do inside a command
// with an option that not all versions have. The shim answers, but even that takes milliseconds.
func (s *Session) askVersion(ctx context.Context) error {
	if _, _, err := s.tf.Version(context.WithoutCancel(ctx), false); err != nil {
		return &callError{engine: s.cfg.Engine, command: "version", err: err}
	}
	return nil
}

// call runs one command of the engine and gives its failure a form that says what happened.
func (s *Session) call(ctx context.Context, name string, run func(context.Context) error) error {
	if ctx.Err() != nil {
		return &callError{engine: s.cfg.Engine, command: name, canceled: true, err: ctx.Err()}
	}
	started := make(chan struct{})
	s.tf.SetStderr(&firstWrite{seen: started})
	runCtx, interrupt := context.WithCancel(context.WithoutCancel(ctx))
	returned := make(chan struct{})
	var forward sync.WaitGroup
	forward.Go(func() { forwardCancel(ctx, started, returned, interrupt) })
	err := run(runCtx)
	close(returned)
	forward.Wait()
	defer interrupt()

	interrupted := errors.Is(err, context.Canceled)
	if interrupted {
		err = errors.Unwrap(err) // terraform-exec wraps how the process ended: with nil if it succeeded all the same
	}
	if err == nil {
		return nil
	}
	killed := killedBySignal(err)
	if interrupted && killed {
		err = errors.Join(err, s.Kill()) // the engine is gone, its plugins are not
	}
	return &callError{engine: s.cfg.Engine, command: name, canceled: interrupted, killed: killed, err: err}
}

// forwardCancel interrupts a command when ctx ends, but not before the command has started: terraform-exec abandons a
// process, without waiting for it, whose context ends while it is being started.
func forwardCancel(ctx context.Context, started, returned <-chan struct{}, interrupt func()) {
	select {
	case <-returned:
		return
	case <-ctx.Done():
	}
	select {
	case <-returned:
	case <-started:
		interrupt()
	}
}

// firstWrite closes seen at the first write. The shim writes a byte before it becomes the engine.
type firstWrite struct {
	once sync.Once
	seen chan struct{}
}

func (w *firstWrite) Write(p []byte) (int, error) {
	w.once.Do(func() { close(w.seen) })
	return len(p), nil
}

func killedBySignal(err error) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// callError is the failure of one command.
type callError struct {
	engine           Engine
	command          string
	canceled, killed bool
	err              error
}

func (e *callError) Error() string {
	return fmt.Sprintf("%s %s: %v", e.engine.Engine, e.command, e.err)
}

func (e *callError) Unwrap() error { return e.err }

func (e *callError) Is(target error) bool {
	return target == ErrCanceled && e.canceled || target == ErrKilled && e.killed
}

// Failed reports whether err is the engine's own failure, whose reason is in its output, as opposed to one of ours.
func Failed(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.ExitCode() != shim.ExitNotStarted
}
