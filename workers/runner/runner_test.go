package runner_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/workers/runner"
	"gantry.example/workers/terraform"
	"gantry.example/workers/terraform/shim"
)

// TestMain makes the test binary act as the shim that starts terraform, and as a runner process.
func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case shim.Name:
		os.Exit(shim.Main(os.Args, os.Environ()))
	case "runner-process":
		os.Exit(runner.Main(os.Stdin, runner.Config{Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}))
	case "pod-process":
		os.Exit(runner.PodMain(os.Args[1], os.Args[2], runner.Config{Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}))
	}
	os.Exit(m.Run())
}

const oneResource = `resource "terraform_data" "a" { input = 1 }`

// bundle is one attempt with its server and bus.
type bundle struct {
	*fakeAPI
	bus    *fakeBus
	assign runner.Assignment
	cfg    runner.Config
}

func setup(t testing.TB, phase messages.Phase, files map[string]string) *bundle {
	t.Helper()
	api, bus := newAPI(t, files), newBus()
	id := messages.NewID("att-")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), shim.Name)
	if err := os.Symlink(self, program); err != nil {
		t.Fatal(err)
	}
	return &bundle{
		fakeAPI: api, bus: bus,
		assign: runner.Assignment{
			Claim: wire.Claim{
				AttemptID: id, Number: 1, Epoch: 1, Token: "secret-token",
				Inputs: wire.Inputs{
					AttemptID: id, TaskID: messages.NewID("task-"), RunID: messages.NewID("run-"), WorkspaceID: messages.NewID("ws-"),
					WorkspaceName: "net", OrganizationName: "acme", Phase: phase, Exclusive: true, Pool: "local", Epoch: 1, GraceSeconds: 20,
				},
			},
			Address: api.URL, Dir: filepath.Join(t.TempDir(), id), CacheDir: t.TempDir(),
			SetupLimit: 20 * time.Second, OfflineLimit: 20 * time.Second,
		},
		cfg: runner.Config{Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Connect: bus.connect, Shim: program},
	}
}

// run runs the attempt and checks its exit code.
func (b *bundle) run(t testing.TB, want int) {
	t.Helper()
	if got := runner.Run(t.Context(), b.assign, b.cfg); got != want {
		t.Fatalf("exit code: got %d, want %d\n%s", got, want, b.bus.log)
	}
}

