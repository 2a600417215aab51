package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gantry.example/client"
	"gantry.example/internal/wire"
	"gantry.example/messages"
)

// logAfterResult is how long a runner waits for the rest of its log once the result is taken. What is not stored by then
// stays in the folder: a worker's slot is worth more.
const logAfterResult = 30 * time.Second

// deliver stores state or plan, reports the result, releases the lease and says "finished", in this order: each implies the
// ones before, and "finished" the whole log, whose last bytes leave beside. It does not stop for a cancel.
//
// A plan's result offers to go on with the apply. If the server takes that up, the lease is left to the apply, which replaces
// it by its higher epoch.
func (r *attempt) deliver(ctx context.Context, result wire.Result) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.OfflineLimit)
	defer cancel()
	result.Message = r.hide.Text(result.Message) // it may quote what terraform printed
	if r.in.Phase == messages.PhaseApply {
		r.keepResult(result) // even if nothing can be delivered; completed below
	}
	finish := func() (logEnd, error) {
		// What terraform said itself needs no second saying, and what is unknown is said by the server.
		if result.Outcome != wire.OutcomeSucceeded && result.Outcome != wire.OutcomeLost && result.Code != messages.CodeRunTerraformFailed {
			r.out.printf("\n\nGantry: %s", result.Message) // behind the three lines, also if only one was written
		}
		return r.out.finish()
	}
	var end logEnd
	var err error
	early := result.Outcome == wire.OutcomeSucceeded // there is nothing to add, so the end goes out beside the upload
	if early {
		end, err = finish()
	}
	if err := r.upload(ctx, &result); err != nil {
		return err
	}
	if !early {
		end, err = finish()
	}
	if err != nil {
		return fmt.Errorf("the log cannot be read: %w", err)
	}
	result.LogSize, result.LogSHA256, result.Phases = end.size, end.sha256, r.times()
	if r.usable {
		result.CarryOn = r.nonce
	}
	r.keepResult(result)
	answer, err := r.api.Result(ctx, result)
	if err != nil {
		return remote(err, "the result was not accepted")
	}
	if answer.Next != nil {
		r.carryOn(*answer.Next)
	} else {
		r.letGo()
	}
	select {
	case <-r.out.done:
		r.events.add(messages.EventFinished, "")
		return nil
	case <-time.After(logAfterResult):
		return &unavailableError{errors.New("the result was delivered, but not all of the log")}
	}
}

// keepResult keeps the result for a recovery. A disk that is full must not keep it from the server.
func (r *attempt) keepResult(result wire.Result) {
	if err := r.folder.saveResult(result); err != nil {
		r.log.Warn("the result is not on disk, only on its way to the server", "error", err)
	}
}

// upload stores what terraform made. What the server refuses to take becomes part of the result.
func (r *attempt) upload(ctx context.Context, result *wire.Result) error {
	var err error
	switch {
	case r.session == nil:
		return nil
	case r.in.Phase == messages.PhaseApply:
		defer r.enter(messages.StageUpload)()
		err = r.uploadState(ctx, result)
	case result.HasChanges:
		defer r.enter(messages.StageUpload)()
		err = r.uploadPlan(ctx, result)
	}
	var refusal *client.Error
	if refused(err) && errors.As(err, &refusal) {
		if client.HasCode(err, messages.CodeAttemptClosed) {
			return &refusedError{err}
		}
		result.Outcome, result.Code, result.Message = wire.OutcomeFailed, refusal.Code, err.Error()
		if result.Code == "" {
			result.Code = messages.CodeRunSetupFailed
		} else { // who shows the message shows the code beside it
			result.Message = strings.Replace(result.Message, refusal.Error(), refusal.Detail, 1)
		}
		return nil
	}
	if err != nil {
		return &unavailableError{err}
	}
	return nil
}

// refused reports whether the server gave its last word, so that asking again is of no use.
func refused(err error) bool {
	var refusal *client.Error
	return errors.As(err, &refusal) && refusal.Status < 500
}

// keepState puts a state that the server does not take where no clean-up comes by, and says where. It may be the only trace
// of what exists.
func (r *attempt) keepState(state []byte) string {
	if len(state) == 0 {
		return ""
	}
	host, _ := os.Hostname() // for people; an empty one is fine
	dir := filepath.Join(filepath.Dir(filepath.Dir(r.Dir)), "kept")
	path := filepath.Join(dir, r.in.AttemptID+".tfstate")
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(path, state, 0o600)); err != nil {
		r.log.Error("a state that the server refused could not be kept", "error", err)
		return ""
	}
	return fmt.Sprintf(" It is kept on host %s in %s.", host, path)
}

// uploadState stores the state if terraform changed it, however the apply ended.
func (r *attempt) uploadState(ctx context.Context, result *wire.Result) error {
	state, ref, err := r.folder.newestState()
	if err != nil {
		result.Outcome, result.Code = wire.OutcomeFailed, messages.CodeRunTerraformFailed
		result.Message = fmt.Sprintf("Terraform left a state that cannot be read and was not stored: %v.%s", err, r.keepState(state))
		return nil
	}
	if state == nil {
		return nil
	}
	if err := r.states.put(ctx, state, ref); err != nil {
		kept := ""
		if refused(err) {
			kept = "." + r.keepState(state)
		}
		return fmt.Errorf("the state with serial %d was not stored: %w%s", ref.Serial, err, kept)
	}
	if last := r.states.last(); last != nil {
		result.State = last
	}
	return nil
}

// uploadPlan stores the plan, or sends it along with the result if it is small, and offers what terraform works in to the apply of
// it.
func (r *attempt) uploadPlan(ctx context.Context, result *wire.Result) error {
	f, err := os.Open(r.workFolder.plan())
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() <= r.in.PlanLimit {
		result.Plan, err = io.ReadAll(f)
	} else {
		err = r.api.PutPlan(ctx, f, info.Size())
	}
	if err != nil {
		return fmt.Errorf("the plan was not stored: %w", err)
	}
	if r.in.Options.PlanOnly || r.Alone {
		return nil
	}
	if err := r.workFolder.markReady(r.engine); err != nil {
		r.log.Warn("the apply has to prepare its own folder", "error", err)
		return nil
	}
	r.usable = true
	return nil
}
