package terraform_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/workers/terraform"
)

// fakeEngine is a program that tells its version and counts how often it was asked.
func fakeEngine(t *testing.T, name, version string) (dir, asked string) {
	t.Helper()
	dir, asked = t.TempDir(), filepath.Join(t.TempDir(), "asked")
	script := "#!/bin/sh\necho x >> " + asked + "\necho '{\"terraform_version\":\"" + version + "\"}'\n"
	if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir, asked
}

func TestLocate(t *testing.T) {
	t.Parallel()
	old, _ := fakeEngine(t, "terraform", "1.5.7")
	current, asked := fakeEngine(t, "terraform", "1.11.4")
	newer, _ := fakeEngine(t, "terraform", "1.12.0-dev")
	tofu, _ := fakeEngine(t, "tofu", "1.8.0")
	silent := t.TempDir()
	if err := os.WriteFile(filepath.Join(silent, "tofu"), []byte("#!/bin/sh\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	cache, path := t.TempDir(), strings.Join([]string{old, current, newer, silent, tofu}, string(os.PathListSeparator))
	releases := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(releases.Close)
	const terraformKind, tofuKind = messages.EngineTerraform, messages.EngineOpenTofu
	for _, tt := range []struct {
		version string
		engine  messages.Engine
		want    string // version, or text of the error
	}{
		{"", "", "1.5.7"},
		{"latest", "", "1.5.7"},
		{"1.11.4", "", "1.11.4"},
		{"v1.11.4", "", "1.11.4"},
		{">= 1.5, < 1.12", "", "1.11.4"},
		{"~> 1.11.0", terraformKind, "1.11.4"},
		{">= 1.5", terraformKind, "1.12.0-dev"},
		{"1.15.0-dev", "", "1.5.7"},
		{"1.12.0-dev", "", "1.12.0-dev"},
		{"", tofuKind, "1.8.0"},
		{"1.9.0", tofuKind, "tofu 1.9.0 could not be had: installing version 1.9.0 from http://127.0.0.1"},
		{"~> 1.9", tofuKind, "looking for a release at http://127.0.0.1"},
		{"0.0.1", "", "404 Not Found. Found on this machine: 1.5.7 ("},
		{"0.0.1", "", "start the server with a --terraform-mirror that has it."},
		{"what?", "", `"what?" is neither a version nor a version constraint`},
	} {
		got, err := terraform.Locate(t.Context(), terraform.LocateConfig{
			Version: tt.version, Engine: tt.engine, CacheDir: cache, Path: path,
			Releases: terraform.Releases{TerraformMirror: releases.URL, TofuMirror: releases.URL},
		})
		var missing *terraform.MissingError
		if errors.As(err, &missing) && strings.Contains(err.Error(), tt.want) && !strings.Contains(err.Error(), "\n") {
			continue
		}
		if err != nil || got.Version != tt.want || !got.Satisfies(tt.engine, tt.version) {
			t.Errorf("%s %q: got %+v, %v, want %s", tt.engine, tt.version, got, err, tt.want)
		}
	}
	if got := read(t, asked); got != "x\n" {
		t.Errorf("the program was asked %d times for its version, want once", strings.Count(got, "x"))
	}
}

func TestReadSummary(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		log  string
		want terraform.Summary
	}{
		{"Plan: 2 to add, 3 to change, 4 to destroy.\n", terraform.Summary{Changes: &wire.Changes{Add: 2, Change: 3, Destroy: 4}}},
		{"\x1b[1mPlan:\x1b[0m 1 to import, 2 to add, 3 to change, 4 to destroy.\x1b[0m\n", terraform.Summary{Changes: &wire.Changes{Import: 1, Add: 2, Change: 3, Destroy: 4}}},
		{"\x1b[1m\x1b[32m\nApply complete! Resources: 1 added, 2 changed, 3 destroyed.\x1b[0m", terraform.Summary{Changes: &wire.Changes{Add: 1, Change: 2, Destroy: 3}}},
		{"Apply complete! Resources: 5 imported, 1 added, 2 changed, 3 destroyed.\n", terraform.Summary{Changes: &wire.Changes{Import: 5, Add: 1, Change: 2, Destroy: 3}}},
		{"No changes. Your infrastructure matches the configuration.\n", terraform.Summary{Changes: &wire.Changes{}}},
		{strings.Repeat("long", 1<<16) + "\n╷\n│ Error: Invalid reference\n│ \n│ Error: second\n", terraform.Summary{Error: "Invalid reference"}},
		{"╷\n│ Error: Failed to query available provider packages\n│ \n│ Could not retrieve the list for provider\n│ hashicorp/nothere: no such\n│ host.\n│ \n│ To see more, do this\n╵\n",
			terraform.Summary{Error: "Failed to query available provider packages: Could not retrieve the list for provider hashicorp/nothere: no such host"}},
		{"Error: Unsupported argument\n\n  on main.tf line 7, in resource:\n   7: x = 1\n\nNo x here.\n", terraform.Summary{Error: "Unsupported argument"}},
		{"Error: OpenTofu encountered problems during initialization, including problems\nwith the configuration\n\nError: Duplicate\n\n  on x\n", terraform.Summary{Error: "Duplicate"}},
		{"Error: A\n\nsays a\n\n\nError: B\n\nsays b\n", terraform.Summary{Error: "A: says a"}},
		{"nothing", terraform.Summary{}},
	} {
		got, err := terraform.ReadSummary(strings.NewReader(tt.log))
		if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
			t.Errorf("%.60q: %v (-want +got):\n%s", tt.log, err, diff)
		}
	}
}

// TestWhatAnEngineReads: OpenTofu reads files with its own endings since 1.8, and terraform never does.
func TestWhatAnEngineReads(t *testing.T) {
	t.Parallel()
	terraformOf := func(version string) terraform.Engine {
		return terraform.Engine{Version: version, Engine: messages.EngineTerraform}
	}
	tofuOf := func(version string) terraform.Engine {
		return terraform.Engine{Version: version, Engine: messages.EngineOpenTofu}
	}
	for _, tt := range []struct {
		engine terraform.Engine
		file   string
		want   bool
	}{
		{terraformOf("1.11.4"), "main.tf", true},
		{terraformOf("1.11.4"), "main.tf.json", true},
		{terraformOf("1.11.4"), "main.tofu", false},
		{terraformOf("1.11.4"), "main.tofu.json", false},
		{terraformOf("1.11.4"), "terraform.tfvars", false},
		{tofuOf("1.7.9"), "main.tf", true},
		{tofuOf("1.6.0"), "main.tofu", false},
		{tofuOf("1.7.9"), "main.tofu", false},
		{tofuOf("1.7.9"), "main.tofu.json", false},
		{tofuOf("1.8.0"), "main.tofu", true},
		{tofuOf("1.10.2"), "main.tofu.json", true},
		{tofuOf("1.12.0-dev"), "main.tofu", true},
		{tofuOf(""), "main.tofu", false},
		{tofuOf("1.10.2"), "#main.tofu#", false},
		{tofuOf("1.10.2"), ".#main.tofu", false},
	} {
		root := t.TempDir()
		if err := os.WriteFile(filepath.Join(root, tt.file), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := tt.engine.HasConfiguration(nil, root); err != nil || got != tt.want {
			t.Errorf("%s %s, %s: got %v, %v, want %v", tt.engine.Engine, tt.engine.Version, tt.file, got, err, tt.want)
		}
	}
}
