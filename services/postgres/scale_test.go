package postgres_test

import (
	"context"
	"maps"
	"strings"
	"testing"
	"time"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/postgres/pastruns"
	"gantry.example/services/run"
)

// past is what the tests of scale have behind them, and maxRead how many rows of any table one question may read of it.
const (
	pastWorkspaces = 3_000
	pastRuns       = 10_000
	maxRead        = 2_000
)

// more says which questions may read more than maxRead, of which table: as many as there are workspaces, not as there were runs.
func more() map[string]string {
	return map[string]string{
		"projects":                   "workspaces", // their number is told
		"workspaces that never ran":  "workspaces runs",
		"keeper: nothing is too old": "configuration_versions", // once an hour
	}
}

// TestReadsStayBounded asks everything that pages, lists and loops ask of a database with a long past, and counts what
// Postgres reads for it: nothing may grow with the number of runs there ever were. Each question is asked so often that
// Postgres has settled for a plan.
func TestReadsStayBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ws := w.workspace("network")
	template := w.newRun(ws, run.Options{AutoApply: true})
	_, plan := w.started(template.ID)
	w.result(plan, wire.Result{V: 1, Outcome: wire.OutcomeSucceeded})
	w.status(template.ID, run.PlannedAndFinished)
	began := time.Now()
	w.ok(pastruns.Fill(t.Context(), w.dsn, pastruns.Past{Run: template.ID, Workspaces: pastWorkspaces, Runs: pastRuns}))
	t.Log("filled in", time.Since(began))
	w.exec(`UPDATE logs SET removed = true WHERE printed_at < now() - interval '180 days'`) // by the keeper of then
	w.exec(`ANALYZE`)
	waits := w.newRun(ws, run.Options{})
	_, cursor, err := w.Snapshot(t.Context(), w.org.ID, 20)
	w.ok(err)

	questions := w.questions(ws, waits, w.get(template.ID), cursor)
	for name, ask := range questions {
		t.Run(name, func(t *testing.T) { w.readsFew(t, name, ask) })
	}
	// Many of them are open, and Postgres knows: it must not take that for a reason to read all there are.
	for _, statement := range []string{
		`UPDATE attempts SET state = 'started' WHERE id IN (SELECT id FROM attempts ORDER BY id LIMIT 250)`,
		`UPDATE logs SET complete = false WHERE task_id IN (SELECT task_id FROM attempts WHERE state = 'started')`,
		`ANALYZE`,
	} {
		w.exec(statement)
	}
	for _, name := range []string{"reconciler: open attempts", "reconciler: logs without an end"} {
		t.Run(name+", of many", func(t *testing.T) { w.readsFew(t, name, questions[name]) })
	}
}

// readsFew asks the question, and counts.
func (w *world) readsFew(t *testing.T, name string, ask func(context.Context, *postgres.DB) error) {
	before := w.reads(t)
	const times = 8
	w.asked(t, times, ask)
	for table, n := range w.reads(t) {
		each := (n - before[table]) / times
		if each > 0 {
			t.Logf("reads %d rows of %s", each, table)
		}
		if each > maxRead && !(each <= 4*pastWorkspaces && strings.Contains(more()[name], table)) {
			t.Errorf("reads %d rows of %s, want at most %d of %d runs", each, table, maxRead, pastRuns)
		}
	}
}

