package runner_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/workers/runner"
)

// runPod carries the attempt out as a Pod does: its inputs are files, the values of variables come from the API. It returns what
// the Pod's status would show.
func (b *bundle) runPod(t *testing.T) (code int, end runner.Termination) {
	t.Helper()
	b.overNATS(t)
	b.inputs = b.assign.Claim.Inputs
	b.inputs.Variables = []wire.Variable{{Key: "name", Value: "from the API", Category: wire.CategoryTerraform}}
	content, err := json.Marshal(b.assign)
	if err != nil {
		t.Fatal(err)
	}
	file, message := filepath.Join(t.TempDir(), "assignment.json"), filepath.Join(t.TempDir(), "termination")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := processNamed(t, "pod-process", file, message)
	_ = cmd.Run()
	text, err := os.ReadFile(message)
	if err != nil {
		t.Fatal(err)
	}
	end, ok := runner.ReadTermination(string(text))
	if !ok {
		t.Fatalf("termination message %q is not readable", text)
	}
	return cmd.ProcessState.ExitCode(), end
}

const named = `variable "name" {}
resource "terraform_data" "a" { input = var.name }
output "is" { value = var.name }`

func TestPodTakesItsConfigurationFromAFile(t *testing.T) {
	t.Parallel()
	b := setup(t, messages.PhasePlan, map[string]string{"main.tf": named})
	b.place(t, b.configuration)
	b.configuration = nil // a download would fail
	code, got := b.runPod(t)
	if want := (runner.Termination{Delivered: true, Outcome: wire.OutcomeSucceeded}); code != 0 || got != want {
		t.Errorf("got exit code %d and %+v, want 0 and %+v", code, got, want)
	}
	if len(b.results) != 1 || b.results[0].CarryOn != "" {
		t.Errorf("got results %+v, want one that does not offer to go on with the apply", b.results)
	}
}

func TestPodSaysThatTerraformFailed(t *testing.T) {
	t.Parallel()
	b := setup(t, messages.PhasePlan, map[string]string{"main.tf": "nonsense"})
	code, got := b.runPod(t)
	want := runner.Termination{Code: runner.ExitFailed, Delivered: true, Outcome: wire.OutcomeFailed}
	if diff := cmp.Diff(want, got); diff != "" || code != runner.ExitFailed {
		t.Errorf("exit code %d, termination (-want +got):\n%s", code, diff)
	}
}

// TestPodRefusesAnotherConfiguration: what was downloaded is compared with the digest that the Pod came with.
func TestPodRefusesAnotherConfiguration(t *testing.T) {
	t.Parallel()
	b := setup(t, messages.PhasePlan, map[string]string{"main.tf": named})
	b.place(t, nil)
	_, got := b.runPod(t)
	if !got.Delivered || len(b.results) != 1 || b.results[0].Code != messages.CodeRunSetupFailed || len(b.starts) != 0 {
		t.Errorf("got %+v, results %+v, want one failure of the setup and no start", got, b.results)
	}
}

// place puts the files of a ConfigMap where the assignment says. Without an archive the digest is that of another.
func (b *bundle) place(t *testing.T, archive []byte) {
	t.Helper()
	b.assign.Configuration = t.TempDir()
	sum := sha256.Sum256(archive)
	if err := os.WriteFile(filepath.Join(b.assign.Configuration, runner.FileDigest), []byte(hex.EncodeToString(sum[:])), 0o600); err != nil {
		t.Fatal(err)
	}
	if archive == nil {
		return
	}
	if err := os.WriteFile(filepath.Join(b.assign.Configuration, runner.FileConfiguration), archive, 0o600); err != nil {
		t.Fatal(err)
	}
}
