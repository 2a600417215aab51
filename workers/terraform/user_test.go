//go:build linux

package terraform_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"gantry.example/internal/wire"
	"gantry.example/workers/terraform"
	"gantry.example/workers/terraform/shim"
)

// somebody is a user that nothing else here is.
func somebody(t *testing.T) *terraform.User {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED, RUNS AS ANOTHER USER ARE NOT TESTED: only root can start them; run make test as root on Linux")
	}
	return &terraform.User{UID: 2100099001, GID: 2100099002}
}

// workAs is work in a folder that u can get to, whose root module is u's.
func workAs(t *testing.T, u *terraform.User, text string) terraform.SessionConfig {
	t.Helper()
	dir, err := os.MkdirTemp("", "gantry-user-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	cfg := terraform.SessionConfig{
		Engine: engine(t), Shim: as(t, shim.Name), User: u, Dir: dir, Root: filepath.Join(dir, "config"), Output: filepath.Join(dir, "log"),
	}
	if err := u.LetPass(dir); err != nil {
		t.Fatal(err)
	}
	if err := u.MakeDir(cfg.Root); err != nil {
		t.Fatal(err)
	}
	err = u.Do(func() error { return os.WriteFile(filepath.Join(cfg.Root, "main.tf"), []byte(text), 0o600) })
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// TestSessionAsAnotherUser: what a run executes has the user's rights and no others, and everything a run needs works.
func TestSessionAsAnotherUser(t *testing.T) {
	t.Parallel()
	u := somebody(t)
	cfg := workAs(t, u, `
resource "terraform_data" "a" {
  provisioner "local-exec" {
    command = "id -u; id -G; grep -E 'NoNewPrivs|CapEff' /proc/self/status; touch ~/home $TMPDIR/tmp; cat ../exec.json; cat ../plan.bin >/dev/null && echo plan readable; echo x >> ../plan.bin; touch ../x; kill -0 $RUNNER"
  }
}
variable "given" {}
output "out" { value = var.given }`)
	cfg.Inits, cfg.Configuration = filepath.Join(t.TempDir(), "inits"), "this"
	cfg.Plugins = filepath.Join(cfg.Dir, "plugins")
	cfg.Env = []string{fmt.Sprintf("RUNNER=%d", os.Getpid()), "SECRET=hunter2"}
	cfg.Variables = []wire.Variable{{Key: "given", Value: "here", Category: wire.CategoryTerraform}}
	s := open(t, cfg)
	plan := filepath.Join(cfg.Dir, "plan.bin")
	if err := s.Init(t.Context()); err != nil {
		t.Fatalf("init: %v\n%s", err, read(t, cfg.Output))
	}
	if err := s.Remember(); err != nil {
		t.Error(err)
	}
	if err := os.RemoveAll(filepath.Join(cfg.Root, ".terraform")); err != nil {
		t.Fatal(err)
	}
	if recalled, err := s.Recall(); !recalled || err != nil {
		t.Errorf("got recalled %v, %v, want true", recalled, err)
	}
	if _, err := s.Plan(t.Context(), planOptions(), plan); err != nil {
		t.Fatalf("plan: %v\n%s", err, read(t, cfg.Output))
	}
	if planJSON, err := shown(t, s, plan); err != nil || !json.Valid(planJSON) {
		t.Errorf("plan JSON: %v", err)
	}
	applied := s.Apply(t.Context(), plan)
	log := plain([]byte(read(t, cfg.Output)))
	for _, want := range []string{
		"(local-exec): 2100099001\n", "(local-exec): 2100099002\n", "CapEff:\t0000000000000000", "NoNewPrivs:\t1", "exec.json: Permission denied",
		"plan readable", "plan.bin: Permission denied", "'../x': Permission denied", "Operation not permitted",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("got log\n%s\nwant %q in it", log, want)
		}
	}
	if strings.Contains(log, "hunter2") || applied == nil {
		t.Errorf("got error %v and log\n%s\nwant the last command to fail and no secret", applied, log)
	}
	state, _, err := terraform.NewestState(u, cfg.Root)
	if err != nil || !strings.Contains(string(state), `"terraform_data"`) || !strings.Contains(log, `out = "here"`) {
		t.Errorf("got state %s, %v, want one with the resource", state, err)
	}
	if left, err := terraform.UserOf(cfg.Dir); err != nil || *left != *u {
		t.Errorf("got user %v, %v of the folder, want %v", left, err, u)
	}
	if err := terraform.Forget(cfg.Dir); err != nil {
		t.Error(err)
	}
	if left, err := filepath.Glob(filepath.Join(cfg.Root, "*.tfvars")); err != nil || len(left) > 0 {
		t.Errorf("got %v, %v after Forget, want no values of variables", left, err)
	}
	if successor, err := u.Successor(cfg.Root); err != nil || *successor != *u {
		t.Errorf("got successor %v, %v, want %v", successor, err, u)
	}
	if _, err := (*terraform.User)(nil).Successor(cfg.Root); err == nil {
		t.Error("root may go on in another user's folder, want a refusal")
	}
}

// TestLinksLeadNowhere: whatever a run leaves in its folders, nobody with more rights follows it.
func TestLinksLeadNowhere(t *testing.T) {
	t.Parallel()
	u := somebody(t)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(`{"serial":7,"lineage":"another","token":"hunter2"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, plant := range map[string]func(root string) error{
		"state is a link": func(root string) error { return os.Symlink(secret, filepath.Join(root, "terraform.tfstate")) },
		"state is a pipe": func(root string) error { return unix.Mkfifo(filepath.Join(root, "terraform.tfstate"), 0o600) },
		"root is a link": func(root string) error {
			if err := os.RemoveAll(filepath.Join(root, "sub")); err != nil {
				return err
			}
			return os.Symlink(filepath.Dir(secret), filepath.Join(root, "sub"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := workAs(t, u, "")
			if err := u.Do(func() error { return os.Mkdir(filepath.Join(cfg.Root, "sub"), 0o700) }); err != nil {
				t.Fatal(err)
			}
			if err := u.Do(func() error { return plant(cfg.Root) }); err != nil {
				t.Fatal(err)
			}
			for _, root := range []string{cfg.Root, filepath.Join(cfg.Root, "sub")} {
				if state, _, _ := terraform.NewestState(u, root); len(state) > 0 {
					t.Errorf("got state %s of %s, want none", state, root)
				}
				cfg.Root, cfg.Initialized, cfg.State = root, true, []byte("{}")
				_, _ = terraform.NewSession(cfg)
			}
			entries, err := os.ReadDir(filepath.Dir(secret))
			if err != nil || len(entries) != 1 || !strings.Contains(read(t, secret), "hunter2") {
				t.Errorf("got %v, %v beside the secret, want it untouched and alone", entries, err)
			}
		})
	}
}
