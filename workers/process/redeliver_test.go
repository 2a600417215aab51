package process_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gantry.example/messages"
	"gantry.example/workers/executor/executortest"
	"gantry.example/workers/runner"
)

// TestWhatCouldNotBeDeliveredIsTriedAgain: a runner that reached nobody for too long ends, and its result is not forgotten
// until the worker starts anew.
func TestWhatCouldNotBeDeliveredIsTriedAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := config(dir)
	cfg.Redeliver = 20 * time.Millisecond
	e := open(t, cfg)
	exits := watch(t, e)
	a := startApply(t, e, dir)
	folder := filepath.Join(dir, "work", "attempts", a.AttemptID)
	told, err := json.Marshal(runner.Assignment{Claim: a.Claim})
	err = errors.Join(err, os.WriteFile(filepath.Join(folder, "assignment.json"), told, 0o600), os.WriteFile(filepath.Join(folder, "start"), nil, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	if !runner.NoApply(folder, messages.PhaseApply) {
		t.Error("got an apply that was executed, want none before its mark")
	}
	finish(t, dir, a.AttemptID, runner.ExitUnavailable)
	if got := <-exits; got.Code != runner.ExitUnavailable || !got.NotBegun {
		t.Errorf("got exit %+v, want %d of an apply that was not begun", got, runner.ExitUnavailable)
	}
	executortest.Wait(t, "two recoveries", func() bool { return starts(dir, a.AttemptID) >= 3 })
	if err := os.WriteFile(filepath.Join(folder, "delivered"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}