func (w *world) questions(ws postgres.Workspace, waits, past run.Run, cursor postgres.Cursor) map[string]func(context.Context, *postgres.DB) error {
	page := postgres.Page{}
	site := postgres.Token{Kind: postgres.TokenAdmin}
	open := []run.Status{run.Pending, run.PlanQueued, run.Planning}
	runs := func(f postgres.RunFilter) func(context.Context, *postgres.DB) error {
		return func(ctx context.Context, db *postgres.DB) error { _, _, err := db.Runs(ctx, f); return err }
	}
	all := w.workspaceQuestions()
	maps.Copy(all, map[string]func(context.Context, *postgres.DB) error{
		"runs of a workspace":              runs(postgres.RunFilter{WorkspaceID: ws.ID}),
		"runs of a workspace, page 3":      runs(postgres.RunFilter{WorkspaceID: ws.ID, Page: postgres.Page{Number: 3}}),
		"runs of a workspace by status":    runs(postgres.RunFilter{WorkspaceID: ws.ID, Statuses: []run.Status{run.Errored}}),
		"runs of an organization":          runs(postgres.RunFilter{OrganizationID: w.org.ID}),
		"runs of an organization, page 20": runs(postgres.RunFilter{OrganizationID: w.org.ID, Page: postgres.Page{Number: 20}}),
		"queue of an organization":         runs(postgres.RunFilter{OrganizationID: w.org.ID, Statuses: open}),
		"errored runs of an organization":  runs(postgres.RunFilter{OrganizationID: w.org.ID, Statuses: []run.Status{run.Errored}}),
		"applied runs of an organization":  runs(postgres.RunFilter{OrganizationID: w.org.ID, Statuses: []run.Status{run.Applied}}),
		"runs of an organization by what none of them is": runs(postgres.RunFilter{OrganizationID: w.org.ID, Narrow: postgres.RunNarrowing{
			Sources: []string{"nobody"}, Operations: []string{"save_plan"}, Workspaces: []string{"network"}, Pools: []string{"local"}, CreatedBy: "x", Text: "y"}}),
		"notifications: what happened": func(ctx context.Context, db *postgres.DB) error { return db.NoteNotifications(ctx) },
		"notifications: what to send": func(ctx context.Context, db *postgres.DB) error {
			_, _, err := db.NextNotification(ctx)
			return err
		},
		"capacity": func(ctx context.Context, db *postgres.DB) error {
			_, err := db.CountRuns(ctx, postgres.RunFilter{OrganizationID: w.org.ID, Statuses: open})
			return err
		},
		"a run":           func(ctx context.Context, db *postgres.DB) error { _, err := db.Run(ctx, past.ID); return err },
		"why a run waits": func(ctx context.Context, db *postgres.DB) error { _, err := db.Waiting(ctx, waits); return err },
		"logs of a run":   func(ctx context.Context, db *postgres.DB) error { _, err := db.LogChecks(ctx, past.ID); return err },
		"events of a run": func(ctx context.Context, db *postgres.DB) error {
			_, err := db.RunEvents(ctx, past.ID, 0, 100)
			return err
		},
		"condition of a run": func(ctx context.Context, db *postgres.DB) error { _, err := db.Condition(ctx, lost(past)); return err },
		"snapshot": func(ctx context.Context, db *postgres.DB) error {
			_, _, err := db.Snapshot(ctx, w.org.ID, 100)
			return err
		},
		"events of an organization": func(ctx context.Context, db *postgres.DB) error {
			_, _, err := db.Follow(ctx, w.org.ID, cursor)
			return err
		},
		"states of a workspace": func(ctx context.Context, db *postgres.DB) error {
			_, _, err := db.StateVersions(ctx, ws.ID, page)
			return err
		},
		"last state of an attempt": func(ctx context.Context, db *postgres.DB) error {
			if _, err := db.LastStateOf(ctx, lost(past).Apply.Last().ID); codeOf(err) != messages.CodeNotFound {
				return err
			}
			return nil
		},
		"pools": func(ctx context.Context, db *postgres.DB) error {
			_, _, err := db.Pools(ctx, w.org.ID, "", page)
			return err
		},
		"agents": func(ctx context.Context, db *postgres.DB) error {
			_, _, err := db.Agents(ctx, messages.LocalPool, page)
			return err
		},
		"reconciler: open attempts":       func(ctx context.Context, db *postgres.DB) error { _, err := db.OpenAttempts(ctx); return err },
		"reconciler: waiting runs":        func(ctx context.Context, db *postgres.DB) error { _, err := db.WaitingRuns(ctx, true); return err },
		"reconciler: runs with timeouts":  func(ctx context.Context, db *postgres.DB) error { _, err := db.WaitingRuns(ctx, false); return err },
		"reconciler: queued tasks":        func(ctx context.Context, db *postgres.DB) error { _, err := db.QueuedTasks(ctx, 0); return err },
		"reconciler: free gates":          func(ctx context.Context, db *postgres.DB) error { return db.FreeGates(ctx) },
		"reconciler: logs without an end": func(ctx context.Context, db *postgres.DB) error { return db.SealLogs(ctx, time.Minute) },
		"keeper: logs to pack": func(ctx context.Context, db *postgres.DB) error {
			_, err := db.ArchiveLogs(ctx, time.Minute, 200)
			return err
		},
		"keeper: sweep":              func(ctx context.Context, db *postgres.DB) error { return db.Sweep(ctx) },
		"keeper: nothing is too old": func(ctx context.Context, db *postgres.DB) error { _, err := db.Retain(ctx, years(2)); return err },
		"keeper: what is too old is gone": func(ctx context.Context, db *postgres.DB) error {
			_, err := db.Retain(ctx, postgres.Retention{Logs: 180*24*time.Hour - time.Hour})
			return err
		},
		"gauges":         func(ctx context.Context, db *postgres.DB) error { _, err := db.Backlog(ctx); return err },
		"overview":       func(ctx context.Context, db *postgres.DB) error { _, err := db.Overview(ctx, site, 20); return err },
		"loads of pools": func(ctx context.Context, db *postgres.DB) error { _, err := db.PoolLoads(ctx, site); return err },
		"Pods in flight": func(ctx context.Context, db *postgres.DB) error {
			_, _, err := db.PodsInFlight(ctx, messages.LocalPool, 100)
			return err
		},
		"what people did to runs": func(ctx context.Context, db *postgres.DB) error {
			_, err := db.RunActs(ctx, w.org.ID, time.Now(), 50)
			return err
		},
		"placement: waiting sets": func(ctx context.Context, db *postgres.DB) error { _, err := db.WaitingSets(ctx); return err },
		"observer":                func(ctx context.Context, db *postgres.DB) error { _, _, err := db.EndedRuns(ctx, 200); return err },
		"relay": func(ctx context.Context, db *postgres.DB) error {
			_, err := db.Relay(ctx, 100, nil, sendNothing)
			return err
		},
		"triggers: what happened": func(ctx context.Context, db *postgres.DB) error { return db.NoteTriggers(ctx) },
	})
	return all
}

