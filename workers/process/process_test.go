package process_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gantry.example/messages"
	"gantry.example/workers/executor"
	"gantry.example/workers/executor/executortest"
	"gantry.example/workers/process"
)

func testContext() context.Context { return context.Background() }

func withCancel() (context.Context, context.CancelFunc) {
	return context.WithCancel(context.Background())
}

func collect(exits chan<- executor.Exit) func(context.Context, executor.Exit) error {
	return func(_ context.Context, x executor.Exit) error {
		exits <- x
		return nil
	}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	executortest.Run(t, func(t *testing.T) executortest.Harness {
		dir := t.TempDir()
		t.Cleanup(func() { endRunners(t, dir) })
		return executortest.Harness{
			Open:   func(t *testing.T) executortest.Instance { return open(t, config(dir)) },
			Finish: func(t *testing.T, id string, code int) { finish(t, dir, id, code) },
			Starts: func(_ *testing.T, id string) int { return starts(dir, id) },
		}
	})
}

// endRunners kills what a test left running, so that its folder can be removed.
func endRunners(t *testing.T, dir string) {
	t.Helper()
	pids := alive(t, dir)
	for pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	executortest.Wait(t, "the end of all runners", func() bool {
		for pid := range alive(t, dir) {
			if pids[pid] {
				return false
			}
		}
		return true
	})
}

// place is a folder with an open executor, both of which end with the test.
func place(t *testing.T) (string, *process.Executor) {
	t.Helper()
	dir := t.TempDir()
	t.Cleanup(func() { endRunners(t, dir) })
	e := open(t, config(dir))
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return dir, e
}

func startApply(t *testing.T, e *process.Executor, dir string) executor.Attempt {
	t.Helper()
	a := executortest.NewAttempt(messages.PhaseApply)
	if err := e.StartApply(t.Context(), a); err != nil {
		t.Fatalf("StartApply: %v", err)
	}
	executortest.Wait(t, "the runner", func() bool { return starts(dir, a.AttemptID) == 1 })
	return a
}

func TestIdleRunnersDieWithTheWorkerAndStartedOnesLive(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	t.Cleanup(func() { endRunners(t, dir) })
	worker := exec.CommandContext(t.Context(), os.Args[0])
	worker.Env = append(os.Environ(), workerVariable+"="+dir)
	out, err := worker.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := worker.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	id := strings.TrimSpace(line)
	executortest.Wait(t, "a started and an idle runner", func() bool { return starts(dir, id) == 1 && len(alive(t, dir)) == 2 })
	if err := worker.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = worker.Wait() // it was killed
	executortest.Wait(t, "the end of the idle runner", func() bool { return len(alive(t, dir)) < 2 })
	if pid := pidOf(t, dir, id); !alive(t, dir)[pid] {
		t.Fatalf("the started runner %d ended with its worker", pid)
	}

	e := open(t, config(dir))
	defer e.Close()
	exits := watch(t, e)
	if got, _ := e.Status(t.Context(), id); got.State != executor.Running {
		t.Fatalf("status after the restart: got %+v, want running", got)
	}
	if err := e.Cancel(t.Context(), id, false); err != nil {
		t.Fatal(err)
	}
	if got := <-exits; got.AttemptID != id {
		t.Errorf("exit: got %+v, want of %s", got, id)
	}
}

