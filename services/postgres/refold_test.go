package postgres_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// dump is the whole table as text, in the order of its ids.
func dump(t *testing.T, db *sqlx.DB, table string) []string {
	t.Helper()
	var rows []string
	if err := db.Select(&rows, `SELECT to_jsonb(x)::text FROM `+table+` x ORDER BY id`); err != nil {
		t.Fatal(err)
	}
	return rows
}

// copyTable carries rows over as JSON, without the columns named.
func copyTable(t *testing.T, from, to *sqlx.DB, table string, without ...string) {
	t.Helper()
	var rows []string
	if err := from.Select(&rows, `SELECT (to_jsonb(x) - $1::text[])::text FROM `+table+` x`, pq.Array(without)); err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		var columns string
		if err := to.Get(&columns, `SELECT string_agg(quote_ident(key), ', ') FROM jsonb_object_keys($1::jsonb) key`, row); err != nil {
			t.Fatal(err)
		}
		if _, err := to.Exec(fmt.Sprintf(`INSERT INTO %s (%s) SELECT %s FROM jsonb_populate_record(NULL::%s, $1)`, table, columns, columns, table), row); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRefoldGivesTheSameRows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	ws := w.workspace("net")
	_, a := w.applying(w.newRun(ws, run.Options{TargetAddrs: []string{"a.b"}}).ID)
	_, err := w.PutState(ctx, a, postgres.InMemory(stateBody(1, "lin", "")))
	w.ok(err)
	w.ok(w.Project(ctx, []messages.Event{progressEvent(a, 1, messages.StageApply)}))
	w.result(a, applyResult())
	retried := w.newRun(ws, run.Options{})
	_, a = w.started(retried.ID)
	w.ok(w.Project(ctx, []messages.Event{exitedEvent(a)}))
	w.claimed(retried.ID)
	w.newRun(ws, run.Options{})
	w.started(w.newRun(ws, run.Options{PlanOnly: true}).ID)
	unknown := w.newRun(w.workspace("dns"), run.Options{AutoApply: true})
	_, a = w.started(unknown.ID)
	w.result(a, planResult())
	_, a = w.started(unknown.ID)
	w.ok(w.judge(unknown.ID, run.LoseContact{AttemptID: a.ID}))
	w.cancel(unknown.ID)
	w.ok(w.judge(unknown.ID, run.GiveUp{AttemptID: a.ID}))

	fresh := newWorld(t)
	fresh.raw.MustExec(`DELETE FROM organizations`)
	for table, without := range map[string]string{"organizations": "", "workspaces": "state_id", "run_events": "xid"} {
		if table == "workspaces" {
			continue // after the organizations
		}
		copyTable(t, w.raw, fresh.raw, table, without)
	}
	copyTable(t, w.raw, fresh.raw, "workspaces", "state_id", "name_parts")
	for range 2 { // again changes nothing
		w.ok(fresh.Refold(ctx))
		for _, table := range []string{"runs", "tasks", "attempts"} {
			if diff := cmp.Diff(dump(t, w.raw, table), dump(t, fresh.raw, table)); diff != "" {
				t.Errorf("%s (-original +refolded):\n%s", table, diff)
			}
		}
	}
	if n := fresh.count(`SELECT count(*) FROM runs`); n != 5 {
		t.Errorf("runs: got %d, want 5", n)
	}

	// Life goes on in the new database.
	fresh.raw.MustExec(`DELETE FROM configuration_versions`)
	cv, err := fresh.CreateConfigurationVersion(ctx, postgres.NewConfigurationVersion{WorkspaceID: ws.ID})
	w.ok(err)
	_, err = fresh.UploadConfiguration(ctx, cv.ID, postgres.InMemory([]byte("x")))
	w.ok(err)
	if r := fresh.newRun(ws, run.Options{}); r.Position <= unknown.Position {
		t.Errorf("position of the next run: got %d, want one after %d", r.Position, unknown.Position)
	}
}
