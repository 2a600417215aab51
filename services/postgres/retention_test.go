package postgres_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// finishedRun is a plan-only run that is over, with a log and a plan.
func (w *world) finishedRun(ws postgres.Workspace, log string) run.Run {
	w.t.Helper()
	r := w.newRun(ws, run.Options{PlanOnly: true})
	_, a := w.started(r.ID)
	w.says(a, 0, log, nil)
	w.ends(a, int64(len(log)), nil)
	w.ok(w.putPlan(a, postgres.BlobPlan, "plan"))
	w.result(a, planResult())
	return w.get(r.ID)
}

// ages moves everything there is so far into the past.
func (w *world) ages(d time.Duration) {
	w.t.Helper()
	for _, q := range []string{
		`UPDATE runs SET created_at = created_at - $1::interval`,
		`UPDATE run_events SET at = at - $1::interval`,
		`UPDATE logs SET printed_at = printed_at - $1::interval`,
		`UPDATE configuration_versions SET created_at = created_at - $1::interval, uploaded_at = uploaded_at - $1::interval`,
	} {
		_, err := w.raw.ExecContext(w.t.Context(), q, d.String())
		w.ok(err)
	}
}

func (w *world) retains(r postgres.Retention, want postgres.Removed) {
	w.t.Helper()
	got, err := w.Retain(w.t.Context(), r)
	w.ok(err)
	if diff := cmp.Diff(want, got); diff != "" {
		w.t.Errorf("removed (-want +got):\n%s", diff)
	}
}

func TestAnArchivedLogReadsAsBefore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ws := w.workspace("net")
	r := w.newRun(ws, run.Options{PlanOnly: true})
	_, a := w.started(r.ID)
	var log bytes.Buffer
	for n := 0; log.Len() < 5<<19; n++ { // two and a half parts
		chunk := strings.Repeat(string(rune('a'+n%26)), 100_000)
		w.says(a, int64(log.Len()), chunk, nil)
		log.WriteString(chunk)
	}
	archived := func(want int) {
		t.Helper()
		got, err := w.ArchiveLogs(t.Context(), 0, 10)
		w.ok(err)
		if got != want {
			t.Errorf("archived: got %d, want %d", got, want)
		}
	}
	archived(0)
	w.ends(a, int64(log.Len()), nil)
	archived(0) // the run goes on
	w.result(a, planResult())
	if n, err := w.ArchiveLogs(t.Context(), time.Hour, 10); n != 0 || err != nil {
		t.Errorf("archived an hour early: got %d and error %v, want none", n, err)
	}
	archived(1)
	archived(0)
	if n := w.count(`SELECT count(*) FROM log_chunks`); n != 3 {
		t.Errorf("rows of the archive: got %d, want 3", n)
	}
	if n := w.count(`SELECT sum(length(data)) FROM log_chunks`); n > 10_000 {
		t.Errorf("bytes of the archive: got %d, want it compressed", n)
	}
	for _, at := range []int{0, 1<<20 - 10, 1 << 20, 2<<20 + 7, log.Len() - 5, log.Len()} {
		p, err := w.ReadLog(t.Context(), r.Plan.ID, int64(at), 2<<20)
		w.ok(err)
		want := log.Bytes()[at:min(at+2<<20, log.Len())]
		if !bytes.Equal(p.Data, want) || p.Size != int64(log.Len()) || !p.Ended {
			t.Errorf("from %d: got %d bytes of %d, ended %t; want %d equal ones, ended", at, len(p.Data), p.Size, p.Ended, len(want))
		}
	}
}

func TestRetainRemovesOldRunsWithEverything(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ws := w.workspace("net")
	old := w.finishedRun(ws, "old")
	applied := w.newRun(ws, run.Options{})
	_, a := w.applying(applied.ID)
	_, err := w.PutState(t.Context(), a, postgres.InMemory([]byte(`{"version":4,"serial":1,"lineage":"l","terraform_version":"1.0.0"}`)))
	w.ok(err)
	w.result(a, applyResult())
	unknown := w.newRun(ws, run.Options{})
	_, b := w.applying(unknown.ID)
	w.ok(w.Project(t.Context(), []messages.Event{exitedEvent(b)}))
	waiting := w.newRun(ws, run.Options{})
	w.drain()
	w.ages(48 * time.Hour)
	late := w.finishedRun(ws, "recent")
	w.drain()
	w.retains(postgres.Retention{}, postgres.Removed{})
	w.retains(postgres.Retention{Runs: 72 * time.Hour}, postgres.Removed{})
	w.retains(postgres.Retention{Runs: 24 * time.Hour}, postgres.Removed{Runs: 1})
	_, err = w.Run(t.Context(), old.ID)
	w.refused(err, messages.CodeNotFound)
	for _, q := range []string{
		`SELECT count(*) FROM run_events WHERE run_id = $1`, `SELECT count(*) FROM blobs WHERE owner = $1`, `SELECT count(*) FROM logs WHERE run_id = $1`,
		`SELECT count(*) FROM tasks WHERE run_id = $1`, `SELECT count(*) FROM attempts WHERE run_id = $1`, `SELECT count(*) FROM results WHERE run_id = $1`,
	} {
		if n := w.count(q, old.ID); n != 0 {
			t.Errorf("%s: got %d, want 0", q, n)
		}
	}
	for _, r := range []run.Run{applied, unknown, waiting, late} { // wrote the state, holds the gate, is not over, too young
		w.get(r.ID)
	}
	w.ages(48 * time.Hour)
	w.retains(postgres.Retention{Runs: 24 * time.Hour}, postgres.Removed{}) // the last one of a workspace stays
	w.ok(w.Refold(t.Context()))
}

