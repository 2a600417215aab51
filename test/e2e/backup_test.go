package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestBackupAndRestore: a server is restored into an empty folder, at the addresses of the old one, while a runner of the old one
// is in the middle of an apply. What there was is there and usable; what the runner writes is not taken, and not lost either.
func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	old := newServer(t)
	old.start()
	folder := shared(t)
	gate, journal, file := filepath.Join(folder, "gate"), filepath.Join(folder, "journal"), filepath.Join(t.TempDir(), "backup")
	person := *old
	person.token = strings.TrimSpace(old.must("tokens", "new", "ci", "--org", "default").stdout)
	kept := config(t, `
variable "secret" {}
resource "terraform_data" "kept" { input = var.secret }
output "length" { value = nonsensitive(length(terraform_data.kept.output)) }`)
	old.must("workspaces", "new", "default/kept")
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	old.must("vars", "set", "default/kept", "secret", "--sensitive", "--value-file", secret)
	old.must("run", kept, "-w", "default/kept", "--auto-approve")
	old.expect(5, "waits for approval", "run", config(t, twoResources), "-w", "default/waits")
	lost := detach(t, old, config(t, fmt.Sprintf(`
resource "terraform_data" "lost" {
  provisioner "local-exec" {
    command = "echo applied >> %s; while [ ! -e %s ]; do sleep 0.05; done"
  }
}`, journal, gate)), "default/lost")
	waitForFile(t, journal)
	waits, state, log := old.runs("default/waits")[0].ID, old.must("state", "pull", "default/kept").stdout, old.must("runs", "logs", old.runs("default/kept")[0].ID).stdout
	old.must("admin", "backup", file)
	key, admin := filepath.Join(old.dir, "encryption-key"), old.adminToken()
	old.kill()

	s := newServer(t)
	into := s.dir
	s.args = append(append([]string{}, old.args...), "--data-dir", into)
	other := filepath.Join(old.dir, "worker-token") // no key at all
	s.expect(1, "nothing was restored", "admin", "restore", file, "--encryption-key-file", other, "--data-dir", into)
	s.expect(1, "is not empty", "admin", "restore", file, "--encryption-key-file", key, "--data-dir", old.dir)
	said := s.must("admin", "restore", file, "--encryption-key-file", key, "--data-dir", into).stdout
	for _, want := range []string{"Restored 3 workspaces and 3 runs", lost, waits} {
		if !strings.Contains(said, want) {
			t.Errorf("got\n%s\nwant %q in it", said, want)
		}
	}
	s.start()
	openGate(t, gate) // the runner of the old server ends its apply
	aside := filepath.Join(old.dir, "work", "kept")
	s.waitUntil("the old runner has kept its state", func() bool { found, _ := filepath.Glob(filepath.Join(aside, "*.tfstate")); return len(found) == 1 })

	s.expect(0, "run.outcome_unknown", "runs", "show", lost)
	s.expect(0, "run.restored", "runs", "show", waits)
	s.expect(1, "has no state", "state", "pull", "default/lost")
	if diff := cmp.Diff(state, s.must("state", "pull", "default/kept").stdout); diff != "" {
		t.Errorf("state (-old +restored):\n%s", diff)
	}
	if diff := cmp.Diff(log, s.must("runs", "logs", s.runs("default/kept")[0].ID).stdout); diff != "" {
		t.Errorf("log (-old +restored):\n%s", diff)
	}
	if r := s.must("run", kept, "-w", "default/kept", "--auto-approve"); !strings.Contains(r.stdout, "No changes") {
		t.Errorf("got %s\nwant the same secret, and so no changes", r)
	}
	person.dir = into
	person.must("runs", "list", "-w", "default/kept")
	if s.adminToken() == admin {
		t.Error("the restored server has the admin token of the old one, want a new one")
	}
	s.must("workspaces", "unlock", "default/lost", "--force")
	s.must("run", config(t, twoResources), "-w", "default/lost", "--auto-approve")
}
