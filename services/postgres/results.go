package postgres

import (
	"context"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/run"
)

// planLimit is the size in bytes of the largest plan that comes with its result: one request and one commit for both. Larger ones
// are not worth encoding as JSON.
const planLimit = 256 << 10

// PutResult takes the result of an attempt: it is stored and folded in one transaction. The first result stands; sending it
// again is no error and gets the same answer. A result of a superseded attempt is refused with attempt.closed.
//
// With res.CarryOn, the apply that follows a plan at once is claimed and started for the runner in the same transaction, and
// the answer has it. A run that waits for a person, was canceled meanwhile, or whose state moved goes its normal way.
func (d *DB) PutResult(ctx context.Context, a Attempt, res wire.Result) (wire.ResultAnswer, error) {
	plan := res.Plan
	res.Plan = nil // a secret, which is stored as such
	doc, err := document(res)
	if err != nil {
		return wire.ResultAnswer{}, err
	}
	var out wire.ResultAnswer
	err = d.tx(ctx, func(tx *txn) error {
		l, err := a.lock(ctx, tx)
		if err != nil {
			return err
		}
		first, err := l.putFirst(ctx, a, doc)
		if err != nil {
			return err
		}
		if first && plan != nil {
			if err := d.planOfResult(ctx, l, a, plan); err != nil {
				return err
			}
		}
		out.Next, err = d.finish(ctx, l, a.ID, res, first)
		return err
	})
	return out, err
}

// putFirst stores the result and reports true, unless the attempt has one. That of an open attempt, which has none, is stored with
// what follows from it.
func (l *locked) putFirst(ctx context.Context, a Attempt, doc []byte) (bool, error) {
	if !l.run.TakesResult(a.ID) {
		var stored bool
		err := l.tx.GetContext(ctx, &stored, `SELECT EXISTS (SELECT 1 FROM results WHERE attempt_id = $1)`, a.ID)
		if err == nil && !stored {
			err = fail(messages.CodeAttemptClosed, "attempt %s is closed: its result is not taken", a.ID)
		}
		return false, err
	}
	if _, at := l.run.Attempt(a.ID); at.Open() {
		l.with.result = &newResult{attempt: a.ID, doc: doc}
		return true, nil
	}
	done, err := l.tx.ExecContext(ctx, `
		INSERT INTO results (attempt_id, run_id, doc, received_at) VALUES ($1, $2, $3, $4) ON CONFLICT (attempt_id) DO NOTHING`,
		a.ID, a.RunID, doc, now())
	if err != nil {
		return false, err
	}
	n, err := done.RowsAffected()
	return n == 1, err
}

// planOfResult stores the plan that came with a result.
func (d *DB) planOfResult(ctx context.Context, l *locked, a Attempt, plan []byte) error {
	t, at := l.run.Attempt(a.ID)
	if at == nil || t.Phase != messages.PhasePlan || at.StartedAt == nil {
		return fail(messages.CodeForbidden, "attempt %s is no plan that was started: field plan is not taken", a.ID)
	}
	return d.putBlob(ctx, l.tx, a.RunID, BlobPlan, plan)
}

// finish folds a result, unless that was done before, and grants the attempt that its runner goes on with, if there is one.
func (d *DB) finish(ctx context.Context, l *locked, attemptID string, res wire.Result, first bool) (*wire.Claim, error) {
	var at surroundings
	var err error
	if res.CarryOn != "" && l.ws != nil {
		if at, err = d.surroundings(ctx, l.tx, l.run); err != nil {
			return nil, err
		}
	}
	before, cause := l.run, Cause{Actor: "runner"}
	var events []run.Event
	if first {
		events, _ = l.decide(d.finishInput(l, attemptID, res, at), cause)
	}
	t, next := l.run.OpenAttempt()
	if next != nil && next.Continues != attemptID {
		next = nil
	}
	if next != nil && first {
		l.ws.setEpoch(next.Epoch)
		l.with.log = &newLog{task: t.ID, attempt: next.ID}
	}
	var token string
	if next != nil && res.CarryOn != "" && next.RunnerNonce == res.CarryOn {
		token = d.issue(l, next)
	}
	if err := l.keep(ctx, before, events, cause); err != nil || token == "" {
		return nil, err
	}
	claim, err := d.grant(ctx, l, next, token, at)
	return &claim, err
}

func (d *DB) finishInput(l *locked, attemptID string, res wire.Result, at surroundings) run.Finish {
	in := run.Finish{
		AttemptID: attemptID, Outcome: string(res.Outcome), Code: res.Code, Message: res.Message, HasChanges: res.HasChanges,
		TerraformVersion: res.TerraformVersion,
	}
	if res.Changes != nil {
		c := run.Changes(*res.Changes)
		in.Changes = &c
	}
	if res.State != nil {
		s := run.StateRef(*res.State)
		in.State = &s
	}
	if res.CarryOn != "" && l.ws != nil {
		in.CarryOn = &run.CarryOn{
			Nonce: res.CarryOn, Epoch: l.ws.Epoch + 1, Current: at.state(), Deadline: now().Add(d.timing.StartWithin),
		}
	}
	return in
}
