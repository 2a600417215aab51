package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"gantry.example/client"
	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/workers/terraform"
)

// recoverPoll is how often a terraform that is not our child is looked at.
const recoverPoll = 100 * time.Millisecond

// recoverLogPatience is how long a recovery waits for the log to be stored; what is missing then is left to the next one.
const recoverLogPatience = 30 * time.Second

// recover saves what an attempt left whose runner is gone: it ends terraform in an orderly way, stores the newest complete
// state and the rest of the log, and sends the result if the runner had come to one. It may be repeated at any time. A
// superseded attempt's state is kept aside by the server, which is as much as can be done for it.
func (r *attempt) recover(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r.stop = &stopper{cancel: func(error) {}} // terraform is being stopped already
	if err := r.openAPI(); err != nil {
		return err
	}
	defer r.closeAPI()
	var err error
	if r.out, err = openLog(r.folder.log(), r.hide, r.LogLimit, r.log); err != nil {
		return err
	}
	result, err := r.folder.result()
	if err != nil {
		r.log.Warn("the result that was kept cannot be read", "error", err)
		result = nil
	}
	if r.in.Phase == messages.PhaseApply {
		r.states = r.syncStates(nil, r.in.Base)
	} else if result != nil && result.LogSHA256 == "" {
		result = nil // its plan may not be stored; the server plans again
	}
	if result != nil {
		result.CarryOn = "" // a recovery executes nothing
	}
	if err := r.endTerraform(ctx); err != nil {
		r.log.Error("terraform could not be ended", "error", err)
	}
	limit, cancelLimit := context.WithTimeout(ctx, r.OfflineLimit)
	defer cancelLimit()
	if err := r.recoverState(limit, result); err != nil {
		return err
	}
	return r.recoverRest(limit, result)
}

// endTerraform interrupts what runs of terraform, once, whoever does it, and kills what is left after the grace period. Its
// state is served and stored meanwhile.
func (r *attempt) endTerraform(ctx context.Context) error {
	alive, err := terraform.EngineAlive(r.Dir)
	if err != nil {
		return ignoreUnsupported(err)
	}
	if !alive {
		return terraform.KillTree(r.Dir, false)
	}
	if store, err := serveState(r.folder, nil, r.elsewhere(), r.log); err != nil {
		r.log.Warn("terraform cannot save its state here, it will leave it in a file", "error", err)
	} else {
		defer store.close()
		if r.states != nil {
			r.states.store = store
		}
	}
	if r.states != nil {
		defer r.states.start()()
	}
	if !r.folder.has("interrupted") {
		if err := r.folder.mark("interrupted"); err != nil {
			return err
		}
		if err := terraform.Interrupt(r.Dir); err != nil {
			return err
		}
		r.out.printf("\nGantry: the runner was killed; terraform was asked to stop.")
	}
	deadline := time.NewTimer(time.Duration(r.in.GraceSeconds) * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(recoverPoll)
	defer tick.Stop()
	for alive {
		select {
		case <-tick.C:
			if alive, err = terraform.EngineAlive(r.Dir); err != nil {
				return err
			}
		case <-deadline.C:
			alive = false
		case <-ctx.Done():
			alive = false
		}
	}
	return terraform.KillTree(r.Dir, false)
}

func ignoreUnsupported(err error) error {
	if errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}

// recoverState stores the newest state.
func (r *attempt) recoverState(ctx context.Context, result *wire.Result) error {
	if r.states == nil {
		return nil
	}
	state, ref, err := r.folder.newestState()
	if err != nil {
		return err
	}
	if state == nil || ref == r.in.Base {
		return nil
	}
	if err := replaceFile(r.folder.savedState(), state); err != nil {
		return err
	}
	err = r.states.put(ctx, state, ref)
	var refusal *client.Error
	if errors.As(err, &refusal) && refusal.Status < 500 {
		// The server's last word: it keeps the state of a superseded attempt aside, or has a newer one.
		r.log.Warn("the state that was left was not taken", "serial", ref.Serial, "error", err)
		return nil
	}
	if err != nil {
		return &unavailableError{fmt.Errorf("the state with serial %d was not stored: %w", ref.Serial, err)}
	}
	if result != nil {
		result.State = &ref
	}
	r.log.Info("stored the state that was left", "serial", ref.Serial)
	return nil
}

// recoverRest stores the rest of the log, and the result if there is one.
func (r *attempt) recoverRest(ctx context.Context, result *wire.Result) (err error) {
	bus, err := r.cfg.Connect(ctx, r.Assignment)
	if err != nil {
		return &unavailableError{err}
	}
	defer bus.Close()
	r.out.start(bus.Logs)
	defer r.out.stop()
	end, err := r.out.finish()
	if err != nil {
		return err
	}
	stored := true
	select {
	case <-r.out.done:
	case <-time.After(recoverLogPatience):
		stored = false
	}
	if result != nil {
		result.LogSize, result.LogSHA256 = end.size, end.sha256
		if _, err := r.api.Result(ctx, *result); client.HasCode(err, messages.CodeAttemptClosed) {
			result = nil
		} else if err != nil {
			return remote(err, "the result was not accepted")
		}
	}
	if result == nil && !stored {
		return &unavailableError{errors.New("the rest of the log was not stored")}
	}
	r.recovered = result == nil
	r.leaveWork(r.in.Phase == messages.PhaseApply || result == nil)
	return r.folder.settle(r.hide.Any())
}

// leaveWork removes the work folder that the attempt used, if nobody needs it any more.
func (r *attempt) leaveWork(done bool) {
	id := r.in.AttemptID
	if r.in.Phase == messages.PhaseApply {
		id = r.in.PlanAttemptID
	}
	w := workFolder{dir: filepath.Join(r.Work, id)}
	if r.Work == "" || id == "" || w.hold() != nil {
		return
	}
	_, unusable := os.Stat(w.path("ready.json"))
	if err := w.leave(done || unusable != nil); err != nil {
		r.log.Warn("the work folder was not removed, it will be when it is old", "error", err)
	}
}
