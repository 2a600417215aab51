package postgres

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"gantry.example/internal/secrets"
	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/run"
)

// Claim gives the task to a worker of the pool: attempt n, epoch e, a token and the inputs. Idempotent by the request's
// nonce. Errors with codes task.gone and task.taken are for good; task.not_ready may be asked again.
func (d *DB) Claim(ctx context.Context, pool string, req wire.ClaimRequest) (wire.Claim, error) {
	var out wire.Claim
	err := d.tx(ctx, func(tx *sqlx.Tx) error {
		var task struct {
			Run       string `db:"run_id"`
			Pool      string `db:"pool_id"`
			Workspace string `db:"workspace_id"`
			Exclusive bool   `db:"exclusive"`
		}
		err := tx.GetContext(ctx, &task, `
			SELECT t.run_id, t.pool_id, r.workspace_id, r.exclusive FROM tasks t JOIN runs r ON r.id = t.run_id WHERE t.id = $1`, req.TaskID)
		if noRows(err) || (err == nil && task.Pool != pool) {
			return fail(messages.CodeTaskGone, "task %s does not exist in pool %s", req.TaskID, pool)
		}
		if err != nil {
			return err
		}
		l, err := lockIn(ctx, tx, task.Run, task.Workspace, task.Exclusive)
		if err != nil {
			return err
		}
		a, err := d.claim(ctx, l, req)
		if err != nil {
			return err
		}
		out, err = d.grant(ctx, l, a)
		return err
	})
	return out, err
}

func (d *DB) claim(ctx context.Context, l *locked, req wire.ClaimRequest) (*run.Attempt, error) {
	in := run.Claim{TaskID: req.TaskID, Worker: req.Worker, Nonce: req.Nonce, Deadline: now().Add(d.timing.StartWithin)}
	exclusive := l.ws != nil && !l.run.Borrows()
	if l.ws != nil && !l.run.Status.Final() && !l.mayPass() {
		return nil, fail(messages.CodeTaskNotReady, "run %s does not hold the gate of its workspace", l.run.ID)
	}
	if exclusive {
		in.Epoch = l.ws.Epoch
	} else if last := l.run.Plan.Last(); last != nil {
		in.Epoch = last.Epoch // what writes no state has epochs that only order its own attempts
	}
	in.Epoch++
	var err error
	if in.Base, err = currentState(ctx, l.tx, l.run.WorkspaceID); err != nil {
		return nil, err
	}
	before := l.run.Seq
	after, refusal, err := l.apply(ctx, in, Cause{Actor: "worker " + req.Worker})
	if err != nil || refusal != nil {
		return nil, firstError(err, refusal)
	}
	if after.Seq != before && exclusive {
		if _, err := l.tx.ExecContext(ctx, `UPDATE workspaces SET epoch = $2 WHERE id = $1`, l.ws.ID, in.Epoch); err != nil {
			return nil, err
		}
	}
	return after.TaskByID(req.TaskID).Last(), nil
}

// mayPass reports whether the run has its workspace's gate, or looks into the lost run that has it.
func (l *locked) mayPass() bool {
	holder := l.run.ID
	if l.run.Borrows() {
		holder = l.run.Recovers
	}
	return l.ws.Run != nil && *l.ws.Run == holder
}

// grant issues a token for the attempt and describes its work.
func (d *DB) grant(ctx context.Context, l *locked, a *run.Attempt) (wire.Claim, error) {
	token := secrets.NewToken(prefixAttempt)
	if _, err := l.tx.ExecContext(ctx, `INSERT INTO attempt_tokens (hash, attempt_id, run_id, expires_at) VALUES ($1, $2, $3, $4)`,
		secrets.HashToken(token), a.ID, l.run.ID, now().Add(d.timing.TokenLife)); err != nil {
		return wire.Claim{}, err
	}
	values, err := d.giveValues(ctx, l.tx, l.run, a.ID)
	if err != nil {
		return wire.Claim{}, err
	}
	in, err := d.inputs(ctx, l.tx, l.run, a.ID, values)
	return wire.Claim{
		AttemptID: a.ID, Number: a.Number, Epoch: a.Epoch, Token: token, StartDeadline: a.StartDeadline, Inputs: in,
	}, err
}

