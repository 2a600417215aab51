package terraform_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"gantry.example/workers/terraform"
	"gantry.example/workers/terraform/shim"
)

// parentName is the name under which the test binary plays a runner that can be killed.
const parentName = "session-parent"

// TestMain makes the test binary act as the programs that the tests start.
func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case shim.Name:
		os.Exit(shim.Main(os.Args, os.Environ()))
	case parentName:
		os.Exit(parentMain())
	}
	os.Exit(m.Run())
}

// parentMain applies a configuration as the session on its stdin says.
func parentMain() int {
	var cfg terraform.SessionConfig
	if err := json.NewDecoder(os.Stdin).Decode(&cfg); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	s, err := terraform.NewSession(cfg)
	if err == nil {
		err = s.Init(context.Background())
	}
	plan := filepath.Join(cfg.Dir, "plan.bin")
	if err == nil {
		_, err = s.Plan(context.Background(), planOptions(), plan)
	}
	if err == nil {
		err = s.Apply(context.Background(), plan)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// as returns a path under which the test binary runs as name.
func as(t testing.TB, name string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), name)
	if err := os.Symlink(self, link); err != nil {
		t.Fatal(err)
	}
	return link
}

// engine is the terraform of this machine, or else one that is installed for the tests, once.
func engine(t testing.TB) terraform.Engine {
	t.Helper()
	cache := t.TempDir()
	if _, err := exec.LookPath("terraform"); err != nil {
		user, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		cache = filepath.Join(user, "gantry", "test-engines")
	}
	e, err := terraform.Locate(t.Context(), terraform.LocateConfig{CacheDir: cache})
	if err != nil {
		t.Fatalf("these tests run terraform: %v", err)
	}
	return e
}

// work is a prepared attempt folder with the given files in its root module.
func work(t testing.TB, files map[string]string) terraform.SessionConfig {
	t.Helper()
	dir := t.TempDir()
	root := filepath.Join(dir, "config")
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return terraform.SessionConfig{
		Engine: engine(t), Shim: as(t, shim.Name), Dir: dir, Root: root, Output: filepath.Join(dir, "log"), Grace: 30 * time.Second,
	}
}

// open makes the session and ends it with the test.
func open(t testing.TB, cfg terraform.SessionConfig) *terraform.Session {
	t.Helper()
	s, err := terraform.NewSession(cfg)
	if err != nil {
		t.Fatalf("new session: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// eventually polls until ok, which nothing signals, or fails the test.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s did not happen", what)
		}
	}
}

// plain is a log without its colors.
func plain(log []byte) string {
	return string(regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAll(log, nil))
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
