package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/workers/executor"
)

// A plan that is applied at once is applied by the runner that made it: the server's answer to its result is the apply's
// claim, started already. So the apply costs no way through the queue, no process and no second preparation, and terraform
// starts while the plan's rest (the end of its log, its JSON form) is still being delivered. It is an attempt like any other,
// with a folder, a token, a log and an epoch of its own.

// successor is an apply that goes on from the plan of this process.
type successor struct {
	attempt *attempt
	done    chan struct{}
	code    int
}

func (s *successor) wait() int {
	<-s.done
	return s.code
}

// carryOn starts the apply that the server granted.
func (r *attempt) carryOn(claim wire.Claim) {
	a := r.Assignment
	a.Claim, a.Dir = claim, filepath.Join(filepath.Dir(r.Dir), claim.AttemptID)
	r.stop.killWith(nil) // it would kill what the apply executes
	next := newAttempt(r.ctx, a, r.cfg)
	next.plan, next.nonce = r, r.nonce
	r.next = &successor{attempt: next, done: make(chan struct{})}
	go func() {
		defer close(r.next.done)
		if err := r.makeRoom(next); err != nil {
			r.next.code = next.refuse(err)
			return
		}
		r.next.code = next.run()
	}()
}

// makeRoom makes the apply's folder as an executor would, and leaves word of it in the plan's, so that whoever waits for this
// process, or finds it, knows what it is at.
func (r *attempt) makeRoom(next *attempt) error {
	if err := os.Mkdir(next.Dir, 0o700); err != nil {
		return err
	}
	ref, err := json.Marshal(executor.Attempt{Claim: next.Claim}.Ref())
	if err != nil {
		return err
	}
	for path, content := range map[string][]byte{
		next.folder.path("attempt.json"): ref,
		next.folder.path("pid"):          []byte(strconv.Itoa(os.Getpid()) + "\n"),
	} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return err
		}
	}
	return replaceFile(r.folder.path("next"), []byte(next.in.AttemptID))
}

// Next is the attempt that the runner of the one in the folder dir went on with, if it did.
func Next(dir string) (attemptID string, ok bool) {
	b, err := os.ReadFile(folder{dir}.path("next"))
	return string(b), err == nil && messages.ValidID(string(b), "att-")
}

// refuse delivers the failure of an apply that cannot even begin: nothing was executed.
func (r *attempt) refuse(cause error) int {
	r.stop = &stopper{cancel: func(error) {}}
	err := r.openAPI()
	if err == nil {
		defer r.closeAPI()
		ctx, cancel := context.WithTimeout(context.Background(), r.OfflineLimit)
		defer cancel()
		_, err = r.api.Result(ctx, setupFailure(fmt.Errorf("the apply was not begun, nothing was executed: %w", cause)).result())
	}
	if err != nil {
		r.log.Error("attempt not begun and not reported", "cause", cause, "error", err)
		return ExitInternal
	}
	return ExitDelivered
}

// inherit takes over what the plan worked in and from: the server compared its state with the workspace's when it started
// this apply. Should the plan's folder be of no use after all, the apply prepares its own. Its error is a *failure: the server
// counts this attempt as started, so it has to know that nothing was executed.
func (r *attempt) inherit(ctx context.Context) error {
	err := r.folder.markStart()
	if err == nil {
		err = r.chooseWork()
	}
	r.state = r.plan.state
	switch {
	case err != nil:
	case r.workFolder.ready == nil:
		err = r.fetch(ctx)
	default:
		err = r.findRoot()
	}
	var known *failure
	if err == nil || errors.As(err, &known) {
		return err
	}
	return setupFailure(err)
}
