package postgres_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

func wireFailure(text string) wire.Result {
	return wire.Result{V: 1, Outcome: wire.OutcomeFailed, Code: messages.CodeRunTerraformFailed, Message: text}
}

func TestClaimIsIdempotentByNonce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ws := w.workspace("net")
	r, err := w.CreateRun(t.Context(), postgres.NewRun{WorkspaceID: ws.ID, Variables: []wire.RunVariable{{Key: "a", Value: `"secret"`}}})
	w.ok(err)
	first, err := w.Claim(t.Context(), messages.LocalPool, claimRequest(r.Plan.ID, "n1"))
	w.ok(err)
	again, err := w.Claim(t.Context(), messages.LocalPool, claimRequest(r.Plan.ID, "n1"))
	w.ok(err)
	if first.Token == again.Token {
		t.Error("the repeated claim got the same token, want another")
	}
	a, err := w.AttemptByToken(t.Context(), first.Token)
	w.ok(err)
	if a.ID != first.AttemptID || a.RunID != r.ID || a.Expired {
		t.Errorf("the first token belongs to %s of %s, expired %t; want %s of %s", a.ID, a.RunID, a.Expired, first.AttemptID, r.ID)
	}
	first.Token = again.Token
	if diff := cmp.Diff(first, again); diff != "" {
		t.Errorf("the repeated claim differs (-first +again):\n%s", diff)
	}
	want := wire.Inputs{
		AttemptID: first.AttemptID, TaskID: r.Plan.ID, RunID: r.ID, WorkspaceID: ws.ID, WorkspaceName: "net",
		OrganizationID: w.org.ID, OrganizationName: "acme", Phase: messages.PhasePlan, Exclusive: true, Pool: messages.LocalPool, Epoch: 1,
		Execution: messages.Execution{Mode: messages.ModeLocal}, LeaseTTLSeconds: 15, GraceSeconds: 60, PlanLimit: 256 << 10,
		Variables: []wire.Variable{{Key: "a", Value: `"secret"`, Category: wire.CategoryTerraform, HCL: true}},
	}
	inputs, err := w.Inputs(t.Context(), a)
	w.ok(err)
	for name, got := range map[string]wire.Inputs{"claim": first.Inputs, "inputs": inputs} {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if got := w.epoch(ws); got != 1 {
		t.Errorf("epoch: got %d, want 1", got)
	}
	if n := w.count(`SELECT count(*) FROM runs WHERE doc::text LIKE '%secret%'`) + w.count(`SELECT count(*) FROM run_variables WHERE position('secret'::bytea IN sealed) > 0`); n != 0 {
		t.Error("the value of a run variable is readable in the database")
	}
}

func TestClaimRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ws := w.workspace("net")
	r := w.newRun(ws, run.Options{})
	claim := func(pool, task, nonce string) error {
		_, err := w.Claim(t.Context(), pool, claimRequest(task, nonce))
		return err
	}
	w.refused(claim(messages.LocalPool, "task-none", "n"), messages.CodeTaskGone)
	w.refused(claim("apool-other", r.Plan.ID, "n"), messages.CodeTaskGone)
	w.raw.MustExec(`UPDATE workspaces SET gate_run_id = 'run-other' WHERE id = $1`, ws.ID)
	w.refused(claim(messages.LocalPool, r.Plan.ID, "n"), messages.CodeTaskNotReady)
	w.raw.MustExec(`UPDATE workspaces SET gate_run_id = $2 WHERE id = $1`, ws.ID, r.ID)
	w.ok(claim(messages.LocalPool, r.Plan.ID, "n"))
	w.refused(claim(messages.LocalPool, r.Plan.ID, "m"), messages.CodeTaskTaken)
	w.cancel(r.ID)
	w.refused(claim(messages.LocalPool, r.Plan.ID, "n"), messages.CodeTaskGone)
	if got := w.epoch(ws); got != 1 {
		t.Errorf("epoch after one granted claim and five refused: got %d, want 1", got)
	}
}

