package postgres_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// says appends to an attempt's log and checks the answer.
func (w *world) says(a postgres.Attempt, offset int64, data string, want error) {
	w.t.Helper()
	err := w.AppendLog(w.t.Context(), postgres.LogChunk{AttemptID: a.ID, Offset: offset, Data: []byte(data)})
	if !errors.Is(err, want) {
		w.t.Errorf("append %q at %d: got %v, want %v", data, offset, err, want)
	}
}

func (w *world) ends(a postgres.Attempt, offset int64, want error) {
	w.t.Helper()
	err := w.AppendLog(w.t.Context(), postgres.LogChunk{AttemptID: a.ID, Offset: offset, End: true})
	if !errors.Is(err, want) {
		w.t.Errorf("end at %d: got %v, want %v", offset, err, want)
	}
}

func (w *world) logIs(taskID, want string, ended bool) {
	w.t.Helper()
	p, err := w.ReadLog(w.t.Context(), taskID, 0, 1<<20)
	w.ok(err)
	if string(p.Data) != want || p.Size != int64(len(want)) || p.Ended != ended {
		w.t.Errorf("log: got %q of %d, ended %t; want %q, ended %t", p.Data, p.Size, p.Ended, want, ended)
	}
}

func TestChunksOfALog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.newRun(w.workspace("net"), run.Options{})
	task := r.Plan.ID
	w.logIs(task, "", false)
	_, a := w.started(r.ID)
	w.logIs(task, "", false)
	w.says(a, 3, "gap", postgres.ErrLogGap)
	w.says(a, 0, "hello", nil)
	w.says(a, 0, "hello", nil) // again
	w.says(a, 3, "lo wor", nil)
	w.says(a, 0, "hel", nil)
	w.ends(a, 11, postgres.ErrLogGap)
	w.says(a, 9, "ld", nil)
	w.says(postgres.Attempt{ID: "att-none"}, 0, "whoever", nil)
	w.ends(a, 11, nil)
	w.says(a, 11, "behind the end", nil)
	w.logIs(task, "hello world", false) // the task is not over

	want := []byte("hello world")
	for offset := range len(want) + 3 {
		for limit := 1; limit < len(want)+3; limit++ {
			p, err := w.ReadLog(t.Context(), task, int64(offset), limit)
			w.ok(err)
			from := min(offset, len(want))
			if got, want := p.Data, want[from:min(from+limit, len(want))]; !bytes.Equal(got, want) {
				t.Errorf("%d bytes from %d: got %q, want %q", limit, offset, got, want)
			}
		}
	}
	w.result(a, planResult())
	w.logIs(task, "hello world", true)
	_, err := w.ReadLog(t.Context(), "task-none", 0, 1)
	w.refused(err, messages.CodeNotFound)
}

func TestANewerAttemptContinuesTheLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.newRun(w.workspace("net"), run.Options{})
	_, first := w.started(r.ID)
	w.says(first, 0, "first, ", nil)
	w.ok(w.Project(t.Context(), []messages.Event{exitedEvent(first)}))
	_, second := w.started(r.ID)
	w.says(second, 2, "gap", postgres.ErrLogGap)
	w.says(first, 7, "still mine, ", nil) // the newer one has not written
	w.says(second, 0, "second", nil)
	w.says(first, 19, "too late", nil)
	w.ends(first, 19, nil)
	w.says(second, 0, "second", nil)
	w.result(second, planResult())
	w.logIs(r.Plan.ID, "first, still mine, second", false)
	w.ends(second, 6, nil)
	w.logIs(r.Plan.ID, "first, still mine, second", true)
}

func TestANewerAttemptGoesOnBehindTheEndOfAnOlder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.newRun(w.workspace("net"), run.Options{})
	_, first := w.started(r.ID)
	w.says(first, 0, "first, ", nil)
	w.ends(first, 7, nil)
	w.ok(w.Project(t.Context(), []messages.Event{exitedEvent(first)}))
	_, second := w.started(r.ID)
	w.says(second, 0, "second", nil)
	w.result(second, planResult())
	w.logIs(r.Plan.ID, "first, second", false)
	w.ends(second, 6, nil)
	w.logIs(r.Plan.ID, "first, second", true)
}

func TestLogsOfTasksThatNeverStartedAreOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ws := w.workspace("net")
	queued, claimed := w.newRun(ws, run.Options{}), w.newRun(ws, run.Options{PlanOnly: true})
	w.claimed(claimed.ID)
	for _, r := range []run.Run{queued, claimed} {
		w.logIs(r.Plan.ID, "", false)
		w.cancel(r.ID)
		w.logIs(r.Plan.ID, "", true)
	}
}

// TestSealLogsWaitsForWhatWasPrinted: the log service may have been away for longer than a silent log is waited for.
func TestSealLogsWaitsForWhatWasPrinted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.newRun(w.workspace("net"), run.Options{})
	_, a := w.started(r.ID)
	w.says(a, 0, "some", nil)
	w.result(a, wire.Result{V: 1, Outcome: wire.OutcomeFailed, LogSize: 9})
	w.ok(w.SealLogs(t.Context(), 0))
	w.logIs(r.Plan.ID, "some", false)
	w.says(a, 4, " more", nil)
	w.ok(w.SealLogs(t.Context(), 0))
	w.logIs(r.Plan.ID, "some more", true)

	late := w.newRun(w.workspace("late"), run.Options{})
	_, a = w.started(late.ID)
	w.says(a, 0, "some", nil)
	w.result(a, wire.Result{V: 1, Outcome: wire.OutcomeFailed, LogSize: 9})
	w.raw.MustExec(`UPDATE attempts SET closed_at = closed_at - interval '2 hours'`)
	w.ok(w.SealLogs(t.Context(), 0))
	w.logIs(late.Plan.ID, "some\n[Gantry: 5 bytes of the log were lost]\n", true)
}

func TestSealLogsEndsWhatNobodyWillEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	silent := w.newRun(w.workspace("silent"), run.Options{})
	broken := w.newRun(w.workspace("broken"), run.Options{})
	running := w.newRun(w.workspace("running"), run.Options{})
	for _, r := range []run.Run{silent, broken, running} {
		_, a := w.started(r.ID)
		if r.ID != silent.ID {
			w.says(a, 0, "some", nil)
		}
		if r.ID != running.ID {
			w.result(a, wire.Result{V: 1, Outcome: wire.OutcomeFailed})
		}
	}
	w.ok(w.SealLogs(t.Context(), time.Hour))
	w.logIs(silent.Plan.ID, "", false)
	w.logIs(broken.Plan.ID, "some", false)
	w.ok(w.SealLogs(t.Context(), 0))
	w.logIs(silent.Plan.ID, "", true)
	w.logIs(broken.Plan.ID, "some", true)
	w.logIs(running.Plan.ID, "some", false)
	if n := w.count(`SELECT count(*) FROM logs WHERE NOT complete`); n != 1 {
		t.Errorf("logs that are not complete: got %d, want 1", n)
	}
}
