package runner_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gantry.example/internal/bus"
	"gantry.example/internal/bus/broker"
	"gantry.example/internal/natstest"
	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/workers/runner"
)

// process is a runner process that has read nothing yet.
func process(t *testing.T) *exec.Cmd { return processNamed(t, "runner-process") }

func processNamed(t *testing.T, as string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), as)
	if err := os.Symlink(self, name); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(name, args...)
	cmd.Stderr = t.Output()
	return cmd
}

// TestProcessOverRealNATS runs a plan as a process of its own, with the permissions of a runner.
func TestProcessOverRealNATS(t *testing.T) {
	t.Parallel()
	b := setup(t, messages.PhasePlan, map[string]string{"main.tf": oneResource})
	in := b.assign.Claim.Inputs
	server := b.overNATS(t)
	var leased map[string]messages.Lease
	b.onStart = func() { leased, _ = server.ReadLeases(t.Context(), in.Pool) }

	cmd := process(t)
	line, err := json.Marshal(b.assign)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin = bytes.NewReader(append(line, '\n'))
	if err := cmd.Run(); err != nil {
		t.Fatalf("runner process: %v", err)
	}
	if len(b.results) != 1 || b.results[0].Outcome != wire.OutcomeSucceeded {
		t.Fatalf("got results %+v, want one success", b.results)
	}
	if got := leased[in.Key()].AttemptID; got != in.AttemptID {
		t.Errorf("the lease at the start is held by %q, want %q", got, in.AttemptID)
	}
	if left, err := server.ReadLeases(t.Context(), in.Pool); err != nil || len(left) > 0 {
		t.Errorf("leases left: %v, %v, want none", left, err)
	}
	checkLogStream(t, server, filepath.Join(b.assign.Dir, "log"), b.results[0])
	events, err := server.EventReader().FetchBatch(t.Context(), 100, 5*time.Second)
	if err != nil || len(events) == 0 || events[len(events)-1].Event.Type != messages.EventFinished {
		t.Errorf("got events %+v, %v, want finished as the last", events, err)
	}
}

// overNATS lets the bundle's runner work over a real NATS.
func (b *bundle) overNATS(t *testing.T) *bus.Bus {
	t.Helper()
	in := b.assign.Claim.Inputs
	nats := natstest.Start(t)
	server := nats.Bus(t)
	for _, ensure := range []func() error{
		func() error { return server.EnsureStatus(t.Context(), 1) },
		func() error { return server.EnsureLogs(t.Context(), 1) },
		func() error { return server.EnsureLeases(t.Context(), in.Pool, 1) },
	} {
		if err := ensure(); err != nil {
			t.Fatal(err)
		}
	}
	b.token = nats.Authenticator.Grant(broker.Identity{
		Kind: broker.KindRunner, Pool: in.Pool, Name: in.AttemptID, WorkspaceID: in.WorkspaceID, RunID: in.RunID, Key: in.Key(),
	})
	b.assign.Claim.Token, b.assign.NATSURL = b.token, nats.ClientURL()
	return server
}

// checkLogStream compares the LOGS stream with the file it was made from.
func checkLogStream(t *testing.T, server *bus.Bus, spool string, result wire.Result) {
	t.Helper()
	chunks, err := server.LogReader().FetchBatch(t.Context(), 1000, 5*time.Second)
	if err != nil || len(chunks) == 0 {
		t.Fatalf("got %d log messages, %v", len(chunks), err)
	}
	var log []byte
	for _, c := range chunks {
		if c.Offset != int64(len(log)) {
			t.Errorf("chunk at %d, want %d", c.Offset, len(log))
		}
		log = append(log, c.Data...)
	}
	want, err := os.ReadFile(spool)
	end := chunks[len(chunks)-1]
	if err != nil || !bytes.Equal(log, want) || !end.End || end.SHA256 != result.LogSHA256 || int64(len(log)) != result.LogSize {
		t.Errorf("got %d bytes and end %t with %s, want %d bytes of the file and %s (%v)", len(log), end.End, end.SHA256, len(want), result.LogSHA256, err)
	}
}

func TestProcessWithoutAssignmentEndsSilently(t *testing.T) {
	t.Parallel()
	cmd := process(t)
	cmd.Stderr = nil
	out, err := cmd.CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("got %v, %q, want exit 0 and silence", err, out)
	}
}

func TestProcessRefusesNonsense(t *testing.T) {
	t.Parallel()
	cmd := process(t)
	cmd.Stdin = strings.NewReader("{\"claim\":7}\n")
	_ = cmd.Run()
	if got := cmd.ProcessState.ExitCode(); got != runner.ExitContract {
		t.Errorf("exit code: got %d, want %d", got, runner.ExitContract)
	}
}

// BenchmarkPlanAndApply is the whole way of one resource through two runners, NATS and API in memory. Compare with
// BenchmarkBareTerraform.
func BenchmarkPlanAndApply(b *testing.B) {
	program := filepath.Join(b.TempDir(), "gantry-exec")
	if out, err := exec.Command("go", "build", "-o", program, "gantry.example/cmd/gantry-exec").CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	files := map[string]string{"main.tf": oneResource}
	cache := b.TempDir()
	for b.Loop() {
		plan := setup(b, messages.PhasePlan, files)
		apply := setup(b, messages.PhaseApply, files)
		plan.cfg.Shim, apply.cfg.Shim = program, program
		plan.assign.CacheDir, apply.assign.CacheDir = cache, cache
		began := time.Now()
		plan.run(b, runner.ExitDelivered)
		planned := time.Now()
		apply.plan = plan.plan
		apply.run(b, runner.ExitDelivered)
		b.Logf("to results: plan %v, apply %v", plan.resultAt.Sub(began), apply.resultAt.Sub(planned))
		b.Logf("plan %v (%v), apply %v (%v)", planned.Sub(began), plan.results[0].Phases, time.Since(planned), apply.results[0].Phases)
	}
}

// BenchmarkBareTerraform is init, plan and apply of the same resource by hand.
func BenchmarkBareTerraform(b *testing.B) {
	for b.Loop() {
		dir := b.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "main.tf"), []byte(oneResource), 0o600); err != nil {
			b.Fatal(err)
		}
		for _, args := range [][]string{{"init"}, {"plan", "-out=p"}, {"apply", "p"}} {
			cmd := exec.Command("terraform", args...)
			cmd.Dir = dir
			cmd.Env = []string{"CHECKPOINT_DISABLE=1", "HOME=" + dir, "PATH=" + os.Getenv("PATH")}
			if out, err := cmd.CombinedOutput(); err != nil {
				b.Fatalf("%v: %s", err, out)
			}
		}
	}
}
