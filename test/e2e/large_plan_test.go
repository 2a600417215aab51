package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const mebibyte = 1 << 20

// TestLargePlan: a plan file of 200 MiB that cannot be compressed is applied, also where its apply has to fetch it, and costs the
// server little memory. Only what is larger than a server takes is refused, in words.
func TestLargePlan(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		size int
		want string
	}{
		{"taken", 200 * mebibyte, ""},
		{"refused", 260 * mebibyte, "the plan was not stored: the body has "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.args = append(s.args, "--start-within", "10s") // fetching it may take longer, on a busy machine
			s.start("PATH=" + planOf(t, tt.size) + ":" + os.Getenv("PATH"))
			const ws = "default/large"
			s.must("run", config(t, `output "small" { value = 0 }`), "-w", ws, "--auto-approve")
			before := s.peak()
			r := s.gantry("run", config(t, `resource "terraform_data" "one" {}`), "-w", ws)
			if tt.want != "" {
				if r.code != 1 || !strings.Contains(r.stderr, tt.want) || strings.Count(r.stderr, "too_large") != 1 {
					t.Errorf("got %s, want exit code 1 and %q", r, tt.want)
				}
				return
			}
			id := s.runs(ws)[0].ID
			if got := s.show(id).Status; got != "planned" {
				t.Fatalf("got status %s and %s, want a plan that waits", got, r)
			}
			if err := os.RemoveAll(filepath.Join(s.dir, "work", "runs")); err != nil { // as if the apply were another host's
				t.Fatal(err)
			}
			s.must("runs", "apply", id)
			s.waitFor(id, "applied")
			grown := s.peak() - before
			t.Logf("the server took %d MiB more", grown/mebibyte)
			if grown > 100*mebibyte {
				t.Errorf("the server took %d MiB more for it, want not nearly its size", grown/mebibyte)
			}
		})
	}
}

// planOf is a folder with a terraform that puts so many random bytes before each plan of something, where an archive may have them.
func planOf(t *testing.T, size int) string {
	t.Helper()
	real, err := exec.LookPath("terraform")
	if err != nil {
		t.Fatal(err)
	}
	dir := shared(t)
	script := fmt.Sprintf(`#!/bin/sh
'%s' "$@"
code=$?
for arg; do case $arg in -out=*) out=${arg#-out=};; esac; done
if [ "$code" = 2 ] && [ -n "$out" ] && grep -q terraform_data main.tf; then
	{ head -c %d /dev/urandom; cat "$out"; } > large.tmp && cat large.tmp > "$out" && rm large.tmp || exit 1
fi
exit $code
`, real, size)
	if err := os.WriteFile(filepath.Join(dir, "terraform"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// peak is the most memory the server ever had, in bytes.
func (s *server) peak() int {
	s.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	var kibibytes int
	if _, err := fmt.Sscan(after, &kibibytes); err != nil {
		s.t.Fatalf("no VmHWM in %s: %v", status, err)
	}
	return kibibytes << 10
}
