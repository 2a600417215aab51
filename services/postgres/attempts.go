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
	err := d.tx(ctx, func(tx *txn) error {
		l, of, err := lockTask(ctx, tx, req.TaskID)
		if noRows(err) || (err == nil && of != pool) {
			return fail(messages.CodeTaskGone, "task %s does not exist in pool %s", req.TaskID, pool)
		}
		if err != nil {
			return err
		}
		out, err = d.claim(ctx, l, req)
		return err
	})
	return out, err
}

// lockTask takes the locks of the run that the task is of, and returns the task's pool. Errors: sql.ErrNoRows.
func lockTask(ctx context.Context, tx *txn, taskID string) (l *locked, pool string, err error) {
	var row struct {
		gate
		Pool string `db:"pool_id"`
		Doc  []byte `db:"doc"`
	}
	l = &locked{tx: tx}
	err = tx.GetContext(ctx, &row, `
		SELECT w.id, w.locked, w.gate_run_id, w.epoch, t.pool_id, r.doc
		FROM tasks t JOIN runs r ON r.id = t.run_id JOIN workspaces w ON w.id = r.workspace_id
		WHERE t.id = $1 AND r.exclusive FOR NO KEY UPDATE OF w, r`, taskID) // in the order of OF
	if err == nil {
		l.ws = &row.gate
	} else if noRows(err) { // a plan-only run's
		err = tx.GetContext(ctx, &row, `
			SELECT t.pool_id, r.doc FROM tasks t JOIN runs r ON r.id = t.run_id WHERE t.id = $1 AND NOT r.exclusive FOR NO KEY UPDATE OF r`, taskID)
	}
	if err != nil {
		return nil, "", err
	}
	l.run, err = decodeRun(row.Doc)
	return l, row.Pool, err
}

func (d *DB) claim(ctx context.Context, l *locked, req wire.ClaimRequest) (wire.Claim, error) {
	in := run.Claim{TaskID: req.TaskID, Worker: req.Worker, Nonce: req.Nonce, Deadline: now().Add(d.timing.StartWithin)}
	exclusive := l.ws != nil && !l.run.Borrows()
	if t := l.run.TaskByID(req.TaskID); t != nil && t.State == run.TaskQueued && l.ws != nil && !l.mayPass() {
		return wire.Claim{}, fail(messages.CodeTaskNotReady, "run %s does not hold the gate of its workspace", l.run.ID)
	}
	if exclusive {
		in.Epoch = l.ws.Epoch
	} else if last := l.run.Plan.Last(); last != nil {
		in.Epoch = last.Epoch // what writes no state has epochs that only order its own attempts
	}
	in.Epoch++
	at, err := d.surroundings(ctx, l.tx, l.run)
	if err != nil {
		return wire.Claim{}, err
	}
	in.Base = at.state()
	before, cause := l.run, Cause{Actor: "worker " + req.Worker}
	events, refusal := l.decide(in, cause)
	var token string
	if refusal == nil {
		if len(events) > 0 && exclusive {
			l.ws.setEpoch(in.Epoch)
		}
		token = d.issue(l, l.run.TaskByID(req.TaskID).Last())
	}
	if err := firstError(l.keep(ctx, before, events, cause), refusal); err != nil {
		return wire.Claim{}, err
	}
	return d.grant(ctx, l, l.run.TaskByID(req.TaskID).Last(), token, at)
}

// mayPass reports whether the run has its workspace's gate, or looks into the lost run that has it.
func (l *locked) mayPass() bool {
	holder := l.run.ID
	if l.run.Borrows() {
		holder = l.run.Recovers
	}
	return l.ws.Run != nil && *l.ws.Run == holder
}

// issue makes a token for the attempt, whose hash is stored with what is kept next.
func (d *DB) issue(l *locked, a *run.Attempt) string {
	token := secrets.NewToken(prefixAttempt)
	l.with.token = &newToken{hash: secrets.HashToken(token), attempt: a.ID, expires: now().Add(d.timing.TokenLife)}
	return token
}

