package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"gantry.example/internal/pgtest"
	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// restored is what became of the world in another database.
func (w *world) restored() (*world, postgres.Loaded) {
	w.t.Helper()
	var dump bytes.Buffer
	w.ok(w.Dump(w.t.Context(), &dump))
	n := &world{t: w.t, dsn: pgtest.New(w.t), sealer: w.sealer, org: w.org}
	loaded, err := postgres.Load(w.t.Context(), postgres.Config{DSN: n.dsn, Sealer: n.sealer}, bytes.NewReader(dump.Bytes()))
	w.ok(err)
	n.DB = open(w.t, n.dsn, n.sealer, postgres.Timing{})
	n.raw, err = sqlx.Connect("postgres", n.dsn)
	w.ok(err)
	w.t.Cleanup(func() { n.raw.Close() })
	return n, loaded
}

const aState = `{"version":4,"serial":1,"lineage":"l","terraform_version":"1.0.0"}`

func TestALoadedDatabaseHasEverything(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	ws := w.workspace("net")
	r, err := w.CreateRun(ctx, postgres.NewRun{WorkspaceID: ws.ID, CreatedBy: "ada", Variables: []wire.RunVariable{{Key: "region", Value: `"eu"`}}})
	w.ok(err)
	_, a := w.applying(r.ID)
	_, err = w.PutState(ctx, a, postgres.InMemory([]byte(aState)))
	w.ok(err)
	w.says(a, 0, "log with \\ and \t and é\n", nil)
	w.ends(a, int64(len("log with \\ and \t and é\n")), nil)
	w.result(a, applyResult())
	_, secret, err := w.CreateToken(ctx, postgres.NewToken{Description: "ci"})
	w.ok(err)

	n, loaded := w.restored()
	if loaded.Workspaces != 1 || loaded.Runs != 1 || len(loaded.Ended) != 0 {
		t.Errorf("got %+v, want 1 workspace, 1 run, none ended", loaded)
	}
	n.status(r.ID, run.Applied)
	n.logIs(w.get(r.ID).Apply.ID, "log with \\ and \t and é\n", true)
	if _, err := n.Token(ctx, secret); err != nil {
		t.Errorf("the token of a person: %v", err)
	}
	sv, err := n.CurrentStateVersion(ctx, ws.ID)
	n.ok(err)
	if body, err := n.StateBody(ctx, sv.ID); err != nil || string(body) != aState {
		t.Errorf("state: got %q and error %v, want %q", body, err, aState)
	}
	for _, table := range []string{"run_events", "configuration_versions", "blobs", "run_variables", "results", "attempts", "pools"} {
		if got, want := n.count(`SELECT count(*) FROM `+table), w.count(`SELECT count(*) FROM `+table); got != want {
			t.Errorf("%s: got %d rows, want %d", table, got, want)
		}
	}
	n.ok(n.Refold(ctx))
	next := n.newRun(ws, run.Options{})
	if next.Position <= r.Position {
		t.Errorf("position of the next run: got %d, want more than %d", next.Position, r.Position)
	}
	_, b := n.applying(next.ID)
	_, err = n.PutState(ctx, b, postgres.InMemory([]byte(strings.Replace(aState, `"serial":1`, `"serial":2`, 1))))
	n.ok(err)
}

// TestALoadedDatabaseHasLargeContent, which is in parts.
func TestALoadedDatabaseHasLargeContent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	ws := w.workspace("net")
	state := stateBody(1, "lin", strings.Repeat("large", blobPart/4))
	_, err := w.PushState(ctx, postgres.StatePush{WorkspaceID: ws.ID, Body: state, By: "ada"})
	w.ok(err)
	cv, err := w.CreateConfigurationVersion(ctx, postgres.NewConfigurationVersion{WorkspaceID: ws.ID})
	w.ok(err)
	archive := strings.Repeat("archive", blobPart/3)
	_, err = w.UploadConfiguration(ctx, cv.ID, postgres.InMemory([]byte(archive)))
	w.ok(err)
	n, _ := w.restored()
	if got := n.current(ws); got != string(state) {
		t.Errorf("state: got %d bytes, want the %d that were pushed", len(got), len(state))
	}
	if got, err := n.blob(cv.ID, postgres.BlobConfiguration); err != nil || got != archive {
		t.Errorf("configuration: got %d bytes, %v, want the %d that were uploaded", len(got), err, len(archive))
	}
}