// onlyResult returns the one result, after checking it against the log.
func (b *bundle) onlyResult(t *testing.T) wire.Result {
	t.Helper()
	if len(b.results) != 1 {
		t.Fatalf("got %d results, want 1\n%s", len(b.results), b.bus.log)
	}
	got := b.results[0]
	spool, err := os.ReadFile(filepath.Join(b.assign.Dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(spool)
	digest := hex.EncodeToString(sum[:])
	if string(spool) != string(b.bus.log) || b.bus.sha256 != digest || got.LogSHA256 != digest || got.LogSize != int64(len(spool)) || b.bus.size != got.LogSize {
		t.Errorf("log: spool %d bytes %s, streamed %d bytes, end %d %s, result %d %s",
			len(spool), digest, len(b.bus.log), b.bus.size, b.bus.sha256, got.LogSize, got.LogSHA256)
	}
	return got
}

func TestPlanThenApply(t *testing.T) {
	t.Parallel()
	files := map[string]string{"mod/main.tf": oneResource + "\nvariable \"TFC_RUN_ID\" {}\noutput \"run\" { value = var.TFC_RUN_ID }"}
	plan := setup(t, messages.PhasePlan, files)
	plan.assign.Claim.Inputs.Execution.Workdir = "mod"
	plan.run(t, runner.ExitDelivered)
	got := plan.onlyResult(t)
	if got.Outcome != wire.OutcomeSucceeded || !got.HasChanges || got.TerraformVersion == "" {
		t.Fatalf("plan: got %+v\n%s", got, plan.bus.log)
	}
	if diff := cmp.Diff(&wire.Changes{Add: 1}, got.Changes); diff != "" {
		t.Errorf("plan changes (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"start", "plan", "result", "plan-json"}, plan.order); diff != "" {
		t.Errorf("order of calls (-want +got):\n%s", diff)
	}
	if !json.Valid(plan.planJSON) {
		t.Errorf("plan JSON: got %.60s", plan.planJSON)
	}
	last := plan.bus.events[len(plan.bus.events)-1]
	if last.Type != messages.EventFinished || last.Seq != len(plan.bus.events) || plan.bus.released == 0 {
		t.Errorf("got last event %+v, lease released %d times, want finished and a released lease", last, plan.bus.released)
	}

	apply := setup(t, messages.PhaseApply, files)
	apply.assign.Claim.Inputs.Execution.Workdir = "mod"
	apply.plan = plan.plan
	apply.run(t, runner.ExitDelivered)
	got = apply.onlyResult(t)
	if diff := cmp.Diff(&wire.Changes{Add: 1}, got.Changes); diff != "" || got.Outcome != wire.OutcomeSucceeded {
		t.Fatalf("apply: got %+v (-want +got):\n%s\n%s", got, diff, apply.bus.log)
	}
	var state struct{ Serial int64 }
	if err := json.Unmarshal(apply.state, &state); err != nil || got.State == nil || got.State.Serial != state.Serial || got.State.Lineage == "" {
		t.Errorf("state: got result %+v for %s", got.State, apply.state)
	}
	if diff := cmp.Diff([]string{"start", "state", "result"}, apply.order); diff != "" {
		t.Errorf("order of calls (-want +got):\n%s", diff)
	}
	if !strings.Contains(string(apply.state), plan.assign.Claim.Inputs.RunID) {
		t.Errorf("the plan's run id is not in the state: %s", apply.state)
	}
}

// TestPlanTooLarge: what the server does not take is the result, at once.
func TestPlanTooLarge(t *testing.T) {
	t.Parallel()
	b := setup(t, messages.PhasePlan, map[string]string{"main.tf": oneResource})
	b.refusePlan = messages.CodeTooLarge
	b.run(t, runner.ExitDelivered)
	got := b.onlyResult(t)
	if got.Outcome != wire.OutcomeFailed || got.Code != messages.CodeTooLarge || !strings.Contains(got.Message, "the plan was not stored: refused by the test") {
		t.Errorf("got %+v, want a failure that names the plan", got)
	}
}

func TestStartRefused(t *testing.T) {
	t.Parallel()
	for _, code := range []messages.Code{
		messages.CodeAttemptClosed, messages.CodeAttemptCanceled, messages.CodeAttemptDuplicate, messages.CodeAttemptStaleBase,
	} {
		t.Run(string(code), func(t *testing.T) {
			t.Parallel()
			b := setup(t, messages.PhasePlan, map[string]string{"main.tf": oneResource})
			b.refuseStart = code
			b.run(t, runner.ExitRefused)
			if len(b.results) != 0 || b.bus.released == 0 || strings.Contains(plain(b.bus.log), "nitializ") {
				t.Errorf("got %d results, lease released %d times, log %s", len(b.results), b.bus.released, b.bus.log)
			}
		})
	}
}

func TestFailuresBecomeResults(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, config, version string
		raw                   []byte
		code                  messages.Code
		message               string
		started               bool
	}{
		{name: "broken", config: `resource "x" {`, code: messages.CodeRunTerraformFailed, message: "Unclosed configuration block", started: true},
		{name: "engine", config: oneResource, version: "0.0.1", code: messages.CodeRunEngineMissing, message: "terraform 0.0.1 could not be had: installing version 0.0.1 from http://127.0.0.1:", started: true},
		{name: "archive", raw: []byte("no archive"), code: messages.CodeConfigurationInvalid, message: "not a gzip"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, messages.PhasePlan, map[string]string{"main.tf": tt.config})
			b.assign.Claim.Inputs.Execution.TerraformVersion = tt.version
			b.assign.Releases.TerraformMirror = b.URL // answers 401
			if tt.raw != nil {
				b.configuration = tt.raw
			}
			b.run(t, runner.ExitDelivered)
			got := b.onlyResult(t)
			if got.Outcome != wire.OutcomeFailed || got.Code != tt.code || !strings.Contains(got.Message, tt.message) {
				t.Errorf("got %+v, want %s with %q", got, tt.code, tt.message)
			}
			if !strings.Contains(plain(b.bus.log), got.Message) {
				t.Errorf("the log does not say why:\n%s", b.bus.log)
			}
			if started := len(b.starts) > 0; started != tt.started {
				t.Errorf("started: got %v, want %v", started, tt.started)
			}
		})
	}
}

// TestAPlanOfNothingIsRefused: it would destroy all that is in the state, which the engine alone refuses as well.
func TestAPlanOfNothingIsRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, file, workdir string
		refused             bool
	}{
		{name: "no file", file: "readme.md", refused: true},
		{name: "in another folder", file: "net/main.tf", refused: true},
		{name: "working directory", file: "net/main.tf", workdir: "net"},
		{name: "of OpenTofu", file: "main.tofu", refused: true},
		{name: "of an editor", file: ".#main.tf", refused: true},
		{name: "wrong working directory", file: "net/modules/a/main.tf", workdir: "net", refused: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, messages.PhasePlan, map[string]string{tt.file: oneResource})
			b.assign.Claim.Inputs.Execution.Workdir = tt.workdir
			b.run(t, runner.ExitDelivered)
			got := b.onlyResult(t)
			if refused := got.Code == messages.CodeConfigurationInvalid; refused != tt.refused || refused != strings.Contains(got.Message, "has no files for terraform") {
				t.Errorf("got %+v, want it refused: %v", got, tt.refused)
			}
		})
	}
	for name, options := range map[string]messages.RunOptions{"destroy": {Destroy: true}, "refresh, as of a recovery": {RefreshOnly: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, messages.PhasePlan, map[string]string{"readme.md": "x"})
			b.assign.Claim.Inputs.Options = options
			b.run(t, runner.ExitDelivered)
			if got := b.onlyResult(t); got.Outcome != wire.OutcomeSucceeded {
				t.Errorf("got %+v, want it to succeed without configuration", got)
			}
		})
	}
}

