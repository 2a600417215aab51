package e2e_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
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

// TestUnknownField: an execution document with a field that nobody knows is refused by its path, wherever it is given, and nothing
// comes of it.
func TestUnknownField(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start()
	const ws = "default/fields"
	s.must("run", config(t, `output "x" { value = 1 }`), "-w", ws, "--auto-approve")
	for field, doc := range map[string]string{
		"terraform_versoin":             `{"terraform_versoin":"1.11.4"}`,
		"pod_template.resources.limitz": `{"execution_mode":"k8s","pod_template":{"resources":{"limitz":{}}}}`,
	} {
		want := "field " + field + ": unknown field"
		for _, command := range [][]string{
			{"run", config(t, `output "x" { value = 2 }`), "-w", ws, "--execution"}, {"workspaces", "edit", ws, "--execution"}, {"organizations", "edit", "default", "--execution"},
		} {
			s.expect(1, want, append(command, document(t, doc))...)
		}
		status, answer := s.call("PUT", "/api/gantry/v1/organizations/default/execution", doc)
		if status != http.StatusUnprocessableEntity || !strings.Contains(string(answer), want) || !strings.Contains(string(answer), "execution.unknown_field") {
			t.Errorf("PUT %s: got %d: %s, want 422 and %q", doc, status, answer, want)
		}
	}
	if got := s.runs(ws); len(got) != 1 {
		t.Errorf("got %d runs, want only the first", len(got))
	}
}

// TestMessageThatIsNotJSON: what a producer publishes and nobody can read is kept with the reason, and the next request is carried
// out.
func TestMessageThatIsNotJSON(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start()
	const workspace = "default/messages"
	s.must("run", config(t, `output "x" { value = 1 }`), "-w", workspace, "--auto-approve")
	var orgs []struct {
		ID string `json:"external_id"`
	}
	decode(t, s.must("organizations", "list", "-o", "json").stdout, &orgs)
	var ws struct{ ID string }
	decode(t, s.must("workspaces", "show", workspace, "-o", "json").stdout, &ws)
	var token struct{ Token string }
	decode(t, s.must("tokens", "new", "bot", "--org", "default", "-o", "json").stdout, &token)
	publish(t, s.value("--nats"), token.Token, "intake.run."+orgs[0].ID, "{this is not JSON", "\x00\xff", fmt.Sprintf(`{"workspace_id":%q,"options":{"plan_only":true}}`, ws.ID))
	s.waitUntil("the last message is a run", func() bool { return len(s.runs(workspace)) == 2 })
	s.waitFor(s.runs(workspace)[0].ID, "planned_and_finished")
	letters := s.must("admin", "deadletters", "list").stdout
	if strings.Count(letters, "the run request is not JSON") != 2 || strings.Count(letters, "intake.run."+orgs[0].ID) != 2 {
		t.Errorf("got\n%s\nwant both messages, with the reason", letters)
	}
}

// publish sends messages to NATS as any client does, and returns when the server has them.
func publish(t *testing.T, address, token, subject string, messages ...string) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "CONNECT {\"auth_token\":%q,\"verbose\":false,\"pedantic\":false,\"lang\":\"test\",\"version\":\"1\"}\r\n", token)
	for _, m := range messages {
		fmt.Fprintf(conn, "PUB %s %d\r\n%s\r\n", subject, len(m), m)
	}
	fmt.Fprint(conn, "PING\r\n")
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		switch line := lines.Text(); {
		case line == "PONG":
			return
		case strings.HasPrefix(line, "-ERR"):
			t.Fatalf("NATS answers %s", line)
		}
	}
	t.Fatal("NATS hung up")
}