func TestRetainRemovesLogsAndPlans(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ws := w.workspace("net")
	old := w.finishedRun(ws, "old")
	open := w.newRun(ws, run.Options{PlanOnly: true})
	_, a := w.started(open.ID)
	w.says(a, 0, "open", nil)
	w.ages(48 * time.Hour)
	late := w.finishedRun(ws, "recent")
	w.retains(postgres.Retention{Logs: 24 * time.Hour}, postgres.Removed{Logs: 1})
	w.retains(postgres.Retention{Logs: 24 * time.Hour}, postgres.Removed{})
	w.logIs(old.Plan.ID, "[Gantry: this log was removed because of its age]\n", true)
	w.logIs(open.Plan.ID, "open", false)
	w.logIs(late.Plan.ID, "recent", true)
	_, err := w.Blob(t.Context(), old.ID, postgres.BlobPlan)
	w.refused(err, messages.CodeNotFound)
	_, err = w.Blob(t.Context(), late.ID, postgres.BlobPlan)
	w.ok(err)
}

func TestRetainRemovesConfigurationsThatNothingNeeds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	ws := w.workspace("net")
	upload := func() string {
		cv, err := w.CreateConfigurationVersion(ctx, postgres.NewConfigurationVersion{WorkspaceID: ws.ID})
		w.ok(err)
		_, err = w.UploadConfiguration(ctx, cv.ID, postgres.InMemory([]byte("archive "+cv.ID)))
		w.ok(err)
		return cv.ID
	}
	unused := upload()
	ofState := upload()
	_, a := w.applying(w.newRun(ws, run.Options{}).ID)
	_, err := w.PutState(ctx, a, postgres.InMemory([]byte(`{"version":4,"serial":1,"lineage":"l","terraform_version":"1.0.0"}`)))
	w.ok(err)
	w.result(a, applyResult())
	inUse := upload()
	w.started(w.newRun(ws, run.Options{}).ID)
	newest := upload()
	never, err := w.CreateConfigurationVersion(ctx, postgres.NewConfigurationVersion{WorkspaceID: ws.ID})
	w.ok(err)
	w.ages(48 * time.Hour)
	w.retains(postgres.Retention{Configurations: 24 * time.Hour}, postgres.Removed{Configurations: 2}) // the workspace's first, too
	for _, id := range []string{ofState, inUse, newest} {
		_, err := w.Blob(ctx, id, postgres.BlobConfiguration)
		w.ok(err)
	}
	_, err = w.Blob(ctx, unused, postgres.BlobConfiguration)
	w.refused(err, messages.CodeNotFound)
	_, err = w.CreateRun(ctx, postgres.NewRun{WorkspaceID: ws.ID, ConfigurationVersionID: unused})
	w.refused(err, messages.CodeConfigurationMissing)
	_, err = w.UploadConfiguration(ctx, unused, postgres.InMemory([]byte("again")))
	w.refused(err, messages.CodeConflict)
	_, err = w.ConfigurationVersion(ctx, never.ID)
	w.refused(err, messages.CodeNotFound)
}

func TestRetainRemovesOldActs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	act := func(object string) {
		w.ok(w.RecordAct(t.Context(), postgres.Act{OrganizationID: w.org.ID, Actor: "ada", Action: "DELETE /x", Summary: "delete", Object: object}))
	}
	for range 450 { // more than two batches
		act("old")
	}
	w.exec(`UPDATE audit SET at = at - interval '10 days'`)
	act("young")
	w.retains(postgres.Retention{}, postgres.Removed{})
	w.retains(postgres.Retention{Audit: 11 * 24 * time.Hour}, postgres.Removed{})
	w.retains(postgres.Retention{Audit: 9 * 24 * time.Hour}, postgres.Removed{Acts: 450})
	left, err := w.Acts(t.Context(), w.org.ID, time.Now().Add(time.Hour), 10)
	w.ok(err)
	if len(left) != 1 || left[0].Object != "young" {
		t.Errorf("left: got %v, want the young one only", left)
	}
}