func TestALoadEndsThePast(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	applying := w.newRun(w.workspace("applying"), run.Options{})
	ac, aa := w.applying(applying.ID)
	ws := w.workspace("planned")
	planned := w.newRun(ws, run.Options{})
	w.planned(planned.ID)
	pending := w.newRun(ws, run.Options{AutoApply: true})
	approved := w.newRun(w.workspace("approved"), run.Options{})
	w.planned(approved.ID)
	_, err := w.Transition(ctx, approved.ID, run.Confirm{}, postgres.Cause{Actor: "ada"})
	w.ok(err)
	beside := w.newRun(ws, run.Options{PlanOnly: true})
	pc, _ := w.started(beside.ID)
	_, cursor, err := w.Snapshot(ctx, w.org.ID, 10)
	w.ok(err)
	w.ok(w.EnsureToken(ctx, "gantry-pool-old", postgres.TokenPool, messages.LocalPool, "local worker"))

	n, loaded := w.restored()
	if len(loaded.Ended) != 5 {
		t.Errorf("ended: got %d runs, want 5", len(loaded.Ended))
	}
	for id, want := range map[string]struct {
		status  run.Status
		code    messages.Code
		unknown bool
	}{
		applying.ID: {run.Errored, messages.CodeRunOutcomeUnknown, true},
		approved.ID: {run.Errored, messages.CodeRunOutcomeUnknown, true},
		planned.ID:  {run.Errored, messages.CodeRunRestored, false},
		pending.ID:  {run.Errored, messages.CodeRunRestored, false},
		beside.ID:   {run.PlanQueued, "", false},
	} {
		r := n.get(id)
		if r.Status != want.status || r.Code != want.code || r.OutcomeUnknown != want.unknown {
			t.Errorf("was %s: got %s, %q, unknown %t; want %+v", w.get(id).Status, r.Status, r.Code, r.OutcomeUnknown, want)
		}
	}
	for _, token := range []string{ac.Token, pc.Token} {
		_, err := n.AttemptByToken(ctx, token)
		n.refused(err, messages.CodeUnauthorized)
	}
	_, err = n.Token(ctx, "gantry-pool-old")
	n.refused(err, messages.CodeUnauthorized)
	// Even a runner whose token were good could not write: its epoch is over.
	_, err = n.PutState(ctx, aa, postgres.InMemory([]byte(aState)))
	n.refused(err, messages.CodeStateStaleEpoch)
	_, _, err = n.Follow(ctx, n.org.ID, cursor)
	if !errors.Is(err, postgres.ErrOtherEra) {
		t.Errorf("an old position: got error %v, want ErrOtherEra", err)
	}
	_, cursor, err = n.Snapshot(ctx, n.org.ID, 10)
	n.ok(err)
	cursor, err = postgres.ParseCursor(cursor.String())
	n.ok(err)
	n.started(beside.ID)
	if events, _, err := n.Follow(ctx, n.org.ID, cursor); err != nil || len(events) != 2 {
		t.Errorf("got %d events after the restore and error %v, want 2", len(events), err)
	}
	if _, err := n.UnlockWorkspace(ctx, applying.WorkspaceID, "ada", true); err != nil {
		t.Error(err)
	}
}

func TestLoadRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.workspace("net")
	var dump bytes.Buffer
	w.ok(w.Dump(t.Context(), &dump))
	load := func(dsn string, b []byte) error {
		_, err := postgres.Load(context.Background(), postgres.Config{DSN: dsn, Sealer: w.sealer}, bytes.NewReader(b))
		return err
	}
	if err := load(w.dsn, dump.Bytes()); !errors.Is(err, postgres.ErrNotEmpty) {
		t.Errorf("a database with tables: got error %v, want ErrNotEmpty", err)
	}
	for _, n := range []int{0, 10, dump.Len() / 2, dump.Len() - 1} {
		if err := load(pgtest.New(t), dump.Bytes()[:n]); err == nil {
			t.Errorf("a dump cut off after %d bytes: got no error, want one", n)
		}
	}
	newer := regexp.MustCompile(`"schema":..`).ReplaceAll(dump.Bytes(), []byte(`"schema":99`))
	if err := load(pgtest.New(t), newer); err == nil || !strings.Contains(err.Error(), "newer") {
		t.Errorf("a newer schema: got error %v, want one that says so", err)
	}
	_, err := w.raw.Exec(`INSERT INTO meta (key, value) VALUES ('loading', 'since today')`)
	w.ok(err)
	if _, err := postgres.Open(t.Context(), postgres.Config{DSN: w.dsn}); err == nil || !strings.Contains(err.Error(), "did not end (since today)") {
		t.Errorf("a database whose load did not end: got error %v, want one that says so", err)
	}
}