// workspaceQuestions are those about workspaces.
func (w *world) workspaceQuestions() map[string]func(context.Context, *postgres.DB) error {
	page, site := postgres.Page{}, postgres.Token{Kind: postgres.TokenAdmin}
	found := func(part string) func(context.Context, *postgres.DB) error {
		return func(ctx context.Context, db *postgres.DB) error {
			_, _, err := db.FindWorkspaces(ctx, w.org.ID, postgres.WorkspaceFilter{Name: part}, page)
			return err
		}
	}
	return map[string]func(context.Context, *postgres.DB) error{
		"workspaces": func(ctx context.Context, db *postgres.DB) error {
			_, _, err := db.Workspaces(ctx, w.org.ID, page)
			return err
		},
		"workspaces, page 20": func(ctx context.Context, db *postgres.DB) error {
			_, _, err := db.Workspaces(ctx, w.org.ID, postgres.Page{Number: 20})
			return err
		},
		"workspaces by a part of their name":              found("past-00012"),
		"workspaces by a part of their name, in capitals": found("AST-0012"),
		"workspaces by a part of two letters":             found("zz"),
		"workspaces by a part that all have":              found("past"),
		"workspaces by a pattern":                         found("*-0012*"),
		"workspaces of all organizations by a part of their name": func(ctx context.Context, db *postgres.DB) error {
			_, _, err := db.ListWorkspaces(ctx, site, postgres.WorkspaceQuery{Limit: 50, Name: "00123"})
			return err
		},
		"workspaces of all organizations by a part that all have": func(ctx context.Context, db *postgres.DB) error {
			_, _, err := db.ListWorkspaces(ctx, site, postgres.WorkspaceQuery{Limit: 50, Name: "past"})
			return err
		},
		"a workspace by name": func(ctx context.Context, db *postgres.DB) error {
			_, err := db.WorkspaceByName(ctx, "acme", "network")
			return err
		},
		"workspaces of all organizations": func(ctx context.Context, db *postgres.DB) error {
			_, _, err := db.ListWorkspaces(ctx, site, postgres.WorkspaceQuery{Limit: 50})
			return err
		},
		"workspaces of all organizations, a later page": func(ctx context.Context, db *postgres.DB) error {
			_, _, err := db.ListWorkspaces(ctx, site, postgres.WorkspaceQuery{Limit: 50, After: "acme/past-000100"})
			return err
		},
		"workspaces by label": func(ctx context.Context, db *postgres.DB) error {
			_, _, err := db.ListWorkspaces(ctx, site, postgres.WorkspaceQuery{Limit: 50, Label: "env=prod"})
			return err
		},
		"locked workspaces": func(ctx context.Context, db *postgres.DB) error {
			_, _, err := db.ListWorkspaces(ctx, site, postgres.WorkspaceQuery{Limit: 50, Locked: true})
			return err
		},
		"workspaces by status": func(ctx context.Context, db *postgres.DB) error {
			_, _, err := db.ListWorkspaces(ctx, site, postgres.WorkspaceQuery{Limit: 50, Statuses: []run.Status{run.Errored}})
			return err
		},
		"workspaces by a status that most have": func(ctx context.Context, db *postgres.DB) error {
			_, _, err := db.ListWorkspaces(ctx, site, postgres.WorkspaceQuery{Limit: 50, Statuses: []run.Status{run.PlannedAndFinished}})
			return err
		},
		"workspaces of an organization by status": func(ctx context.Context, db *postgres.DB) error {
			_, _, err := db.FindWorkspaces(ctx, w.org.ID, postgres.WorkspaceFilter{RunStatuses: []string{string(run.Errored)}}, page)
			return err
		},
		"workspaces that never ran": func(ctx context.Context, db *postgres.DB) error {
			_, _, err := db.ListWorkspaces(ctx, site, postgres.WorkspaceQuery{Limit: 50, Statuses: []run.Status{postgres.StatusNone}})
			return err
		},
		"projects": func(ctx context.Context, db *postgres.DB) error {
			_, _, err := db.Projects(ctx, w.org.ID, postgres.ProjectFilter{}, page)
			return err
		},
	}
}

