package tfe_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// TestPipelinesAreWhatTheySay reads the pipelines of docs/ci.md as their platforms would, and looks whether they name actions and
// inputs that HashiCorp's have (tfc-workflows-github v1.3.2). TestCIWorkflow makes the calls that these make.
func TestPipelinesAreWhatTheySay(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/ci.md")
	must(t, err)
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	equal(t, "pipelines", len(blocks), 2)
	var github struct {
		Env  map[string]string
		Jobs map[string]struct {
			Steps []struct {
				Uses, ID, If string
				With         map[string]string
			}
		}
	}
	must(t, yaml.Unmarshal([]byte(blocks[0][1]), &github))
	inputs := map[string][]string{
		"upload-configuration": {"workspace", "directory", "speculative", "provisional"},
		"create-run":           {"workspace", "configuration_version", "plan_only", "message", "is_destroy", "save_plan", "target", "allow_config_generation"},
		"apply-run":            {"run", "comment"},
	}
	var used []string
	for _, step := range github.Jobs["terraform"].Steps {
		name, ours := strings.CutPrefix(step.Uses, "hashicorp/tfc-workflows-github/actions/")
		if !ours {
			continue
		}
		name, _, _ = strings.Cut(name, "@")
		used = append(used, name)
		for input := range step.With {
			if !slices.Contains(inputs[name], input) {
				t.Errorf("action %s has no input %s", name, input)
			}
		}
	}
	if want := []string{"upload-configuration", "create-run", "apply-run"}; !slices.Equal(used, want) {
		t.Errorf("got actions %q, want %q", used, want)
	}
	var gitlab struct {
		Variables map[string]string
		Plan      struct {
			Image  string
			Script []string
		}
	}
	must(t, yaml.Unmarshal([]byte(blocks[1][1]), &gitlab))
	for _, env := range []map[string]string{github.Env, gitlab.Variables} {
		for _, name := range []string{"TF_HOSTNAME", "TF_CLOUD_ORGANIZATION", "TF_WORKSPACE"} {
			if env[name] == "" {
				t.Errorf("a pipeline does not say %s", name)
			}
		}
	}
	if len(gitlab.Plan.Script) < 3 {
		t.Errorf("got script %q, want it to upload and to create a run", gitlab.Plan.Script)
	}
}