// grant describes the attempt's work to who holds its token.
func (d *DB) grant(ctx context.Context, l *locked, a *run.Attempt, token string, at surroundings) (wire.Claim, error) {
	values, err := d.giveValues(ctx, l.tx, l.run, a.ID)
	return wire.Claim{
		AttemptID: a.ID, Number: a.Number, Epoch: a.Epoch, Token: token, StartDeadline: a.StartDeadline,
		Inputs: d.inputs(l.run, a.ID, values, at),
	}, err
}

// surroundings are what a run's attempts have to know of other rows.
type surroundings struct {
	Workspace    string `db:"workspace"` // name
	Organization string `db:"organization"`
	LeaseTTL     int    `db:"lease_ttl"` // seconds
	Serial       int64  `db:"serial"`    // of the workspace's state, with its lineage; zero without one
	Lineage      string `db:"lineage"`
}

func (s surroundings) state() run.StateRef { return run.StateRef{Serial: s.Serial, Lineage: s.Lineage} }

func (d *DB) surroundings(ctx context.Context, q sqlx.QueryerContext, r run.Run) (out surroundings, err error) {
	return out, sqlx.GetContext(ctx, q, &out, `
		SELECT w.name AS workspace, o.name AS organization, COALESCE((SELECT NULLIF(lease_ttl_seconds, 0) FROM pools WHERE id = $2), $3) AS lease_ttl,
		       COALESCE(s.serial, 0) AS serial, COALESCE(s.lineage, '') AS lineage
		FROM workspaces w JOIN organizations o ON o.id = w.organization_id LEFT JOIN state_versions s ON s.id = w.state_id
		WHERE w.id = $1`, r.WorkspaceID, r.Pool, d.timing.LeaseTTL/time.Second)
}

func (d *DB) inputs(r run.Run, attemptID string, values []wire.Variable, at surroundings) wire.Inputs {
	t, a := r.Attempt(attemptID)
	o := r.Options
	asked, _ := r.StopAsked(a.ID)
	var planned string
	if last := r.Plan.Last(); t.Phase == messages.PhaseApply && last != nil {
		planned = last.ID
	}
	return wire.Inputs{
		AttemptID: a.ID, TaskID: t.ID, RunID: r.ID, WorkspaceID: r.WorkspaceID, WorkspaceName: at.Workspace,
		OrganizationID: r.OrganizationID, OrganizationName: at.Organization, Phase: t.Phase, Exclusive: r.ExclusiveTask(t.Phase),
		Pool: r.Pool, Epoch: a.Epoch, Execution: r.Execution, Base: wire.StateRef(a.Base), PlanAttemptID: planned,
		Options: wire.RunOptions{
			PlanOnly: o.PlanOnly, AutoApply: o.AutoApply, Destroy: o.Destroy, RefreshOnly: o.RefreshOnly, SkipRefresh: o.SkipRefresh,
			TargetAddrs: o.TargetAddrs, ReplaceAddrs: o.ReplaceAddrs,
		},
		Variables:       values,
		LeaseTTLSeconds: at.LeaseTTL, GraceSeconds: int(d.timing.Grace / time.Second), Cancel: asked,
		PlanLimit: planLimit, Traceparent: r.Traceparent,
	}
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
	at, err := d.surroundings(ctx, d.q(ctx), r)
	return d.inputs(r, a.ID, values, at), err
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
	err := d.tx(ctx, func(tx *txn) error {
		l, err := a.lock(ctx, tx)
		if err != nil {
			return err
		}
		current, err := l.current(ctx)
		if err != nil {
			return err
		}
		before, cause := l.run, Cause{Actor: "runner"}
		events, refused := l.decide(run.Start{AttemptID: a.ID, Nonce: req.Nonce, Base: run.StateRef(req.Base), Current: current}, cause)
		if refusal = refused; refusal == nil {
			t, at := l.run.Attempt(a.ID)
			out.StartedAt = *at.StartedAt
			l.with.log = &newLog{task: t.ID, attempt: a.ID}
		}
		return l.keep(ctx, before, events, cause)
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