func TestTwentyClaimsOneWinner(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ws := w.workspace("net")
	r := w.newRun(ws, run.Options{})
	other := open(t, w.dsn, w.sealer, postgres.Timing{}) // a second server
	var wg sync.WaitGroup
	codes := make([]messages.Code, 20)
	for i := range codes {
		db := []*postgres.DB{w.DB, other}[i%2]
		wg.Go(func() {
			_, err := db.Claim(t.Context(), messages.LocalPool, claimRequest(r.Plan.ID, fmt.Sprint("n", i)))
			if codes[i] = codeOf(err); err != nil && codes[i] == "" {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got := map[messages.Code]int{}
	for _, c := range codes {
		got[c]++
	}
	if diff := cmp.Diff(map[messages.Code]int{"": 1, messages.CodeTaskTaken: 19}, got); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
	if n := w.count(`SELECT count(*) FROM attempts`); n != 1 || w.epoch(ws) != 1 {
		t.Errorf("got %d attempts and epoch %d, want 1 and 1", n, w.epoch(ws))
	}
}

func TestPlanOnlyRunsHaveTheirOwnEpochs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ws := w.workspace("net")
	r := w.newRun(ws, run.Options{PlanOnly: true})
	c, a := w.claimed(r.ID)
	w.ok(w.judge(r.ID, run.ExpireClaim{AttemptID: a.ID}))
	again, _ := w.claimed(r.ID)
	if got, want := []int64{c.Epoch, again.Epoch, int64(again.Number), int64(w.epoch(ws))}, []int64{1, 2, 2, 0}; !cmp.Equal(got, want) {
		t.Errorf("epochs of the attempts, number of the second, epoch of the workspace: got %v, want %v", got, want)
	}
}

func TestTheStartFence(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	ws := w.workspace("net")
	r := w.newRun(ws, run.Options{})
	c, a := w.claimed(r.ID)
	first, err := w.Start(ctx, a, startOf(c, "n1"))
	w.ok(err)
	again, err := w.Start(ctx, a, startOf(c, "n1"))
	w.ok(err)
	if diff := cmp.Diff(first, again); diff != "" || first.StartedAt.IsZero() {
		t.Errorf("the repeated start (-first +again):\n%s", diff)
	}
	_, err = w.Start(ctx, a, startOf(c, "n2"))
	w.refused(err, messages.CodeAttemptDuplicate)
	w.cancel(r.ID)
	_, err = w.Transition(ctx, r.ID, run.Cancel{Force: true}, postgres.Cause{Actor: "ada"})
	w.ok(err)
	_, err = w.Start(ctx, a, startOf(c, "n1"))
	w.refused(err, messages.CodeAttemptCanceled)

	// An attempt whose claim expired is closed for good.
	r = w.newRun(ws, run.Options{})
	c, a = w.claimed(r.ID)
	w.ok(w.judge(r.ID, run.ExpireClaim{AttemptID: a.ID}))
	_, err = w.Start(ctx, a, startOf(c, "n1"))
	w.refused(err, messages.CodeAttemptClosed)
	w.status(r.ID, run.PlanQueued)
}

func TestAStartFromAStaleState(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	ws := w.workspace("net")
	_, a := w.applying(w.newRun(ws, run.Options{}).ID)
	_, err := w.PutState(ctx, a, postgres.InMemory(stateBody(1, "lin", "one")))
	w.ok(err)
	w.result(a, applyResult())

	r := w.newRun(ws, run.Options{})
	c, a := w.claimed(r.ID)
	if want := (wire.StateRef{Serial: 1, Lineage: "lin"}); c.Inputs.Base != want {
		t.Errorf("base: got %+v, want %+v", c.Inputs.Base, want)
	}
	w.drain()
	_, err = w.Start(ctx, a, wire.StartRequest{V: 1, Nonce: "n", Base: wire.StateRef{Serial: 7, Lineage: "lin"}})
	w.refused(err, messages.CodeAttemptStaleBase)
	w.status(r.ID, run.PlanQueued)
	if diff := cmp.Diff([]string{"task plan " + r.ID}, w.drain()); diff != "" {
		t.Errorf("outbox after a stale start (-want +got):\n%s", diff)
	}

	// The same at the apply ends the run, and the next gets the gate.
	w.planned(r.ID)
	next := w.newRun(ws, run.Options{})
	_, err = w.Transition(ctx, r.ID, run.Confirm{}, postgres.Cause{Actor: "ada"})
	w.ok(err)
	c, a = w.claimed(r.ID)
	w.raw.MustExec(`UPDATE state_versions SET serial = 2`) // somebody restored another state
	_, err = w.Start(ctx, a, startOf(c, "n"))
	w.refused(err, messages.CodeAttemptStaleBase)
	if got := w.get(r.ID); got.Status != run.Errored || got.Code != messages.CodeRunPlanStale || got.OutcomeUnknown {
		t.Errorf("got %s with code %s, want errored with %s", got.Status, got.Code, messages.CodeRunPlanStale)
	}
	w.status(next.ID, run.PlanQueued)
}

// What a start is compared with is read with the lock, but must be what was there when the lock was had.
func TestAStartThatWaitedSeesTheStateOfThen(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]bool{"the first state": false, "another state": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			ctx := w.within(30 * time.Second)
			ws := w.workspace("net")
			if before {
				_, a := w.applying(w.newRun(ws, run.Options{}).ID)
				_, err := w.PutState(ctx, a, postgres.InMemory(stateBody(1, "lin", "one")))
				w.ok(err)
				w.result(a, applyResult())
			}
			r := w.newRun(ws, run.Options{})
			c, _ := w.claimed(r.ID)
			holder := w.raw.MustBegin()
			defer func() { _ = holder.Rollback() }()
			holder.MustExec(`SELECT FROM workspaces WHERE id = $1 FOR UPDATE`, ws.ID)
			known, err := w.AttemptByToken(ctx, c.Token)
			w.ok(err)
			done := make(chan error, 1)
			go func() {
				_, err := w.Start(ctx, known, startOf(c, "n"))
				done <- err
			}()
			w.blocked(done)
			holder.MustExec(`
				INSERT INTO state_versions (id, workspace_id, epoch, serial, lineage, terraform_version, md5, size, sealed, created_at)
				VALUES ('sv-of-then', $1, 0, 9, 'lin', '1.11.4', '', 0, '', now())`, ws.ID)
			holder.MustExec(`UPDATE workspaces SET state_id = 'sv-of-then' WHERE id = $1`, ws.ID)
			w.ok(holder.Commit())
			w.refused(<-done, messages.CodeAttemptStaleBase)
			w.status(r.ID, run.PlanQueued)
		})
	}
}