func (d *DB) inputs(ctx context.Context, q sqlx.QueryerContext, r run.Run, attemptID string, values []wire.Variable) (wire.Inputs, error) {
	var names struct {
		Workspace    string `db:"workspace"`
		Organization string `db:"organization"`
		LeaseTTL     int    `db:"lease_ttl"`
	}
	if err := sqlx.GetContext(ctx, q, &names, `
		SELECT w.name AS workspace, o.name AS organization, COALESCE((SELECT NULLIF(lease_ttl_seconds, 0) FROM pools WHERE id = $2), $3) AS lease_ttl
		FROM workspaces w JOIN organizations o ON o.id = w.organization_id WHERE w.id = $1`, r.WorkspaceID, r.Pool, d.timing.LeaseTTL/time.Second); err != nil {
		return wire.Inputs{}, err
	}
	t, a := r.Attempt(attemptID)
	o := r.Options
	asked, _ := r.StopAsked(a.ID)
	var planned string
	if last := r.Plan.Last(); t.Phase == messages.PhaseApply && last != nil {
		planned = last.ID
	}
	return wire.Inputs{
		AttemptID: a.ID, TaskID: t.ID, RunID: r.ID, WorkspaceID: r.WorkspaceID, WorkspaceName: names.Workspace,
		OrganizationID: r.OrganizationID, OrganizationName: names.Organization, Phase: t.Phase, Exclusive: r.ExclusiveTask(t.Phase),
		Pool: r.Pool, Epoch: a.Epoch, Execution: r.Execution, Base: wire.StateRef(a.Base), PlanAttemptID: planned,
		Options: wire.RunOptions{
			PlanOnly: o.PlanOnly, AutoApply: o.AutoApply, Destroy: o.Destroy, RefreshOnly: o.RefreshOnly, SkipRefresh: o.SkipRefresh,
			TargetAddrs: o.TargetAddrs, ReplaceAddrs: o.ReplaceAddrs,
		},
		Variables:       values,
		LeaseTTLSeconds: names.LeaseTTL, GraceSeconds: int(d.timing.Grace / time.Second), Cancel: asked,
		PlanLimit: planLimit, Traceparent: r.Traceparent,
	}, nil
}

// Inputs describes the work of an attempt again.
func (d *DB) Inputs(ctx context.Context, a Attempt) (wire.Inputs, error) {
	r, err := d.Run(ctx, a.RunID)
	if err != nil {
		return wire.Inputs{}, err
	}
	values, err := d.givenValues(ctx, a.ID)
	if err != nil {
		return wire.Inputs{}, err
	}
	return d.inputs(ctx, d.q(ctx), r, a.ID, values)
}

// Attempt is the holder of an attempt token.
type Attempt struct {
	ID      string
	RunID   string
	Expired bool // only its state and result are still taken
	Run     run.Run
}

// AttemptByToken authenticates a runner. Errors: unauthorized.
func (d *DB) AttemptByToken(ctx context.Context, token string) (Attempt, error) {
	var row struct {
		ID      string    `db:"attempt_id"`
		RunID   string    `db:"run_id"`
		Expires time.Time `db:"expires_at"`
		Doc     []byte    `db:"doc"`
	}
	err := d.q(ctx).GetContext(ctx, &row, `
		SELECT t.attempt_id, t.run_id, t.expires_at, r.doc FROM attempt_tokens t JOIN runs r ON r.id = t.run_id WHERE t.hash = $1`,
		secrets.HashToken(token))
	if noRows(err) {
		return Attempt{}, fail(messages.CodeUnauthorized, "the attempt token is unknown")
	}
	if err != nil {
		return Attempt{}, err
	}
	r, err := decodeRun(row.Doc)
	return Attempt{ID: row.ID, RunID: row.RunID, Expired: row.Expires.Before(now()), Run: r}, err
}

// RenewToken gives a token its full life again while its attempt is open, and returns when it expires.
func (d *DB) RenewToken(ctx context.Context, a Attempt, token string) (time.Time, error) {
	if _, at := a.Run.Attempt(a.ID); at == nil || !at.Open() {
		return time.Time{}, fail(messages.CodeAttemptClosed, "attempt %s is closed", a.ID)
	}
	until := now().Add(d.timing.TokenLife)
	_, err := d.q(ctx).ExecContext(ctx, `UPDATE attempt_tokens SET expires_at = $2 WHERE hash = $1`, secrets.HashToken(token), until)
	return until, err
}

// Start is the fence: terraform is executed only after it answered without error. See run.Start for the refusals.
func (d *DB) Start(ctx context.Context, a Attempt, req wire.StartRequest) (wire.StartAnswer, error) {
	var out wire.StartAnswer
	var refusal error
	err := d.tx(ctx, func(tx *sqlx.Tx) error {
		l, err := a.lock(ctx, tx)
		if err != nil {
			return err
		}
		current, err := currentState(ctx, tx, l.run.WorkspaceID)
		if err != nil {
			return err
		}
		var after run.Run
		after, refusal, err = l.apply(ctx, run.Start{
			AttemptID: a.ID, Nonce: req.Nonce, Base: run.StateRef(req.Base), Current: current,
		}, Cause{Actor: "runner"})
		if err != nil || refusal != nil {
			return err
		}
		t, at := after.Attempt(a.ID)
		out.StartedAt = *at.StartedAt
		return beginLog(ctx, tx, t.ID, a.RunID, a.ID)
	})
	return out, firstError(err, refusal)
}

// requestHash identifies a request for its Idempotency-Key.
func requestHash(parts ...[]byte) []byte {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:", len(p))
		_, _ = h.Write(p)
	}
	return h.Sum(nil)
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
