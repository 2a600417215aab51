package runner_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/workers/runner"
	"gantry.example/workers/terraform"
)

// inAFile makes the attempt's terraform keep its state in a file, as with an engine that saves too rarely elsewhere.
func (b *bundle) inAFile(t *testing.T) {
	t.Helper()
	e, err := terraform.Locate(t.Context(), terraform.LocateConfig{CacheDir: b.assign.CacheDir})
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(e.Path)
	if err != nil {
		t.Fatal(err)
	}
	answer := fmt.Sprintf(`{"%s %d %d saves-each-step":"false"}`, e.Path, info.Size(), info.ModTime().UnixNano())
	if err := os.WriteFile(filepath.Join(b.assign.CacheDir, "engine-probes.json"), []byte(answer), 0o600); err != nil {
		t.Fatal(err)
	}
}

// warm makes the bundle of an apply whose plan, of that configuration, ran on the same host.
func warm(t *testing.T, files map[string]string, inAFile bool) *bundle {
	t.Helper()
	plan, work := setup(t, messages.PhasePlan, files), t.TempDir()
	plan.assign.Work = work
	if inAFile {
		plan.inAFile(t)
	}
	plan.run(t, runner.ExitDelivered)
	apply := setup(t, messages.PhaseApply, files)
	apply.plan, apply.assign.Work, apply.assign.CacheDir = plan.plan, work, plan.assign.CacheDir
	apply.assign.Claim.Inputs.PlanAttemptID = plan.assign.Claim.AttemptID
	return apply
}

// TestRunsBelowAFolderOfTheServer: plan and apply work in the folder the workspace names, and leave nothing there.
func TestRunsBelowAFolderOfTheServer(t *testing.T) {
	t.Parallel()
	base, work := filepath.Join(t.TempDir(), "base"), t.TempDir()
	files := map[string]string{"main.tf": oneResource}
	below := func(b *bundle) *bundle {
		b.assign.Work, b.assign.Claim.Inputs.Execution.Workdir = work, base
		return b
	}
	only := below(setup(t, messages.PhasePlan, files))
	only.assign.Claim.Inputs.Options.PlanOnly = true
	only.run(t, runner.ExitDelivered)
	plan := below(setup(t, messages.PhasePlan, files))
	plan.run(t, runner.ExitDelivered)
	apply := below(setup(t, messages.PhaseApply, files))
	apply.plan, apply.assign.CacheDir, apply.assign.Claim.Inputs.PlanAttemptID = plan.plan, plan.assign.CacheDir, plan.assign.Claim.AttemptID
	place := filepath.Join(base, plan.assign.Claim.AttemptID)
	if entries, err := os.ReadDir(base); err != nil || len(entries) != 1 || entries[0].Name() != filepath.Base(place) {
		t.Errorf("got %v, %v in the folder, want that of the plan that can be applied", entries, err)
	}
	apply.run(t, runner.ExitDelivered)
	if got := apply.onlyResult(t); got.Outcome != wire.OutcomeSucceeded {
		t.Fatalf("got %+v\n%s", got, apply.bus.log)
	}
	for _, dir := range []string{base, work} {
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
			t.Errorf("got %v, %v left in %s, want nothing", entries, err, dir)
		}
	}
}

func TestApplyInThePlansFolder(t *testing.T) {
	t.Parallel()
	files := map[string]string{"main.tf": oneResource}
	for _, tt := range []struct {
		name    string
		inAFile bool
		spoil   func(t *testing.T, b *bundle, folder string)
		cold    bool
	}{
		{name: "warm"},
		{name: "warm with a file", inAFile: true},
		{name: "other plan", cold: true, spoil: func(_ *testing.T, b *bundle, _ string) {
			b.assign.Claim.Inputs.PlanAttemptID = messages.NewID("att-")
		}},
		{name: "not ready", cold: true, spoil: func(t *testing.T, _ *bundle, folder string) { remove(t, filepath.Join(folder, "ready.json")) }},
		{name: "damaged plan", cold: true, spoil: func(t *testing.T, _ *bundle, folder string) {
			if err := os.WriteFile(filepath.Join(folder, "plan.bin"), []byte("something else"), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "cold with a file", inAFile: true, cold: true, spoil: func(t *testing.T, _ *bundle, folder string) { remove(t, folder) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := warm(t, files, tt.inAFile)
			folder := filepath.Join(b.assign.Work, b.assign.Claim.Inputs.PlanAttemptID)
			if tt.spoil != nil {
				tt.spoil(t, b, folder)
			}
			if !tt.cold {
				b.configuration = []byte("not needed")
			}
			b.run(t, runner.ExitDelivered)
			if got := b.onlyResult(t); got.Outcome != wire.OutcomeSucceeded || !strings.Contains(string(b.state), `"name": "a"`) {
				t.Fatalf("got %+v and state %s\n%s", got, b.state, b.bus.log)
			}
			if cold := strings.Contains(plain(b.bus.log), "nitializ"); cold != tt.cold { // by init or from the memory of the plan's
				t.Errorf("initialized: got %v, want %v\n%s", cold, tt.cold, b.bus.log)
			}
			if _, err := os.Stat(folder); err == nil && !tt.cold {
				t.Error("the folder is left")
			}
		})
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

// TestPlansFolderIsRemovedWhenNobodyWillApply: nothing to apply, a failed plan.
func TestPlansFolderIsRemovedWhenNobodyWillApply(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]string{"no changes": `locals { a = 1 }`, "broken": `resource "x" {`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, messages.PhasePlan, map[string]string{"main.tf": config})
			b.assign.Work = t.TempDir()
			b.run(t, runner.ExitDelivered)
			if left, err := os.ReadDir(b.assign.Work); err != nil || len(left) > 0 {
				t.Errorf("got %v, %v, want nothing left", left, err)
			}
		})
	}
}