func TestAttemptTokensExpireAndAreRenewed(t *testing.T) {
	t.Parallel()
	timing := postgres.DefaultTiming()
	timing.TokenLife = -time.Second // born expired
	w := newWorldTimed(t, timing)
	ws := w.workspace("net")
	r := w.newRun(ws, run.Options{})
	c, a := w.claimed(r.ID)
	if !a.Expired {
		t.Error("got a token that is good, want one that is expired")
	}
	longer := open(t, w.dsn, w.sealer, postgres.DefaultTiming())
	until, err := longer.RenewToken(t.Context(), a, c.Token)
	w.ok(err)
	a, err = w.AttemptByToken(t.Context(), c.Token)
	w.ok(err)
	if a.Expired || time.Until(until) < 23*time.Hour {
		t.Errorf("after renewal: expired %t, good until %s; want a day", a.Expired, until)
	}
	w.cancel(r.ID)
	a, err = w.AttemptByToken(t.Context(), c.Token)
	w.ok(err)
	_, err = longer.RenewToken(t.Context(), a, c.Token)
	w.refused(err, messages.CodeAttemptClosed)
	_, err = w.AttemptByToken(t.Context(), "gantry-att-none")
	w.refused(err, messages.CodeUnauthorized)
	if n := w.count(`SELECT count(*) FROM attempt_tokens WHERE encode(hash, 'escape') LIKE '%gantry%'`); n != 0 || !strings.HasPrefix(c.Token, "gantry-att-") {
		t.Error("a token is stored as it is")
	}
}