// lost is the run as if its apply's outcome were unknown.
func lost(r run.Run) run.Run {
	r.Status, r.OutcomeUnknown, r.Apply = run.Errored, true, r.Plan
	return r
}

func years(n time.Duration) postgres.Retention {
	age := n * 365 * 24 * time.Hour
	return postgres.Retention{Runs: age, Logs: age, Configurations: age}
}

func sendNothing(context.Context, []postgres.OutboxRow) (int, error) { return 0, nil }

// asked asks on connections of its own, and returns when Postgres has counted what they read: it does so when they end.
func (w *world) asked(t *testing.T, times int, ask func(context.Context, *postgres.DB) error) {
	t.Helper()
	db, err := postgres.Open(t.Context(), postgres.Config{DSN: w.dsn + "&application_name=asked", Sealer: w.sealer, MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	for range times {
		if err := ask(t.Context(), db); err != nil {
			t.Error(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	w.exec(`SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'asked' AND datname = current_database()`)
}

// reads is how many rows were read of each table so far, by scans of it or of an index of it.
func (w *world) reads(t *testing.T) map[string]int {
	t.Helper()
	var rows []struct {
		Table string `db:"relname"`
		Read  int    `db:"read"`
	}
	if err := w.raw.SelectContext(t.Context(), &rows, `
		SELECT relname, seq_tup_read + COALESCE((SELECT sum(idx_tup_read) FROM pg_stat_user_indexes i WHERE i.relid = t.relid), 0) AS read
		FROM pg_stat_user_tables t`); err != nil {
		t.Fatal(err)
	}
	out := map[string]int{}
	for _, r := range rows {
		out[r.Table] = r.Read
	}
	return out
}
