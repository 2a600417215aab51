package terraform_test

import (
	"archive/zip"
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"gantry.example/workers/terraform"
)

// needsFake needs a provider that does nothing: init only unpacks it.
const needsFake = `
terraform {
  required_providers {
    fake = { source = "acme/fake" }
  }
}`

// packedMirror is a filesystem mirror with one zip, which init unpacks as it does with one from a registry.
func packedMirror(t *testing.T, version string) (dir, archive string) {
	t.Helper()
	dir = t.TempDir()
	archive = filepath.Join(dir, "registry.terraform.io", "acme", "fake", "terraform-provider-fake_"+version+"_"+platform+".zip")
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range []string{"terraform-provider-fake_v" + version, "LICENSE.txt", "docs/index.md"} {
		h := &zip.FileHeader{Name: name, Method: zip.Deflate}
		h.SetMode(0o755)
		f, err := z.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		f.Write([]byte("version " + version))
	}
	z.Close()
	write(t, archive, b.String())
	return dir, archive
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// pluginRun is a run that needs the provider, with or without a dependency lock file of its own.
func pluginRun(t *testing.T, mirror, shared, lock string) terraform.SessionConfig {
	t.Helper()
	files := map[string]string{"main.tf": needsFake}
	if lock != "" {
		files[".terraform.lock.hcl"] = lock
	}
	cfg := work(t, files)
	cfg.Providers.FilesystemMirror = mirror
	cfg.Plugins, cfg.SharedPlugins = filepath.Join(cfg.Dir, "plugins"), shared
	return cfg
}

// initAndKeep does what a runner does, and returns the lock file as init left it.
func initAndKeep(t *testing.T, cfg terraform.SessionConfig) string {
	t.Helper()
	s := open(t, cfg)
	if err := s.Init(t.Context()); err != nil {
		t.Fatalf("init: %v", err)
	}
	if err := s.KeepPlugins(); err != nil {
		t.Errorf("keep: %v", err)
	}
	return read(t, filepath.Join(cfg.Root, ".terraform.lock.hcl"))
}

// packages lists the packages of the provider in the shared cache.
func packages(t *testing.T, shared, version string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(shared, "registry.terraform.io", "acme", "fake", version, platform, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestPluginsAreShared(t *testing.T) {
	t.Parallel()
	mirror, archive := packedMirror(t, "1.2.3")
	shared := filepath.Join(t.TempDir(), "shared")
	lock := initAndKeep(t, pluginRun(t, mirror, shared, ""))
	kept := packages(t, shared, "1.2.3")
	if len(kept) != 1 {
		t.Fatalf("got %v in the shared cache, want one package", kept)
	}
	write(t, archive, "no zip any more")

	second := pluginRun(t, mirror, shared, lock)
	if again := initAndKeep(t, second); again != lock {
		t.Errorf("got lock file\n%s\nwant it unchanged\n%s", again, lock)
	}
	const plugin = "terraform-provider-fake_v1.2.3"
	a, errA := os.Stat(filepath.Join(second.Root, ".terraform/providers/registry.terraform.io/acme/fake/1.2.3", platform, plugin))
	b, errB := os.Stat(filepath.Join(kept[0], plugin))
	if errA != nil || errB != nil || !os.SameFile(a, b) || a.Mode().Perm() != 0o555 {
		t.Errorf("got %v, %v, %v, %v, want the same read-only file", a, errA, b, errB)
	}

	for name, lock := range map[string]string{
		"without a lock file":         "",
		"another hash":                regexp.MustCompile(`"h1:.....`).ReplaceAllString(lock, `"h1:AAAAA`),
		"a path instead of a version": strings.Replace(lock, `"1.2.3"`, `"../fake/1.2.3"`, 1),
	} {
		cfg := pluginRun(t, mirror, shared, lock)
		s := open(t, cfg)
		if err := s.Init(t.Context()); err == nil {
			t.Errorf("%s: init succeeded, want it to want the package that is spoilt", name)
		}
		if got, _ := filepath.Glob(cfg.Plugins + "/*/*/*/*/*/" + plugin); len(got) > 0 && name != "another hash" {
			t.Errorf("%s: the run was given %v, want nothing", name, got)
		}
	}
}

// TestPluginsOfConcurrentRuns: runs that start with nothing at the same time do not disturb each other, and leave one package.
func TestPluginsOfConcurrentRuns(t *testing.T) {
	t.Parallel()
	mirror, _ := packedMirror(t, "1.2.3")
	lock := initAndKeep(t, pluginRun(t, mirror, t.TempDir(), ""))
	shared := filepath.Join(t.TempDir(), "shared")
	var all sync.WaitGroup
	for i := range 6 {
		lock := lock
		if i%2 == 0 {
			lock = ""
		}
		cfg := pluginRun(t, mirror, shared, lock)
		s := open(t, cfg)
		all.Go(func() {
			if err := s.Init(t.Context()); err != nil {
				t.Errorf("init: %v", err)
			}
			if err := s.KeepPlugins(); err != nil {
				t.Errorf("keep: %v", err)
			}
		})
	}
	all.Wait()
	if got := packages(t, shared, "*"); len(got) != 1 || strings.HasPrefix(filepath.Base(got[0]), ".") {
		t.Errorf("got %v in the shared cache, want one package", got)
	}
}

func TestUnusedPluginsAreRemoved(t *testing.T) {
	t.Parallel()
	shared := t.TempDir()
	mirror, _ := packedMirror(t, "1.0.0")
	lock := initAndKeep(t, pluginRun(t, mirror, shared, ""))
	stale := filepath.Join(shared, "registry.terraform.io/acme/fake/1.0.0", platform, ".tmp-killed")
	write(t, filepath.Join(stale, "half"), "x")
	old := time.Now().Add(-31 * 24 * time.Hour)
	for _, dir := range packages(t, shared, "1.0.0") {
		if err := os.Chtimes(dir, old, old); err != nil {
			t.Fatal(err)
		}
	}
	initAndKeep(t, pluginRun(t, mirror, shared, lock)) // in use again
	second, _ := packedMirror(t, "2.0.0")
	initAndKeep(t, pluginRun(t, second, shared, ""))
	if got := packages(t, shared, "1.0.0"); len(got) != 1 {
		t.Errorf("got %v, want the package that is in use", got)
	}
	for _, dir := range packages(t, shared, "*") {
		if err := os.Chtimes(dir, old, old); err != nil {
			t.Fatal(err)
		}
	}
	third, _ := packedMirror(t, "3.0.0")
	initAndKeep(t, pluginRun(t, third, shared, ""))
	if got := packages(t, shared, "*"); len(got) != 1 || !strings.Contains(got[0], "3.0.0") {
		t.Errorf("got %v, want only the package that was just kept", got)
	}
}

// TestSettingsAreOurs: no variable of a run leads the engine to other settings, plugins or folders.
func TestSettingsAreOurs(t *testing.T) {
	t.Parallel()
	mirror, _ := packedMirror(t, "1.2.3")
	cfg := pluginRun(t, mirror, t.TempDir(), "")
	evil := filepath.Join(t.TempDir(), "evil.rc")
	write(t, evil, "provider_installation {\n  direct {}\n")
	cfg.Env = []string{
		"TF_CLI_CONFIG_FILE=" + evil, "TERRAFORM_CONFIG=" + evil, "TF_PLUGIN_CACHE_DIR=/nowhere", "TF_DATA_DIR=/nowhere", "TF_WORKSPACE=other",
		"HOME=/nowhere", "PATH=/nowhere:" + os.Getenv("PATH"), "MINE=1", "MINE=2",
	}
	write(t, filepath.Join(cfg.Root, ".terraformrc"), "nonsense")
	initAndKeep(t, cfg)
	spec := read(t, filepath.Join(cfg.Dir, "exec.json"))
	for _, want := range []string{"TF_CLI_CONFIG_FILE=" + cfg.Dir, "HOME=" + cfg.Dir, "MINE=2", "PATH=/nowhere:", "TF_PLUGIN_CACHE_DIR=" + cfg.Plugins} {
		name, _, _ := strings.Cut(want, "=")
		if strings.Count(spec, `"`+name+"=") != 1 || !strings.Contains(spec, want) {
			t.Errorf("got %s, want one %s", spec, want)
		}
	}
	for _, forbidden := range []string{"evil", "TF_DATA_DIR", "TF_WORKSPACE", "MINE=1"} {
		if strings.Contains(spec, forbidden) {
			t.Errorf("got %s, want no %s", spec, forbidden)
		}
	}
}

func TestMissingProviderIsNamed(t *testing.T) {
	t.Parallel()
	mirror, _ := packedMirror(t, "1.2.3")
	for name, tt := range map[string]struct{ source, want string }{
		"not mirrored":      {"acme/other", "acme/other: "},
		"version not there": {"acme/fake", "acme/fake: no available releases match"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := work(t, map[string]string{"main.tf": strings.Replace(needsFake, `"acme/fake"`, `"`+tt.source+`", version = ">= 2"`, 1)})
			cfg.Providers = terraform.Providers{FilesystemMirror: mirror, NetworkMirror: "https://127.0.0.1:1/mirror"}
			err := open(t, cfg).Init(t.Context())
			if got := summary(t, cfg).Error; !terraform.Failed(err) || !strings.Contains(got, tt.want) {
				t.Errorf("got %v and %q, want terraform's failure with %q\n%s", err, got, tt.want, read(t, cfg.Output))
			}
		})
	}
	cfg := work(t, map[string]string{"main.tf": needsFake})
	cfg.Providers.FilesystemMirror = "/nowhere"
	if _, err := terraform.NewSession(cfg); err == nil || !strings.Contains(err.Error(), "--provider-filesystem-mirror") {
		t.Errorf("got %v, want an error that names the flag", err)
	}
}
