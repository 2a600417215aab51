package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestLongLogLine: a line of 5 MiB is in the log, whole, and what comes before and after it too.
func TestLongLogLine(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start()
	const size = 5 << 20
	r := s.must("run", config(t, fmt.Sprintf("output \"long\" { value = format(\"%%0%dd\", 0) }", size)), "-w", "default/long", "--auto-approve")
	whole := strings.Repeat("0", size)
	planned, applied, found := strings.Cut(r.stdout, "Apply complete!")
	if !found || !strings.Contains(planned, `+ long = "`+whole+`"`) || !strings.Contains(applied, `long = "`+whole+`"`) {
		t.Errorf("got %d bytes of log, want a line of %d in the plan and in the apply", len(r.stdout), size)
	}
}

// TestDiskFullDuringApply: the run ends with what is wrong, the state of what exists is not lost, and everything else goes on.
func TestDiskFullDuringApply(t *testing.T) {
	t.Parallel()
	needRoot(t)
	s := newServer(t)
	s.args = append(s.args, "--min-free-disk", "1MiB")
	work := filepath.Join(s.dir, "work")
	if err := os.MkdirAll(work, 0o711); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", work, "tmpfs", 0, "size=8m,mode=711"); err != nil {
		t.Skipf("SKIPPED, A FULL DISK IS NOT TESTED: a small file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		s.stop()
		s.cmd = nil
		_ = syscall.Unmount(work, syscall.MNT_DETACH)
	})
	s.start()
	for name, tt := range map[string]struct {
		command, want string
		code          int
	}{
		"told":   {"head -c 100000000 /dev/zero > fill", "No space left on device", 1},
		"silent": {"head -c 100000000 /dev/zero > fill; true", "is applied", 0}, // its state went to the server without the disk
	} {
		ws := "default/" + name
		r := s.gantry("run", config(t, `
resource "terraform_data" "first" { input = "exists" }
resource "terraform_data" "second" {
  input = terraform_data.first.id
  provisioner "local-exec" { command = "`+tt.command+`" }
}`), "-w", ws, "--auto-approve")
		if r.code != tt.code || !strings.Contains(r.stdout, tt.want) {
			t.Errorf("%s: got %s, want exit code %d and %q", name, r, tt.code, tt.want)
		}
		if state := s.must("state", "show", ws); !strings.Contains(state.stdout, "terraform_data.first") || !strings.Contains(state.stdout, "terraform_data.second") {
			t.Errorf("%s: got state\n%s\nwant both resources", name, state.stdout)
		}
	}
	s.must("run", config(t, `output "x" { value = 1 }`), "-w", "default/other", "--auto-approve")
}