func TestARunnerInheritsNoSecretAndNoSession(t *testing.T) {
	t.Setenv("GANTRY_WORKER_TOKEN", "worker-secret")
	dir, e := place(t)
	a := startApply(t, e, dir)
	pid := pidOf(t, dir, a.AttemptID)
	if session, err := unix.Getsid(pid); err != nil || session != pid {
		t.Errorf("session of runner %d: got %d, %v, want its own", pid, session, err)
	}
	proc := fmt.Sprintf("/proc/%d/", pid)
	for _, name := range []string{"cmdline", "environ"} {
		b, err := os.ReadFile(proc + name)
		if errors.Is(err, fs.ErrNotExist) {
			t.Skip("SKIPPED, WHAT OTHERS SEE OF A RUNNER IS NOT TESTED: it needs /proc; run it on Linux")
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{a.Token, "worker-secret"} {
			if bytes.Contains(b, []byte(secret)) {
				t.Errorf("%s of the runner holds %q", name, secret)
			}
		}
	}
}

func TestFilesOfAnAttempt(t *testing.T) {
	t.Parallel()
	dir, e := place(t)
	exits := watch(t, e)
	a := startApply(t, e, dir)
	folder := filepath.Join(dir, "work", "attempts", a.AttemptID)
	err := filepath.WalkDir(filepath.Join(dir, "work"), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: got mode %v, want nothing for others", path, info.Mode())
		}
		if b, err := os.ReadFile(path); err == nil && bytes.Contains(b, []byte(a.Token)) {
			t.Errorf("%s holds the attempt's token", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(folder, "runner.log"))
	if want := "runner is up\ntime=now level=INFO msg=\"the runner logs\"\n"; err != nil || string(got) != want {
		t.Errorf("runner.log: got %q, %v, want %q", got, err, want)
	}
	finish(t, dir, a.AttemptID, 0)
	<-exits
	executortest.Wait(t, "the end of a delivered attempt's folder", func() bool {
		_, err := os.Stat(folder)
		return errors.Is(err, fs.ErrNotExist)
	})
}

func TestUndeliveredFoldersAreKeptForAWhile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := open(t, config(dir))
	exits := watch(t, e)
	a := startApply(t, e, dir)
	finish(t, dir, a.AttemptID, 70)
	<-exits
	folder := filepath.Join(dir, "work", "attempts", a.AttemptID)
	executortest.Wait(t, "the mark of a reported exit", func() bool {
		_, err := os.Stat(filepath.Join(folder, "reported"))
		return err == nil
	})
	for _, c := range []struct {
		age  time.Duration
		want bool
	}{{6 * 24 * time.Hour, true}, {8 * 24 * time.Hour, false}} {
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		then := time.Now().Add(-c.age)
		if err := os.Chtimes(folder, then, then); err != nil {
			t.Fatal(err)
		}
		e = open(t, config(dir))
		if _, err := os.Stat(folder); (err == nil) != c.want {
			t.Errorf("folder after %v: got kept %v, want %v", c.age, err == nil, c.want)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestForceKillsTheWholeTree(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	t.Cleanup(func() { endRunners(t, dir) })
	cfg := config(dir)
	cfg.Assignment.Releases.TerraformMirror = "tree"
	e := open(t, cfg)
	exits := watch(t, e)
	a := startApply(t, e, dir)
	executortest.Wait(t, "the runner, its two processes and the idle runner", func() bool { return len(alive(t, dir)) == 4 })
	if err := e.Cancel(t.Context(), a.AttemptID, true); err != nil {
		t.Fatal(err)
	}
	if got, want := <-exits, (executor.Exit{Ref: a.Ref(), Code: executor.CodeUnknown}); got != want {
		t.Errorf("exit: got %+v, want %+v", got, want)
	}
	executortest.Wait(t, "the end of the tree", func() bool { return len(alive(t, dir)) == 1 })
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if got := alive(t, dir); len(got) != 0 {
		t.Errorf("after Close: got living runners %v, want none", got)
	}
}

func TestForceEndsWhatOutlivedItsRunner(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	t.Cleanup(func() { endRunners(t, dir) })
	cfg := config(dir)
	cfg.Assignment.Releases.TerraformMirror = "tree"
	e := open(t, cfg)
	defer e.Close()
	exits := watch(t, e)
	a := startApply(t, e, dir)
	executortest.Wait(t, "the runner, its two processes and the idle runner", func() bool { return len(alive(t, dir)) == 4 })
	if err := syscall.Kill(pidOf(t, dir, a.AttemptID), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-exits
	if got := len(alive(t, dir)); got != 3 {
		t.Fatalf("after the death of the runner: got %d processes, want 3", got)
	}
	if err := e.Cancel(t.Context(), a.AttemptID, true); err != nil {
		t.Fatal(err)
	}
	executortest.Wait(t, "the end of the process with the attempt's folder", func() bool { return len(alive(t, dir)) == 2 })
}

func TestTheLockTellsWhetherAnAdoptedRunnerLives(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	t.Cleanup(func() { endRunners(t, dir) })
	e := open(t, config(dir))
	a := startApply(t, e, dir)
	dead := startApply(t, e, dir)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	pid := pidOf(t, dir, dead.AttemptID)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	executortest.Wait(t, "the end of a runner", func() bool { return !alive(t, dir)[pid] })
	other := exec.CommandContext(t.Context(), os.Args[0])
	other.Env = []string{runnerVariable + "=" + filepath.Join(dir, "scratch"), stubbornVariable + "=1"}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer other.Wait()
	defer other.Process.Kill()
	executortest.Wait(t, "the other process", func() bool { return alive(t, dir)[other.Process.Pid] })
	// The pid of the living one is lost, that of the dead one belongs to another process now.
	attempts := filepath.Join(dir, "work", "attempts")
	if err := os.Remove(filepath.Join(attempts, a.AttemptID, "pid")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(attempts, dead.AttemptID, "pid"), fmt.Append(nil, other.Process.Pid), 0o600); err != nil {
		t.Fatal(err)
	}
	e = open(t, config(dir))
	defer e.Close()
	exits := watch(t, e)
	if err := e.Cancel(t.Context(), dead.AttemptID, true); err != nil {
		t.Fatal(err)
	}
	if got, want := <-exits, (executor.Exit{Ref: dead.Ref(), Code: executor.CodeUnknown}); got != want {
		t.Errorf("exit: got %+v, want %+v", got, want)
	}
	if !alive(t, dir)[other.Process.Pid] {
		t.Error("a process that is no runner was killed")
	}
	if got, err := e.Status(t.Context(), a.AttemptID); err != nil || got.State != executor.Running {
		t.Errorf("status of the living: got %+v, %v, want running", got, err)
	}
}

func TestADeadIdleRunnerIsReplaced(t *testing.T) {
	t.Parallel()
	dir, e := place(t)
	for range 3 {
		executortest.Wait(t, "an idle runner", func() bool { return len(alive(t, dir)) == 1 })
		endRunners(t, dir)
		a := startApply(t, e, dir) // whether or not the executor knows already
		finish(t, dir, a.AttemptID, 0)
		executortest.Wait(t, "the exit", func() bool {
			s, err := e.Status(t.Context(), a.AttemptID)
			return err == nil && s.State == executor.Exited
		})
	}
}

func TestARunnerThatCannotBeStarted(t *testing.T) {
	t.Parallel()
	cfg := config(t.TempDir())
	cfg.Command = []string{"/nowhere/gantry", "runner"}
	e := open(t, cfg)
	defer e.Close()
	a := executortest.NewAttempt(messages.PhaseApply)
	if err := e.StartApply(t.Context(), a); err == nil || !strings.Contains(err.Error(), "/nowhere/gantry") {
		t.Errorf("StartApply: got %v, want an error that names the program", err)
	}
	if got, _ := e.Status(t.Context(), a.AttemptID); got.State != executor.Unknown {
		t.Errorf("status: got %+v, want unknown", got)
	}
	if _, err := os.Stat(filepath.Join(cfg.Dir, "attempts", a.AttemptID)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the attempt's folder: got %v, want none", err)
	}
}

func TestAWorkFolderHasOneWorker(t *testing.T) {
	t.Parallel()
	dir, _ := place(t)
	if second, err := process.New(config(dir)); err == nil {
		t.Errorf("a second executor on a folder: got no error, want one; close: %v", second.Close())
	}
}