// TestAnEngineThatReadsNothingIsRefused: what counts is the engine that is used, of which the workspace may leave the version open.
func TestAnEngineThatReadsNothingIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, messages.PhasePlan, map[string]string{"main.tofu": oneResource})
	b.assign.Claim.Inputs.Execution.Engine = messages.EngineOpenTofu
	b.assign.Engine = terraform.Engine{Path: filepath.Join(t.TempDir(), "tofu"), Version: "1.7.9", Engine: messages.EngineOpenTofu}
	b.run(t, runner.ExitDelivered)
	got := b.onlyResult(t)
	if got.Code != messages.CodeConfigurationInvalid || !strings.Contains(got.Message, "has no files for tofu 1.7.9, which reads .tf and .tf.json:") {
		t.Errorf("got %+v, want the configuration refused", got)
	}
}

// slow waits in its second resource until it is stopped.
const slow = oneResource + `
	resource "terraform_data" "slow" {
	  depends_on = [terraform_data.a]
	  provisioner "local-exec" { command = "echo waiting; sleep 60" }
	}`

// planOf makes the plan of an apply.
func planOf(t *testing.T, files map[string]string) []byte {
	t.Helper()
	b := setup(t, messages.PhasePlan, files)
	b.run(t, runner.ExitDelivered)
	return b.plan
}

func TestCancelOfAnApply(t *testing.T) {
	t.Parallel()
	files := map[string]string{"main.tf": slow}
	plan := planOf(t, files)
	for _, tt := range []struct {
		name string
		ask  func(*bundle, context.CancelFunc)
		want wire.Outcome
		code messages.Code
		says string
	}{
		{"command", func(b *bundle, _ context.CancelFunc) {
			for range 3 { // repeated commands must not become repeated signals
				b.bus.command(messages.Command{AttemptID: b.assign.Claim.AttemptID, Cancel: true})
			}
		}, wire.OutcomeCanceled, messages.CodeRunCanceled, "canceled on request"},
		{"signal", func(_ *bundle, stop context.CancelFunc) { stop() }, wire.OutcomeCanceled, messages.CodeRunInterrupted, "the worker or agent that carried it out"},
		{"force", func(b *bundle, _ context.CancelFunc) {
			b.bus.command(messages.Command{AttemptID: b.assign.Claim.AttemptID, Force: true})
		}, "", messages.CodeRunCanceled, ""}, // the kill and the end by itself race each other
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, messages.PhaseApply, files)
			b.plan = plan
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			ended := make(chan int, 1)
			go func() { ended <- runner.Run(ctx, b.assign, b.cfg) }()
			b.bus.await(t, "(local-exec): waiting")
			tt.ask(b, stop)
			if code := <-ended; code != runner.ExitDelivered {
				t.Fatalf("exit code: got %d\n%s", code, b.bus.log)
			}
			got := b.onlyResult(t)
			if tt.want != "" && got.Outcome != tt.want || got.Code != tt.code || !strings.Contains(got.Message, tt.says) {
				t.Errorf("got %+v, want %s, %s, %q", got, tt.want, tt.code, tt.says)
			}
			if got.State == nil || !strings.Contains(string(b.state), `"name": "a"`) {
				t.Errorf("the finished resource is not in the stored state: %s", b.state)
			}
			if n := strings.Count(plain(b.bus.log), "Interrupt received."); n > 1 {
				t.Errorf("terraform was interrupted %d times", n)
			}
		})
	}
}

