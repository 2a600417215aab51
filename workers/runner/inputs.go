package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sync/errgroup"

	"gantry.example/client"
	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/workers/terraform"
)

// failure is an end of the attempt that the server is told as its result: ours, not terraform's.
type failure struct {
	code messages.Code
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func (f *failure) result() wire.Result {
	return wire.Result{V: messages.Version, Outcome: wire.OutcomeFailed, Code: f.code, Message: f.err.Error()}
}

// setupFailure finds the code for what went wrong while preparing.
func setupFailure(err error) *failure {
	var known *failure
	var archive *terraform.ArchiveError
	var missing *terraform.MissingError
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &archive):
		return &failure{messages.CodeConfigurationInvalid, err}
	case errors.As(err, &missing):
		return &failure{messages.CodeRunEngineMissing, err}
	}
	return &failure{messages.CodeRunSetupFailed, err}
}

// fetch brings the inputs into the folder. Its error is a *failure if the server should know it as the result.
func (r *attempt) fetch(ctx context.Context) error {
	defer r.enter(messages.StageFetch)()
	if err := r.chooseWork(); err != nil {
		return setupFailure(err)
	}
	// First, so that all come by the one connection that it opens: two requests at once would open two.
	state, err := r.api.State(ctx)
	if err != nil {
		return fetched("state", err)
	}
	r.state = state
	g, gctx := errgroup.WithContext(ctx)
	if r.workFolder.ready == nil {
		g.Go(func() error { return r.fetchConfiguration(gctx) })
		if r.in.Phase == messages.PhaseApply {
			g.Go(func() error {
				return fetched("plan", intoFile(r.workFolder.plan(), func(f *os.File) error { return r.api.Plan(gctx, f) }))
			})
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return r.findRoot()
}

// chooseWork finds out what terraform will work in: what the plan left, for its apply; a place where the apply may find it,
// for a plan; else the attempt's own folder.
func (r *attempt) chooseWork() (err error) {
	r.workFolder, r.user = workFolder{dir: r.Dir}, r.RunAs
	base := r.in.Execution.Base()
	if base != "" && r.Work == "" {
		return setupFailure(fmt.Errorf("the workspace wants its runs below %s, which this worker does not do: write a folder inside the configuration", base))
	}
	if r.in.Phase == messages.PhaseApply {
		w, user, err := findWork(r.Work, r.in.PlanAttemptID, r.RunAs)
		if err == nil {
			r.workFolder, r.user = w, user
			return nil
		}
		r.log.Debug("the plan's folder is not used, starting from nothing", "reason", err)
	}
	if base != "" || r.in.Phase == messages.PhasePlan && r.Work != "" && !r.in.Options.PlanOnly {
		r.workFolder, err = makeWork(r.Work, base, r.in.AttemptID)
	}
	if err == nil {
		err = r.user.LetPass(r.workFolder.dir)
	}
	if err != nil && base != "" {
		return setupFailure(fmt.Errorf("the workspace wants its runs below %s: %w", base, err))
	}
	return err
}

// fetched gives the failure of a download its meaning: a refusal that concerns the attempt ends the attempt without a
// result, one that concerns the body is the result, and no answer is neither.
func fetched(what string, err error) error {
	if err == nil {
		return nil
	}
	var refusal *client.Error
	var path *os.PathError
	switch {
	case errors.As(err, &refusal) && (refusal.Code == messages.CodeAttemptClosed || refusal.Status == 401 || refusal.Status == 403):
		return &refusedError{fmt.Errorf("the %s was not given: %w", what, err)}
	case errors.As(err, &refusal) && refusal.Status < 500, errors.As(err, &path):
		return setupFailure(fmt.Errorf("the run's %s could not be fetched: %w", what, err))
	}
	return &unavailableError{fmt.Errorf("the run's %s could not be fetched: %w", what, err)}
}

func (r *attempt) fetchConfiguration(ctx context.Context) error {
	archive, err := r.obtainArchive(ctx)
	if err != nil {
		return err
	}
	// A runner that ended before its start may have left a part of it.
	config := r.workFolder.config()
	sum, err := fileSHA256(archive)
	if want, given := r.digest(); err == nil && given && want != sum {
		err = fmt.Errorf("the configuration has the SHA-256 %s and was to have %s", sum, want)
	}
	r.configuration = sum + "/" + r.in.Execution.Folder()
	err = errors.Join(err, os.RemoveAll(config), r.user.MakeDir(config))
	if err == nil {
		err = terraform.Unpack(archive, config, r.user, r.Limits)
	}
	if err != nil {
		return setupFailure(err)
	}
	if archive == r.downloaded() {
		_ = os.Remove(archive) // the folder is removed in the end anyway
	}
	return nil
}

func (r *attempt) downloaded() string { return r.folder.path("configuration.tar.gz") }

// obtainArchive returns the configuration that came with the runner, or downloads it.
func (r *attempt) obtainArchive(ctx context.Context) (string, error) {
	if r.Configuration != "" {
		path := filepath.Join(r.Configuration, FileConfiguration)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	if err := intoFile(r.downloaded(), func(f *os.File) error { return r.api.Configuration(ctx, f) }); err != nil {
		return "", fetched("configuration", err)
	}
	return r.downloaded(), nil
}

// digest is what the configuration is to have, if somebody said.
func (r *attempt) digest() (want string, given bool) {
	if r.Configuration == "" {
		return "", false
	}
	b, err := os.ReadFile(filepath.Join(r.Configuration, FileDigest))
	return strings.TrimSpace(string(b)), err == nil
}

// findRoot finds the root module.
func (r *attempt) findRoot() error {
	workdir := r.in.Execution.Folder()
	if workdir != "" && !filepath.IsLocal(workdir) {
		return setupFailure(fmt.Errorf("the working directory %q is not a path inside the configuration", workdir))
	}
	r.root = filepath.Join(r.workFolder.config(), workdir)
	isFolder := func() error {
		info, err := os.Stat(r.root)
		if err == nil && !info.IsDir() {
			err = syscall.ENOTDIR
		}
		return err
	}
	if err := r.user.Do(isFolder); err != nil {
		return setupFailure(&terraform.ArchiveError{Problem: fmt.Sprintf("the workspace's working directory %q is not in it", workdir)})
	}
	if err := r.folder.linkRoot(r.root); err != nil {
		return setupFailure(err)
	}
	return nil
}

// planSomething refuses a root module without any configuration, as the engine does: everything in the state would be destroyed. The
// engine can't tell any more, because a session adds files of its own. What is to destroy needs no configuration, and what only
// refreshes, as a recovery of that, destroys nothing.
func (r *attempt) planSomething() error {
	if o := r.in.Options; r.in.Phase != messages.PhasePlan || o.Destroy || o.RefreshOnly {
		return nil
	}
	there, err := r.engine.HasConfiguration(r.user, r.root)
	if err != nil || there {
		return err
	}
	where := "the uploaded configuration"
	if workdir := r.in.Execution.Folder(); workdir != "" {
		where = fmt.Sprintf("the folder %q of the uploaded configuration, the workspace's working directory,", workdir)
	}
	return &failure{messages.CodeConfigurationInvalid, fmt.Errorf("%s has no files for %s %s, which reads %s: a plan of nothing would destroy all that is in the state. "+
		"Set the working directory to the folder that has them; if everything is to go, start a run that destroys",
		where, r.engine.Engine, r.engine.Version, strings.Join(r.engine.Endings(), " and "))}
}

func intoFile(path string, download func(*os.File) error) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(download(f), f.Close())
}

// base reads what state the attempt really has. The server compares it with what the task was made for.
func (r *attempt) base() (wire.StateRef, error) {
	if r.state == nil {
		if r.in.Base != (wire.StateRef{}) {
			return wire.StateRef{}, setupFailure(fmt.Errorf("the workspace has state with serial %d, but the server did not give it", r.in.Base.Serial))
		}
		return wire.StateRef{}, nil
	}
	ref, err := terraform.StateRefOf(r.state)
	if err != nil {
		return ref, setupFailure(err)
	}
	return ref, nil
}
