package postgres_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"gantry.example/internal/pgtest"
	"gantry.example/internal/secrets"
	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// world is a database with one organization, and the steps of tests through it. raw is for looking past the API.
type world struct {
	*postgres.DB
	t      *testing.T
	dsn    string
	raw    *sqlx.DB
	sealer postgres.Sealer
	org    postgres.Organization
}

func newKeyring(t *testing.T) *secrets.Keyring {
	t.Helper()
	keyring, err := secrets.CreateKeyring(filepath.Join(t.TempDir(), "key.json"))
	if err != nil {
		t.Fatal(err)
	}
	return keyring
}

// migrated is a database with the schema and nothing in it.
func migrated(t *testing.T) string {
	t.Helper()
	return pgtest.NewFrom(t, "services/postgres migrations", func(dsn string) error {
		db, err := postgres.Open(context.Background(), postgres.Config{DSN: dsn})
		if err != nil {
			return err
		}
		return db.Close()
	})
}

func open(t *testing.T, dsn string, sealer postgres.Sealer, timing postgres.Timing) *postgres.DB {
	t.Helper()
	db, err := postgres.Open(t.Context(), postgres.Config{DSN: dsn, Sealer: sealer, Timing: timing,
		Modes: []messages.Mode{messages.ModeLocal, messages.ModeAgent}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func newWorld(t *testing.T) *world { return newWorldTimed(t, postgres.Timing{}) }

func newWorldTimed(t *testing.T, timing postgres.Timing) *world {
	t.Helper()
	w := &world{t: t, dsn: migrated(t), sealer: newKeyring(t)}
	w.DB = open(t, w.dsn, w.sealer, timing)
	raw, err := sqlx.Connect("postgres", w.dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	w.raw = raw
	w.ok(w.EnsureBasics(t.Context()))
	w.org, err = w.CreateOrganization(t.Context(), "acme")
	w.ok(err)
	return w
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// refused checks the code of an error.
func (w *world) refused(err error, want messages.Code) {
	w.t.Helper()
	if got := codeOf(err); got != want {
		w.t.Errorf("got error %v with code %q, want code %q", err, got, want)
	}
}

func codeOf(err error) messages.Code {
	var e *postgres.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// workspace makes a workspace with an uploaded configuration.
func (w *world) workspace(name string) postgres.Workspace {
	w.t.Helper()
	ctx := w.t.Context()
	ws, err := w.CreateWorkspace(ctx, postgres.NewWorkspace{Organization: w.org.ID, Name: name})
	w.ok(err)
	cv, err := w.CreateConfigurationVersion(ctx, postgres.NewConfigurationVersion{WorkspaceID: ws.ID})
	w.ok(err)
	_, err = w.UploadConfiguration(ctx, cv.ID, postgres.InMemory([]byte("archive of "+name)))
	w.ok(err)
	return ws
}

func (w *world) newRun(ws postgres.Workspace, o run.Options) run.Run {
	w.t.Helper()
	r, err := w.CreateRun(w.t.Context(), postgres.NewRun{WorkspaceID: ws.ID, Options: o, CreatedBy: "ada"})
	w.ok(err)
	return r
}

func (w *world) get(id string) run.Run {
	w.t.Helper()
	r, err := w.Run(w.t.Context(), id)
	w.ok(err)
	return r
}

func (w *world) status(id string, want run.Status) {
	w.t.Helper()
	if r := w.get(id); r.Status != want {
		w.t.Errorf("run %s (position %d): got %s (%s), want %s", id, r.Position, r.Status, r.Failure, want)
	}
}

func claimRequest(taskID, nonce string) wire.ClaimRequest {
	return wire.ClaimRequest{V: messages.Version, TaskID: taskID, Worker: "w1", Nonce: nonce}
}

// newest is the run's newest task.
func newest(r run.Run) *run.Task {
	tasks := r.Tasks()
	return tasks[len(tasks)-1]
}

// claimed claims the run's newest task.
func (w *world) claimed(id string) (wire.Claim, postgres.Attempt) {
	w.t.Helper()
	c, err := w.Claim(w.t.Context(), messages.LocalPool, claimRequest(newest(w.get(id)).ID, messages.NewID("nonce-")))
	w.ok(err)
	a, err := w.AttemptByToken(w.t.Context(), c.Token)
	w.ok(err)
	return c, a
}

func startOf(c wire.Claim, nonce string) wire.StartRequest {
	return wire.StartRequest{V: messages.Version, Nonce: nonce, Base: c.Inputs.Base}
}

// started claims and starts the run's newest task.
func (w *world) started(id string) (wire.Claim, postgres.Attempt) {
	w.t.Helper()
	c, a := w.claimed(id)
	_, err := w.Start(w.t.Context(), a, startOf(c, "runner-"+c.AttemptID))
	w.ok(err)
	return c, a
}

func finishedEvent(a postgres.Attempt) messages.Event {
	return messages.Event{V: 1, Type: messages.EventFinished, AttemptID: a.ID, RunID: a.RunID, Source: "server", Seq: 1}
}

func exitedEvent(a postgres.Attempt) messages.Event {
	return messages.Event{V: 1, Type: messages.EventExited, AttemptID: a.ID, RunID: a.RunID, Source: "worker", Seq: 1, ExitCode: -1}
}

func progressEvent(a postgres.Attempt, seq int, stage messages.Stage) messages.Event {
	return messages.Event{V: 1, Type: messages.EventProgress, AttemptID: a.ID, RunID: a.RunID, Source: "runner", Seq: seq, Stage: stage}
}

// put hands in a result and drops what the answer says beside the error.
func (w *world) put(a postgres.Attempt, res wire.Result) error {
	_, err := w.PutResult(w.t.Context(), a, res)
	return err
}

// result hands in the result of an attempt.
func (w *world) result(a postgres.Attempt, res wire.Result) {
	w.t.Helper()
	w.ok(w.put(a, res))
}

// judge gives a verdict as the reconciler does.
func (w *world) judge(runID string, verdict run.Input) error {
	_, err := w.Transition(w.t.Context(), runID, verdict, postgres.Cause{Actor: "reconciler"})
	return err
}

func planResult() wire.Result {
	return wire.Result{V: 1, Outcome: wire.OutcomeSucceeded, HasChanges: true, Changes: &wire.Changes{Add: 1}}
}

func applyResult() wire.Result { return wire.Result{V: 1, Outcome: wire.OutcomeSucceeded} }

// planned brings a run to planned.
func (w *world) planned(id string) {
	w.t.Helper()
	_, a := w.started(id)
	w.result(a, planResult())
	w.status(id, run.Planned)
}

// applying brings a queued run to applying.
func (w *world) applying(id string) (wire.Claim, postgres.Attempt) {
	w.t.Helper()
	w.planned(id)
	_, err := w.Transition(w.t.Context(), id, run.Confirm{}, postgres.Cause{Actor: "ada"})
	w.ok(err)
	return w.started(id)
}

func (w *world) cancel(id string) {
	w.t.Helper()
	_, err := w.Transition(w.t.Context(), id, run.Cancel{}, postgres.Cause{Actor: "ada"})
	w.ok(err)
}

// drain takes everything from the outbox and says what it was, in order: "task plan run-…".
func (w *world) drain() []string {
	w.t.Helper()
	var out []string
	_, err := w.Relay(w.t.Context(), 1000, nil, func(_ context.Context, rows []postgres.OutboxRow) (int, error) {
		for _, r := range rows {
			kind := r.Kind
			if kind == postgres.OutboxTask || kind == postgres.OutboxDelete {
				if strings.Contains(string(r.Payload), `"phase": "apply"`) {
					kind += " apply"
				} else {
					kind += " plan"
				}
			}
			out = append(out, kind+" "+r.RunID)
		}
		return len(rows), nil
	})
	w.ok(err)
	return out
}

func (w *world) count(query string, args ...any) int {
	w.t.Helper()
	var n int
	w.ok(w.raw.GetContext(w.t.Context(), &n, query, args...))
	return n
}

// blocked returns when somebody waits for a lock; done would tell that they do not.
func (w *world) blocked(done <-chan error) {
	w.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for w.count(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) == 0 {
		select {
		case err := <-done:
			w.t.Fatalf("nobody waited for the lock: %v", err)
		case <-tick.C:
		}
	}
}

func (w *world) epoch(ws postgres.Workspace) int {
	w.t.Helper()
	return w.count(`SELECT epoch FROM workspaces WHERE id = $1`, ws.ID)
}

func (w *world) within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(w.t.Context(), d)
	w.t.Cleanup(cancel)
	return ctx
}
