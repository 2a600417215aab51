package runner_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/workers/runner"
)

// secretive prints its secrets in every way there is.
const secretive = `
variable "password" {}
variable "key" {}
variable "list" { type = list(string) }
variable "plain" {}
resource "terraform_data" "a" {
  input = [var.password, var.key, var.list, var.plain, jsonencode({ p = var.password })]
  provisioner "local-exec" { command = "echo token $TOKEN, plain $PLAIN, level $TF_CLI_ARGS_apply; printf '%s\n' \"$KEY\"" }
}
output "all" { value = [var.password, var.key] }`

func secretVariables() []wire.Variable {
	const key = "-----BEGIN KEY-----\ngeheimAAAA\ngeheimBBBB\n-----END KEY-----\n"
	return []wire.Variable{
		{Key: "password", Value: `geheim"quoted"\${x}`, Category: wire.CategoryTerraform, Sensitive: true},
		{Key: "key", Value: key, Category: wire.CategoryTerraform, Sensitive: true},
		{Key: "list", Value: "[\n  \"geheim1\",\n  \"geheim2\",\n]", Category: wire.CategoryTerraform, HCL: true, Sensitive: true},
		{Key: "plain", Value: "seen", Category: wire.CategoryTerraform},
		{Key: "undeclared", Value: "geheimnis", Category: wire.CategoryTerraform, Sensitive: true},
		{Key: "1st", Value: "of no use", Category: wire.CategoryTerraform},
		{Key: "TOKEN", Value: "geheimtoken", Category: wire.CategoryEnv, Sensitive: true},
		{Key: "KEY", Value: key, Category: wire.CategoryEnv, Sensitive: true},
		{Key: "PLAIN", Value: "visible", Category: wire.CategoryEnv},
		{Key: "TFE_PARALLELISM", Value: "3", Category: wire.CategoryEnv},
	}
}

// checkMasked checks that what was streamed has the texts and no secret, and is what its end and the result say.
func (b *bundle) checkMasked(t *testing.T, shows ...string) {
	t.Helper()
	log := string(b.bus.log)
	if strings.Contains(log, "geheim") {
		t.Errorf("the log has a secret:\n%s", log)
	}
	for _, want := range shows {
		if !strings.Contains(log, want) {
			t.Errorf("the log has no %q:\n%s", want, log)
		}
	}
	sum := sha256.Sum256(b.bus.log)
	digest, size, got := hex.EncodeToString(sum[:]), int64(len(b.bus.log)), b.results[len(b.results)-1]
	if b.bus.size != size || b.bus.sha256 != digest || got.LogSize != size || got.LogSHA256 != digest {
		t.Errorf("got %d bytes %s, end %d %s, result %d %s, want the same", size, digest, b.bus.size, b.bus.sha256, got.LogSize, got.LogSHA256)
	}
}

// checkForgotten checks that no file of the attempt tells a secret, but for terraform's own state and plan.
func checkForgotten(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || d.Name() == "plan.bin" || strings.Contains(d.Name(), "state") {
			return err
		}
		content, err := os.ReadFile(path)
		if bytes.Contains(content, []byte("geheim")) {
			t.Errorf("%s has a secret", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestVariablesReachTerraformAndNotTheLog(t *testing.T) {
	t.Parallel()
	files := map[string]string{"main.tf": secretive, "terraform.tfvars": "plain = \"weaker\"\n", "zz.auto.tfvars": "plain = \"weaker too\"\n"}
	plan := setup(t, messages.PhasePlan, files)
	plan.assign.Claim.Inputs.Variables = secretVariables()
	plan.run(t, runner.ExitDelivered)
	plan.checkMasked(t, `"seen"`, "***", `The root module does not declare a variable named "undeclared"`, `workspace-variables.auto.tfvars`)
	checkForgotten(t, plan.assign.Dir)

	apply := setup(t, messages.PhaseApply, files)
	apply.assign.Claim.Inputs.Variables = secretVariables()
	apply.plan = plan.plan
	apply.run(t, runner.ExitDelivered)
	apply.checkMasked(t, "token ***, plain visible, level -parallelism=3", "***\n")
	checkForgotten(t, apply.assign.Dir)
	if got := string(apply.state); !strings.Contains(got, `geheim\"quoted\"\\${x}`) || !strings.Contains(got, `"seen"`) {
		t.Errorf("got state %s, want the values in it as they were given", got)
	}
}

func TestAFailureDoesNotTellSecrets(t *testing.T) {
	t.Parallel()
	b := setup(t, messages.PhasePlan, map[string]string{"main.tf": `
		variable "password" {
		  validation {
		    condition     = length(var.password) > 99
		    error_message = "not long enough: ${var.password}"
		  }
		}`})
	b.assign.Claim.Inputs.Variables = secretVariables()
	b.run(t, runner.ExitDelivered)
	b.checkMasked(t, "not long enough: ***", "on workspace-variables.auto.tfvars line 1")
	if got := b.results[0]; got.Outcome != wire.OutcomeFailed || got.Message == "" || strings.Contains(got.Message, "geheim") {
		t.Errorf("got %+v, want a failure without a secret", got)
	}
	checkForgotten(t, b.assign.Dir)
}

func TestARecoveryForgetsSecretsToo(t *testing.T) {
	t.Parallel()
	b := setup(t, messages.PhasePlan, map[string]string{"main.tf": secretive})
	b.assign.Claim.Inputs.Variables = secretVariables()
	b.assign.Claim.Inputs.Options.PlanOnly = true
	b.assign.OfflineLimit, b.resultFailing = 3*time.Second, 1000
	b.run(t, runner.ExitUnavailable)
	b.resultFailing, b.bus.log = 0, nil
	b.assign.Recover = true
	b.run(t, runner.ExitDelivered)
	b.checkMasked(t, `"seen"`, "***")
	checkForgotten(t, b.assign.Dir)
}

func TestARefusedStartForgetsSecrets(t *testing.T) {
	t.Parallel()
	b := setup(t, messages.PhasePlan, map[string]string{"main.tf": secretive})
	b.assign.Claim.Inputs.Variables = secretVariables()
	b.bus.noLease, b.assign.SetupLimit = true, time.Second
	b.run(t, runner.ExitUnavailable)
	checkForgotten(t, b.assign.Dir)
}
