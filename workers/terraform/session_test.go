package terraform_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gantry.example/internal/wire"
	"gantry.example/workers/terraform"
	"gantry.example/workers/terraform/shim"
)

func planOptions() wire.RunOptions { return wire.RunOptions{} }

func summary(t *testing.T, cfg terraform.SessionConfig) terraform.Summary {
	t.Helper()
	s, err := terraform.ReadSummary(strings.NewReader(read(t, cfg.Output)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPlanThenApplyInAnotherFolder(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"main.tf": `
			terraform {
			  cloud {
			    organization = "acme"
			    workspaces { name = "net" }
			  }
			}
			variable "size" { type = number }
			variable "TFC_RUN_ID" {}
			module "m" {
			  source = "./m"
			  size   = var.size
			}
			output "run" { value = var.TFC_RUN_ID }
			output "home" { value = module.m.home }`,
		"m/main.tf": `
			variable "size" {}
			resource "terraform_data" "a" { input = var.size }
			output "home" { value = pathexpand("~") }`,
		"zzzz_override.tf":  "terraform {\n backend \"http\" {}\n}\n",
		"zzzz.auto.tfvars":  "size = 1\n",
		"terraform.tfstate": "smuggled",
	}
	planning := work(t, files)
	planning.Env = []string{"TF_VAR_TFC_RUN_ID=run-1", "TF_VAR_undeclared=x"}
	planning.Variables = []wire.Variable{{Key: "size", Value: "2 + 40", Category: wire.CategoryTerraform, HCL: true}}
	s := open(t, planning)
	plan := filepath.Join(planning.Dir, "plan.bin")
	if err := s.Init(t.Context()); err != nil {
		t.Fatalf("init: %v\n%s", err, read(t, planning.Output))
	}
	hasChanges, err := s.Plan(t.Context(), planOptions(), plan)
	if err != nil || !hasChanges {
		t.Fatalf("plan: got %v, %v, want changes\n%s", hasChanges, err, read(t, planning.Output))
	}
	if diff := cmp.Diff(&wire.Changes{Add: 1}, summary(t, planning).Changes); diff != "" {
		t.Errorf("plan summary (-want +got):\n%s", diff)
	}
	planJSON, err := shown(t, s, plan)
	if err != nil || !json.Valid(planJSON) || !strings.Contains(string(planJSON), `"format_version"`) {
		t.Errorf("plan JSON: got %.80s, %v", planJSON, err)
	}

	applying := work(t, files)
	applying.Env, applying.Variables = planning.Env, planning.Variables
	s = open(t, applying)
	for _, step := range []func() error{
		func() error { return s.UsePlanLock(plan) },
		func() error { return s.Init(t.Context()) },
		func() error { return s.Apply(t.Context(), plan) },
	} {
		if err := step(); err != nil {
			t.Fatalf("apply: %v\n%s", err, read(t, applying.Output))
		}
	}
	state, _, err := terraform.NewestState(nil, applying.Root)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"value": 42`, `"value": "run-1"`, planning.Dir + "/home"} {
		if !strings.Contains(string(state), want) {
			t.Errorf("state has no %s:\n%s", want, state)
		}
	}
	if diff := cmp.Diff(&wire.Changes{Add: 1}, summary(t, applying).Changes); diff != "" {
		t.Errorf("apply summary (-want +got):\n%s", diff)
	}
}

func TestNoChangesFromState(t *testing.T) {
	t.Parallel()
	files := map[string]string{"main.tf": `resource "terraform_data" "a" { input = 1 }`}
	first := work(t, files)
	s, plan := planned(t, first)
	if err := s.Apply(t.Context(), plan); err != nil {
		t.Fatalf("%v\n%s", err, read(t, first.Output))
	}
	second := work(t, files)
	var err error
	if second.State, _, err = terraform.NewestState(nil, first.Root); err != nil {
		t.Fatal(err)
	}
	hasChanges, err := initialized(t, second).Plan(t.Context(), planOptions(), filepath.Join(second.Dir, "plan.bin"))
	if err != nil || hasChanges {
		t.Errorf("got %v, %v, want no changes\n%s", hasChanges, err, read(t, second.Output))
	}
	destroy := work(t, files)
	destroy.State = second.State
	hasChanges, err = initialized(t, destroy).Plan(t.Context(), wire.RunOptions{Destroy: true}, filepath.Join(destroy.Dir, "plan.bin"))
	if err != nil || !hasChanges {
		t.Errorf("destroy: got %v, %v, want changes", hasChanges, err)
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, config, want string }{
		{"broken HCL", `resource "terraform_data" {`, "Unclosed configuration block"},
		{"unknown reference", `output "x" { value = local.nope }`, "Reference to undeclared local value"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := work(t, map[string]string{"main.tf": tt.config})
			s := open(t, cfg)
			err := s.Init(t.Context())
			if err == nil {
				_, err = s.Plan(t.Context(), planOptions(), filepath.Join(cfg.Dir, "plan.bin"))
			}
			if !terraform.Failed(err) || errors.Is(err, terraform.ErrCanceled) {
				t.Errorf("got error %v, want terraform's own failure", err)
			}
			if got := summary(t, cfg).Error; !strings.Contains(got, tt.want) {
				t.Errorf("summary: got %q, want %q\n%s", got, tt.want, read(t, cfg.Output))
			}
		})
	}
}

func TestBadVariableName(t *testing.T) {
	t.Parallel()
	cfg := work(t, map[string]string{"main.tf": ""})
	cfg.Variables = []wire.Variable{{Key: "a = 1\nb", Value: "2", Category: wire.CategoryTerraform, HCL: true}}
	if _, err := terraform.NewSession(cfg); err == nil || !strings.Contains(err.Error(), "is not the name of a variable") {
		t.Errorf("got %v, want a refusal", err)
	}
}

// slowApply has one finished resource and one whose provisioner prints and then waits for a file named go.
func slowApply(t *testing.T) (cfg terraform.SessionConfig, gate string) {
	t.Helper()
	gate = filepath.Join(t.TempDir(), "go")
	cfg = work(t, map[string]string{"main.tf": `
		resource "terraform_data" "fast" { input = 1 }
		resource "terraform_data" "slow" {
		  depends_on = [terraform_data.fast]
		  provisioner "local-exec" { command = "echo streaming now; while [ ! -e ` + gate + ` ]; do sleep 0.02; done" }
		}`})
	return cfg, gate
}

// initialized opens the session with init done.
func initialized(t *testing.T, cfg terraform.SessionConfig) *terraform.Session {
	t.Helper()
	s := open(t, cfg)
	if err := s.Init(t.Context()); err != nil {
		printed, _ := os.ReadFile(cfg.Output) // perhaps it did not even start
		t.Fatalf("init: %v\n%s", err, printed)
	}
	return s
}

// planned opens the session with its plan made.
func planned(t *testing.T, cfg terraform.SessionConfig) (s *terraform.Session, plan string) {
	t.Helper()
	s = initialized(t, cfg)
	plan = filepath.Join(cfg.Dir, "plan.bin")
	if _, err := s.Plan(t.Context(), planOptions(), plan); err != nil {
		t.Fatalf("plan: %v\n%s", err, read(t, cfg.Output))
	}
	return s, plan
}

func awaitOutput(t *testing.T, cfg terraform.SessionConfig, text string) {
	t.Helper()
	eventually(t, "output "+text, func() bool {
		b, err := os.ReadFile(cfg.Output)
		return err == nil && strings.Contains(plain(b), text)
	})
}

func TestCancelKeepsState(t *testing.T) {
	t.Parallel()
	cfg, _ := slowApply(t)
	s, plan := planned(t, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	applied := make(chan error, 1)
	go func() { applied <- s.Apply(ctx, plan) }()
	awaitOutput(t, cfg, "(local-exec): streaming now")
	cancel()
	err := <-applied
	if !errors.Is(err, terraform.ErrCanceled) || errors.Is(err, terraform.ErrKilled) {
		t.Errorf("got %v, want canceled and not killed", err)
	}
	state, _, err := terraform.NewestState(nil, cfg.Root)
	if err != nil || !strings.Contains(string(state), `"name": "fast"`) {
		t.Errorf("state after cancel: got %s, %v, want the finished resource", state, err)
	}
	if got := strings.Count(read(t, cfg.Output), "Interrupt received."); got != 1 {
		t.Errorf("got %d interrupts in the log, want 1", got)
	}
}

func TestCancelBeforeAndAtStart(t *testing.T) {
	t.Parallel()
	cfg, _ := slowApply(t)
	s, plan := planned(t, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Apply(ctx, plan); !errors.Is(err, terraform.ErrCanceled) {
		t.Errorf("canceled before: got %v, want canceled", err)
	}
	for i := range 50 { // in the middle of the start: terraform-exec must not abandon the process
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*40*time.Microsecond)
		err := s.Apply(ctx, plan)
		cancel()
		if !errors.Is(err, terraform.ErrCanceled) {
			t.Errorf("canceled after %d µs: got %v, want canceled", 40*i, err)
		}
		if alive, err := terraform.Alive(cfg.Dir); err != nil || alive {
			t.Fatalf("after the canceled call returned: alive %v, %v, want no process", alive, err)
		}
	}
}

// deafEngine ignores every signal it can, and starts a process that leaves its group and session.
const deafEngine = `#!/bin/sh
trap '' INT TERM
setsid sleep 300 &
echo deaf
while :; do sleep 0.05; done
`

func TestWholeTreeIsKilledAfterGrace(t *testing.T) {
	t.Parallel()
	cfg := work(t, map[string]string{"main.tf": ""})
	cfg.Grace = 200 * time.Millisecond
	cfg.Engine.Path = filepath.Join(t.TempDir(), "terraform")
	if err := os.WriteFile(cfg.Engine.Path, []byte(deafEngine), 0o700); err != nil {
		t.Fatal(err)
	}
	s := open(t, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Init(ctx) }()
	awaitOutput(t, cfg, "deaf")
	cancel()
	if err := <-ended; !errors.Is(err, terraform.ErrCanceled) || !errors.Is(err, terraform.ErrKilled) {
		t.Errorf("got %v, want canceled and killed", err)
	}
	if alive, err := terraform.Alive(cfg.Dir); err != nil || alive {
		t.Errorf("alive: %v, %v, want nothing left of the tree", alive, err)
	}
}

func TestCloseEndsWhatProvisionersLeft(t *testing.T) {
	t.Parallel()
	cfg := work(t, map[string]string{"main.tf": `
		resource "terraform_data" "leaves" {
		  provisioner "local-exec" { command = "setsid sleep 300 >/dev/null 2>&1 &" }
		}`})
	s, plan := planned(t, cfg)
	if err := s.Apply(t.Context(), plan); err != nil {
		t.Fatalf("%v\n%s", err, read(t, cfg.Output))
	}
	eventually(t, "the background process", func() bool { alive, _ := terraform.Alive(cfg.Dir); return alive })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if alive, err := terraform.Alive(cfg.Dir); err != nil || alive {
		t.Errorf("alive: %v, %v, want the background process ended", alive, err)
	}
}

func TestForce(t *testing.T) {
	t.Parallel()
	cfg, _ := slowApply(t)
	s, plan := planned(t, cfg)
	applied := make(chan error, 1)
	go func() { applied <- s.Apply(t.Context(), plan) }()
	awaitOutput(t, cfg, "(local-exec): streaming now")
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := <-applied; !errors.Is(err, terraform.ErrKilled) {
		t.Errorf("got %v, want killed", err)
	}
}

func TestTerraformSurvivesItsParent(t *testing.T) {
	t.Parallel()
	cfg, gate := slowApply(t)
	input, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = terraform.KillTree(cfg.Dir, false) })
	parent := exec.Command(as(t, parentName))
	parent.Stdin = strings.NewReader(string(input))
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	awaitOutput(t, cfg, "(local-exec): streaming now")
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	if alive, err := terraform.Alive(cfg.Dir); err != nil || !alive {
		t.Fatalf("alive: %v, %v, want terraform to go on without its parent", alive, err)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	awaitOutput(t, cfg, "Apply complete! Resources: 2 added")
	eventually(t, "the end of terraform", func() bool {
		alive, err := terraform.Alive(cfg.Dir)
		return err == nil && !alive
	})
	if !strings.Contains(read(t, filepath.Join(cfg.Root, "terraform.tfstate")), `"name": "slow"`) {
		t.Error("the state lacks what was applied after the parent's death")
	}
}

func TestShimWantsAPrivateSpec(t *testing.T) {
	t.Parallel()
	spec := filepath.Join(t.TempDir(), "spec.json")
	if err := os.WriteFile(spec, []byte(`{"engine":"/bin/true"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(spec, 0o644); err != nil { // whatever the umask
		t.Fatal(err)
	}
	program := as(t, shim.Name)
	for want, env := range map[string][]string{
		"started by a Gantry runner": {},
		"it must be 0600":            {shim.SpecVariable + "=" + spec},
	} {
		cmd := exec.Command(program, "plan")
		cmd.Env = env
		out, _ := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != shim.ExitNotStarted || !strings.Contains(string(out), want) {
			t.Errorf("got exit code %d and %q, want %d and %q", cmd.ProcessState.ExitCode(), out, shim.ExitNotStarted, want)
		}
	}
}

func TestEnvironmentIsBuiltNotInherited(t *testing.T) {
	t.Setenv("GANTRY_TEST_SECRET", "hunter2")
	t.Setenv("TF_CLI_ARGS", "-nonsense")
	cfg := work(t, map[string]string{"main.tf": `
		resource "terraform_data" "env" {
		  provisioner "local-exec" { command = "env | sed s/^/ENV:/" }
		}`})
	cfg.Around = []string{"OF_THE_POD=seen", "OF_BOTH=pod", "HOME=/elsewhere", "TF_DATA_DIR=/elsewhere"}
	cfg.Variables = []wire.Variable{{Key: "OF_BOTH", Value: "variable", Category: wire.CategoryEnv}}
	s, plan := planned(t, cfg)
	if err := s.Apply(t.Context(), plan); err != nil {
		t.Fatalf("%v\n%s", err, read(t, cfg.Output))
	}
	log := read(t, cfg.Output)
	for _, bad := range []string{"hunter2", "GANTRY_EXEC_SPEC", "TF_CLI_ARGS=", "TF_DATA_DIR"} {
		if strings.Contains(log, bad) {
			t.Errorf("the run sees %s", bad)
		}
	}
	for _, want := range []string{"ENV:TF_IN_AUTOMATION=1", "ENV:TF_INPUT=0", "ENV:HOME=" + cfg.Dir + "/home", "ENV:TMPDIR=" + cfg.Dir + "/tmp", "ENV:OF_THE_POD=seen", "ENV:OF_BOTH=variable"} {
		if !strings.Contains(log, want) {
			t.Errorf("the run does not see %s:\n%s", want, log)
		}
	}
}

// shown is the plan in JSON.
func shown(t *testing.T, s *terraform.Session, plan string) ([]byte, error) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "plan.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := s.ShowPlanJSON(t.Context(), plan, f); err != nil {
		return nil, err
	}
	return os.ReadFile(f.Name())
}

// TestAPlanThatCannotBeShown says what the engine said.
func TestAPlanThatCannotBeShown(t *testing.T) {
	t.Parallel()
	s := open(t, work(t, map[string]string{"main.tf": ""}))
	if _, err := shown(t, s, filepath.Join(t.TempDir(), "none.bin")); err == nil || !strings.Contains(err.Error(), "terraform show: exit status 1") || !strings.Contains(err.Error(), "none.bin") {
		t.Errorf("got %v, want the engine's failure and its words", err)
	}
}
