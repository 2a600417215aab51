package process

import (
	"errors"
	"os"
	"strings"
	"time"

	"gantry.example/messages"
	"gantry.example/workers/executor"
	"gantry.example/workers/runner"
)

// sweepWorkPause is between two looks for old folders of plans, which may be many.
const sweepWorkPause = 10 * time.Minute

// recovered saves what a runner left that ended without delivering it, and returns the exit code to report. The attempt
// counts as running until then, so that the server learns of the exit after it has the last state. It is false if this
// executor is closed meanwhile; the next one goes on from there.
func (e *Executor) recovered(a *attempt, code int) (int, bool) {
	// The others have had their time to deliver, or were told not to. The next executor tries once more.
	killed := code == executor.CodeUnknown || code == runner.ExitInternal
	if _, ours := a.runner.(*child); ours && !killed {
		return code, true
	}
	return e.deliver(a, code)
}

// recoverAgain is for an exit that was reported already.
func (e *Executor) recoverAgain(a *attempt) {
	if !a.folder.undelivered() || a.folder.held() {
		return
	}
	if code, over := e.deliver(a, a.status.Code); over && code == executor.CodeDelivered {
		if err := a.folder.remove(); err != nil {
			e.log.Warn("the folder of a delivered attempt was not removed", append(a.ref.LogAttrs(), "error", err)...)
		}
	}
}

// redeliver tries again, until the executor is closed, to deliver what runners left that ended while nobody could be reached:
// the server takes a late result as long as nobody freed the workspace.
func (e *Executor) redeliver() {
	tick := time.NewTicker(e.cfg.Redeliver)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-e.ctx.Done():
			return
		}
		for _, a := range e.over(time.Now().Add(-e.cfg.Redeliver)) {
			if e.ctx.Err() == nil {
				e.recoverAgain(&a)
			}
		}
	}
}

// deliver runs a recovery in the attempt's folder if there is something to deliver.
func (e *Executor) deliver(a *attempt, code int) (int, bool) {
	assignment, undelivered := runner.Undelivered(a.folder.dir)
	if undelivered {
		e.log.Warn("the runner ended before all was delivered, a recovery does it", append(a.ref.LogAttrs(), "exit_code", code)...)
		c, err := e.startRecovery(a, assignment)
		if err != nil {
			e.log.Error("no recovery, what the attempt left is kept", append(a.ref.LogAttrs(), "folder", a.folder.dir, "error", err)...)
			return code, true
		}
		end, exited := c.wait(e.ctx)
		if !exited {
			return 0, false
		}
		e.log.Info("the recovery ended", append(a.ref.LogAttrs(), "exit_code", end)...)
	}
	if a.folder.has("delivered") && a.folder.has("result.json") && (a.ref.Phase != messages.PhasePlan || code != executor.CodeUnknown) {
		return executor.CodeDelivered, true // of a plan the server must know: it may have granted the killed runner the apply
	}
	return code, true
}

// startRecovery starts a runner that delivers. Where the server is may have changed.
func (e *Executor) startRecovery(a *attempt, old runner.Assignment) (*child, error) {
	now := e.cfg.Assignment
	now.Claim, now.Dir, now.Work, now.Recover = old.Claim, a.folder.dir, old.Work, true
	if err := os.Rename(a.folder.output(), a.folder.output()+".1"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	e.starting.Lock()
	defer e.starting.Unlock()
	if e.ctx.Err() != nil {
		return nil, e.ctx.Err()
	}
	c, err := e.handOver(a.folder, now)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	a.runner = c
	e.mu.Unlock()
	return c, nil
}

// sweepWork removes what plans prepared and nobody applied, when it was not done for a while.
func (e *Executor) sweepWork(now time.Time) {
	if now.Sub(e.swept) < sweepWorkPause {
		return
	}
	e.swept = now
	e.removeWork(now.Add(-e.cfg.KeepWork))
}

// removeWork removes the folders that plans prepared before that time, but for those in use.
func (e *Executor) removeWork(before time.Time) {
	folders, err := e.folder.list()
	if err != nil {
		e.log.Warn("old folders are not looked for", "error", err)
		return
	}
	var needed []string
	for _, f := range folders {
		if root, err := runner.WorksIn(f.dir); err == nil && f.undelivered() {
			needed = append(needed, root)
		}
	}
	removed, err := runner.SweepWork(e.folder.runs(), before, func(dir string) bool {
		for _, root := range needed {
			if strings.HasPrefix(root, dir+"/") {
				return true
			}
		}
		return false
	})
	if removed > 0 || err != nil {
		e.log.Info("removed folders of plans that nobody applied", "removed", removed, "error", err)
	}
}