func TestSweepWork(t *testing.T) {
	t.Parallel()
	b := warm(t, map[string]string{"main.tf": oneResource}, false)
	folder := filepath.Join(b.assign.Work, b.assign.Claim.Inputs.PlanAttemptID)
	no := func(string) bool { return false }
	for _, tt := range []struct {
		before time.Time
		needed func(string) bool
		want   int
	}{
		{time.Now().Add(-time.Hour), no, 0},
		{time.Now().Add(time.Hour), func(dir string) bool { return dir == folder }, 0},
		{time.Now().Add(time.Hour), no, 1},
	} {
		if got, err := runner.SweepWork(b.assign.Work, tt.before, tt.needed); err != nil || got != tt.want {
			t.Errorf("got %d removed, %v, want %d", got, err, tt.want)
		}
	}
}

// TestRecovery: what a runner could not deliver is delivered by the next one in its folder, once and again.
func TestRecovery(t *testing.T) {
	t.Parallel()
	for _, inAFile := range []bool{false, true} {
		t.Run(fmt.Sprintf("file=%v", inAFile), func(t *testing.T) {
			t.Parallel()
			b := warm(t, map[string]string{"main.tf": oneResource}, inAFile)
			b.resultFailing, b.assign.OfflineLimit = 1000, 2*time.Second
			b.run(t, runner.ExitUnavailable)
			told, undelivered := runner.Undelivered(b.assign.Dir)
			if !undelivered || told.Claim.Token != b.token {
				t.Fatalf("undelivered: got %+v, %v, want what the runner was told", told, undelivered)
			}
			b.resultFailing, b.state, b.bus.log, b.bus.sha256 = 0, nil, nil, ""
			b.assign.Recover, b.assign.OfflineLimit = true, 20*time.Second
			b.run(t, runner.ExitDelivered)
			if got := b.onlyResult(t); got.Outcome != wire.OutcomeSucceeded || got.State == nil || !strings.Contains(string(b.state), `"name": "a"`) {
				t.Errorf("got %+v and state %s", got, b.state)
			}
			if _, undelivered := runner.Undelivered(b.assign.Dir); undelivered {
				t.Error("delivered, and said not to be")
			}
			b.bus.log = nil
			b.run(t, runner.ExitDelivered) // harmless
		})
	}
}

// TestRecoveryWithoutResult: terraform was killed together with its runner, so there is state and log, and no verdict.
func TestRecoveryWithoutResult(t *testing.T) {
	t.Parallel()
	b := warm(t, map[string]string{"main.tf": slow}, false)
	ctx, kill := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() { ended <- runner.Run(ctx, b.assign, b.cfg) }()
	b.bus.await(t, "(local-exec): waiting")
	kill()
	<-ended
	b.results, b.state = nil, nil
	for _, name := range []string{"result.json", "delivered"} {
		remove(t, filepath.Join(b.assign.Dir, name))
	}
	b.bus.log, b.assign.Recover = nil, true
	b.run(t, runner.ExitRecovered)
	if len(b.results) != 0 || !strings.Contains(string(b.state), `"name": "a"`) || b.bus.size != int64(len(b.bus.log)) {
		t.Errorf("got results %+v, log of %d bytes with end %d, state %s", b.results, len(b.bus.log), b.bus.size, b.state)
	}
}
