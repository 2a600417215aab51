package terraform_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gantry.example/internal/wire"
	"gantry.example/workers/terraform"
)

// remembering is a run of a configuration whose inits are remembered in the folder.
func remembering(t *testing.T, inits string, files map[string]string) terraform.SessionConfig {
	t.Helper()
	cfg := work(t, files)
	cfg.Inits, cfg.Configuration = inits, "sum"
	return cfg
}

// prepared opens the session, prepares its root as a runner does and reports whether init was recalled.
func prepared(t *testing.T, cfg terraform.SessionConfig) (*terraform.Session, bool) {
	t.Helper()
	s, err := terraform.NewSession(cfg)
	if err != nil {
		t.Fatal(err)
	}
	recalled, err := s.Recall()
	if err != nil {
		t.Fatal(err)
	}
	if !recalled {
		if err := s.Init(t.Context()); err != nil {
			t.Fatalf("init: %v\n%s", err, read(t, cfg.Output))
		}
		if err := s.Remember(); err != nil {
			t.Fatal(err)
		}
	}
	return s, recalled
}

// TestInitIsRecalled: a second run of the same configuration needs no init and plans the same; another one does.
func TestInitIsRecalled(t *testing.T) {
	t.Parallel()
	inits := t.TempDir()
	files := map[string]string{
		"main.tf":         "module \"part\" {\n  source = \"./part\"\n}\n",
		"part/main.tf":    "resource \"terraform_data\" \"x\" {\n  input = 1\n}\n",
		"part/outputs.tf": "output \"x\" { value = terraform_data.x.output }\n",
	}
	var recalls, changes []bool
	for _, change := range []func(*terraform.SessionConfig){
		func(*terraform.SessionConfig) {},
		func(c *terraform.SessionConfig) { c.Env = append(c.Env, "TFC_RUN_ID=run-other", "TRACEPARENT=00-1") },
		func(c *terraform.SessionConfig) { c.Configuration = "another sum" },
		func(c *terraform.SessionConfig) { c.Env = append(c.Env, "TF_CLI_ARGS_init=-get=true") },
	} {
		cfg := remembering(t, inits, files)
		change(&cfg)
		s, recalled := prepared(t, cfg)
		recalls = append(recalls, recalled)
		has, err := s.Plan(t.Context(), wire.RunOptions{}, filepath.Join(cfg.Dir, "plan.bin"))
		if err != nil {
			t.Fatalf("plan: %v\n%s", err, read(t, cfg.Output))
		}
		changes = append(changes, has)
	}
	if diff := cmp.Diff([]bool{false, true, false, false}, recalls); diff != "" {
		t.Errorf("recalled (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]bool{true, true, true, true}, changes); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

// TestProvidersAreRecalledFromTheSharedCacheOnly: with a complete lock file and its packages at hand there is no init; when
// they are gone there is one.
func TestProvidersAreRecalledFromTheSharedCacheOnly(t *testing.T) {
	t.Parallel()
	mirror, _ := packedMirror(t, "1.0.0")
	shared, inits := t.TempDir(), t.TempDir()
	first := pluginRun(t, mirror, shared, "")
	s, _ := prepared(t, first)
	if err := s.KeepPlugins(); err != nil {
		t.Fatal(err)
	}
	lock, err := os.ReadFile(filepath.Join(first.Root, ".terraform.lock.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	var got []bool
	for i := range 4 {
		cfg := pluginRun(t, mirror, shared, string(lock))
		cfg.Inits, cfg.Configuration = inits, "sum"
		if i == 3 {
			cfg.SharedPlugins = t.TempDir()
		}
		_, recalled := prepared(t, cfg)
		got = append(got, recalled)
		plugin := filepath.Join(cfg.Root, ".terraform", "providers", "registry.terraform.io", "acme", "fake", "1.0.0", platform)
		if _, err := os.Stat(filepath.Join(plugin, "terraform-provider-fake_v1.0.0")); err != nil {
			t.Errorf("run %d: %v", i, err)
		}
	}
	if diff := cmp.Diff([]bool{false, true, true, false}, got); diff != "" {
		t.Errorf("recalled (-want +got):\n%s", diff)
	}
}