func TestStateIsStoredWhileTheApplyRuns(t *testing.T) {
	t.Parallel()
	gate := filepath.Join(t.TempDir(), "go")
	files := map[string]string{"main.tf": strings.Replace(slow, "sleep 60", "while [ ! -e "+gate+" ]; do sleep 0.02; done", 1)}
	b := setup(t, messages.PhaseApply, files)
	b.plan = planOf(t, files)
	b.stored = make(chan struct{}, 10)
	ended := make(chan int, 1)
	go func() { ended <- runner.Run(t.Context(), b.assign, b.cfg) }()
	select {
	case <-b.stored: // terraform waits for us, so this is not the upload of the end
	case <-t.Context().Done():
		t.Fatal("no state was stored during the apply")
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if code := <-ended; code != runner.ExitDelivered {
		t.Fatalf("exit code: got %d\n%s", code, b.bus.log)
	}
	if got := b.onlyResult(t); got.State == nil || !strings.Contains(string(b.state), `"name": "slow"`) {
		t.Errorf("got %+v, want the final state stored: %s", got, b.state)
	}
}

func TestCancelHeaderBeforeTerraform(t *testing.T) {
	t.Parallel()
	b := setup(t, messages.PhasePlan, map[string]string{"main.tf": oneResource})
	b.cancelHeader = "cancel"
	b.run(t, runner.ExitRefused)
	if len(b.results) != 0 {
		t.Errorf("got results %+v, want none for what has not started", b.results)
	}
}

func TestPlanStopsWithoutItsLease(t *testing.T) {
	t.Parallel()
	b := setup(t, messages.PhasePlan, map[string]string{"main.tf": oneResource})
	b.onStart = func() { close(b.bus.lost) }
	b.run(t, runner.ExitUnavailable)
	if len(b.results) != 0 || b.plan != nil {
		t.Errorf("got results %+v, want none: the server queues a lost plan again", b.results)
	}
}

func TestApplyGoesOnWithoutItsLease(t *testing.T) {
	t.Parallel()
	files := map[string]string{"main.tf": oneResource}
	b := setup(t, messages.PhaseApply, files)
	b.plan = planOf(t, files)
	b.onStart = func() { close(b.bus.lost) }
	b.run(t, runner.ExitDelivered)
	if got := b.onlyResult(t); got.Outcome != wire.OutcomeSucceeded {
		t.Errorf("got %+v, want success", got)
	}
}

func TestResultAndLogAreRetried(t *testing.T) {
	t.Parallel()
	b := setup(t, messages.PhasePlan, map[string]string{"main.tf": oneResource})
	b.resultFailing, b.bus.failing = 2, 3
	b.run(t, runner.ExitDelivered)
	b.onlyResult(t)
	if got := len(slices.DeleteFunc(b.order, func(s string) bool { return s != "result" })); got != 3 {
		t.Errorf("the result was sent %d times, want 3", got)
	}
}

func TestNoLease(t *testing.T) {
	t.Parallel()
	b := setup(t, messages.PhasePlan, map[string]string{"main.tf": oneResource})
	b.bus.noLease, b.assign.SetupLimit = true, 300*time.Millisecond
	b.run(t, runner.ExitUnavailable)
	if len(b.starts) != 0 {
		t.Errorf("started without a lease")
	}
}

func TestSecondRunnerOfTheSameFolder(t *testing.T) {
	t.Parallel()
	b := setup(t, messages.PhasePlan, map[string]string{"main.tf": oneResource})
	second := make(chan int, 1)
	b.onStart = func() { second <- runner.Run(context.Background(), b.assign, b.cfg) }
	b.run(t, runner.ExitDelivered)
	if got := <-second; got != runner.ExitRefused {
		t.Errorf("second runner: got exit code %d, want %d", got, runner.ExitRefused)
	}
}

func TestFolderOfAStartedAttemptIsLeftAlone(t *testing.T) {
	t.Parallel()
	files := map[string]string{"main.tf": oneResource}
	b := setup(t, messages.PhaseApply, files)
	b.plan = planOf(t, files)
	b.run(t, runner.ExitDelivered)
	state := filepath.Join(b.assign.Dir, "state")
	before, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	b.run(t, runner.ExitRefused)
	if after, err := os.ReadFile(state); err != nil || string(after) != string(before) {
		t.Errorf("the state of the first runner was touched: %s, %v", after, err)
	}
	if len(b.starts) != 1 {
		t.Errorf("got %d starts, want 1", len(b.starts))
	}
}

func TestCancelWithTheStartIsAResult(t *testing.T) {
	t.Parallel()
	b := setup(t, messages.PhasePlan, map[string]string{"main.tf": oneResource})
	b.onStart = func() { b.bus.command(messages.Command{AttemptID: b.assign.Claim.AttemptID, Cancel: true}) }
	b.run(t, runner.ExitDelivered)
	if got := b.onlyResult(t); got.Outcome != wire.OutcomeCanceled {
		t.Errorf("got %+v, want canceled: the server has recorded the start", got)
	}
}

func TestBadAssignment(t *testing.T) {
	t.Parallel()
	b := setup(t, messages.PhasePlan, nil)
	b.assign.Dir = "relative"
	b.run(t, runner.ExitContract)
}
