// Package e2e_test uses the freshly built programs from outside, as a user does: processes, the CLI, files. Run by `make e2e`.
package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gantry.example/test/loopback"
)

// binary is the program under test: GANTRY_BIN, or bin/gantry of this checkout.
func binary(t *testing.T) string {
	t.Helper()
	path := os.Getenv("GANTRY_BIN")
	if path == "" {
		path = "../../bin/gantry"
	}
	path, err := filepath.Abs(path)
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Fatalf("no program to test: run make e2e, or make build first (%v)", err)
	}
	return path
}

// server is one installation: a data folder and addresses that stay the same over restarts.
type server struct {
	t    *testing.T
	bin  string
	dir  string
	args []string
	// token is whose commands are: empty is the administrator's of the data folder.
	token string

	cmd    *exec.Cmd
	log    *logBuffer
	exited chan struct{}
}

// logBuffer collects what a process prints.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newServer returns an installation that is not started. Deadlines are short, so that repairs can be waited for.
func newServer(t *testing.T) *server {
	t.Helper()
	dir, err := os.MkdirTemp("", "gantry-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { // Postgres runs as another user and passes through
		t.Fatal(err)
	}
	s := &server{t: t, bin: binary(t), dir: filepath.Join(dir, "data"), log: &logBuffer{}}
	s.args = []string{
		"server", "--data-dir", s.dir, "--http", freeAddress(t), "--https", freeAddress(t), "--nats", freeAddress(t),
		"--lease-ttl", "3s", "--start-within", "3s", "--republish-after", "2s", "--settle", "4s", "--grace", "10s",
	}
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			t.Logf("data folder kept: %s\nserver log:\n%s", s.dir, tail(s.log.String(), 60))
			return
		}
		_ = os.RemoveAll(dir)
	})
	return s
}

func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := loopback.Free(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// launch starts the server process without waiting for it.
func (s *server) launch(env ...string) (ready <-chan bool) {
	s.t.Helper()
	s.cmd = exec.Command(s.bin, s.args...)
	s.cmd.Env = append(os.Environ(), env...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	s.cmd.Stderr = s.log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.exited = make(chan struct{})
	told := make(chan bool, 1)
	go func(cmd *exec.Cmd, exited chan struct{}) {
		defer close(exited)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), "ready ") {
				told <- true
			}
		}
		_ = cmd.Wait() // how it ended is in cmd.ProcessState
		close(told)
	}(s.cmd, s.exited)
	return told
}

// start starts the server and waits until it is ready.
func (s *server) start(env ...string) {
	s.t.Helper()
	select {
	case ok := <-s.launch(env...):
		if !ok {
			s.t.Fatalf("the server ended before it was ready:\n%s", tail(s.log.String(), 40))
		}
	case <-time.After(90 * time.Second):
		s.t.Fatalf("the server is not ready after 90 s:\n%s", tail(s.log.String(), 40))
	}
}

// kill kills the server process, and nothing else, the hard way.
func (s *server) kill() {
	s.t.Helper()
	_ = s.cmd.Process.Kill()
	s.waitExit()
}

// waitExit waits until the server process is gone and returns its exit code, -1 for a signal.
func (s *server) waitExit() int {
	s.t.Helper()
	select {
	case <-s.exited:
		return s.cmd.ProcessState.ExitCode()
	case <-time.After(90 * time.Second):
		s.t.Fatalf("the server did not end:\n%s", tail(s.log.String(), 40))
		return 0
	}
}

// stop ends the server gracefully, if it runs.
func (s *server) stop() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
	case <-time.After(60 * time.Second):
		_ = s.cmd.Process.Kill()
		s.t.Errorf("the server did not stop within 60 s of SIGTERM")
	}
}

// result is what a command left.
type result struct {
	code           int
	stdout, stderr string
}

func (r result) String() string {
	return fmt.Sprintf("exit code %d\nstdout:\n%s\nstderr:\n%s", r.code, tail(r.stdout, 30), tail(r.stderr, 30))
}

// command prepares a CLI command on the server's own machine: it finds address and token in the data folder.
func (s *server) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.bin, args...)
	cmd.Env = append(os.Environ(), "GANTRY_DATA_DIR="+s.dir, "GANTRY_ADDRESS=", "GANTRY_TOKEN="+s.token)
	return cmd
}

// gantry runs a CLI command to its end.
func (s *server) gantry(args ...string) result {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 4*time.Minute)
	defer cancel()
	cmd := s.command(ctx, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatalf("gantry %s: %v", strings.Join(args, " "), err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// must runs a CLI command that has to succeed.
func (s *server) must(args ...string) result {
	s.t.Helper()
	r := s.gantry(args...)
	if r.code != 0 {
		s.t.Fatalf("gantry %s: got %s, want exit code 0", strings.Join(args, " "), r)
	}
	return r
}

// run is a run as `gantry runs show -o json` gives it.
type run struct {
	ID     string `json:"id"`
	Status string `json:"status"`
}

func (s *server) show(id string) run {
	s.t.Helper()
	var r run
	decode(s.t, s.must("runs", "show", id, "-o", "json").stdout, &r)
	return r
}

// runs lists the runs of a workspace, newest first.
func (s *server) runs(workspace string) []run {
	s.t.Helper()
	var out []run
	decode(s.t, s.must("runs", "list", "-w", workspace, "-o", "json").stdout, &out)
	return out
}

// waitFor polls until the run has one of the statuses: the CLI is what is tested, and it has no other signal.
func (s *server) waitFor(id string, statuses ...string) run {
	s.t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		r := s.show(id)
		for _, want := range statuses {
			if r.Status == want {
				return r
			}
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("run %s: got status %s, want one of %v", id, r.Status, statuses)
		}
		<-tick.C
	}
}

// config writes a configuration folder of one main.tf.
func config(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.tf"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func decode(t *testing.T, text string, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), v); err != nil {
		t.Fatalf("not the expected JSON: %v\n%s", err, text)
	}
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// shared is a folder that terraform can use, whoever it runs as.
func shared(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gantry-e2e-shared-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}
