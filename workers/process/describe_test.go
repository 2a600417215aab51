package process_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"gantry.example/messages"
	"gantry.example/workers/executor"
	"gantry.example/workers/executor/executortest"
	"gantry.example/workers/process"
	"gantry.example/workers/runner"
)

// TestPlansAreDescribedWhenNothingRuns: what a runner left for later waits for the others to end, also for those that an earlier
// worker started, and then its folder goes.
func TestPlansAreDescribedWhenNothingRuns(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	t.Cleanup(func() { endRunners(t, dir) })
	e := open(t, config(dir))
	exits := watch(t, e)
	plan, other := startPlan(t, e, dir), startPlan(t, e, dir)
	folder := filepath.Join(dir, "work", "attempts", plan.AttemptID)
	told, err := json.Marshal(runner.Assignment{Claim: plan.Claim})
	for name, content := range map[string][]byte{"assignment.json": told, "start": nil, "delivered": nil, "owed": nil} {
		err = errors.Join(err, os.WriteFile(filepath.Join(folder, name), content, 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
	finish(t, dir, plan.AttemptID, runner.ExitDelivered)
	if got := <-exits; got.AttemptID != plan.AttemptID || got.Code != executor.CodeDelivered {
		t.Errorf("got exit %+v, want that of the plan", got)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}

	e = open(t, config(dir))
	defer e.Close()
	exits = watch(t, e)
	if got := starts(dir, plan.AttemptID); got != 1 {
		t.Errorf("got %d runners of the plan while another runs, want 1", got)
	}
	finish(t, dir, other.AttemptID, runner.ExitDelivered)
	if got := <-exits; got.AttemptID != other.AttemptID {
		t.Errorf("got exit %+v, want that of the other", got)
	}
	executortest.Wait(t, "the plan to be described and its folder to go", func() bool {
		_, err := os.Stat(folder)
		return starts(dir, plan.AttemptID) == 2 && errors.Is(err, os.ErrNotExist)
	})
}

func startPlan(t *testing.T, e *process.Executor, dir string) executor.Attempt {
	t.Helper()
	a := executortest.NewAttempt(messages.PhasePlan)
	if err := e.StartPlan(t.Context(), a); err != nil {
		t.Fatalf("StartPlan: %v", err)
	}
	executortest.Wait(t, "the runner", func() bool { return starts(dir, a.AttemptID) == 1 })
	return a
}
