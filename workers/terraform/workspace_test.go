package terraform_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gantry.example/workers/terraform"
)

func TestNamesWorkspace(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		file, text string
		want       bool
	}{
		"no":              {"main.tf", `output "x" { value = 1 }`, false},
		"root":            {"main.tf", `output "x" { value = terraform.workspace }`, true},
		"module":          {"modules/a/main.tf", `locals { w = "${terraform.workspace}" }`, true},
		"JSON":            {"main.tf.json", `{"output":{"x":{"value":"${terraform.workspace}"}}}`, true},
		"tofu":            {"main.tofu", `output "x" { value = tofu.workspace }`, true},
		"another file":    {"README.md", `terraform.workspace`, false},
		"of an old init":  {".terraform/modules/a/main.tf", `locals { w = terraform.workspace }`, false},
		"template":        {"x.tftpl", `${terraform.workspace}`, true}, // costs time, nothing else
		"only a provider": {"main.tf", `provider "x" { workspace = "y" }`, false},
	} {
		root := t.TempDir()
		path := filepath.Join(root, tt.file)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := terraform.NamesWorkspace(nil, root); err != nil || got != tt.want {
			t.Errorf("%s: got %v, %v, want %v", name, got, err, tt.want)
		}
	}
}

// TestWorkspaceName plans and applies with the name of a workspace, and finds the state where every other one is.
func TestWorkspaceName(t *testing.T) {
	t.Parallel()
	cfg := work(t, map[string]string{"main.tf": `
		resource "terraform_data" "x" { input = terraform.workspace }
		output "x" { value = terraform_data.x.output }`})
	cfg.Workspace = "net-eu"
	s, plan := planned(t, cfg)
	if err := s.Apply(t.Context(), plan); err != nil {
		t.Fatalf("%v\n%s", err, read(t, cfg.Output))
	}
	state, _, err := terraform.NewestState(nil, cfg.Root)
	if err != nil || !strings.Contains(string(state), `"value": "net-eu"`) {
		t.Errorf("got state %s, %v, want the workspace's name in it", state, err)
	}
}
