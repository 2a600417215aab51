package process_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gantry.example/messages"
	"gantry.example/workers/executor"
	"gantry.example/workers/executor/executortest"
	"gantry.example/workers/process"
	"gantry.example/workers/runner"
)

// The test binary is also the runner and the worker: these variables make it one. Their value is the scratch folder.
const (
	runnerVariable = "GANTRY_TEST_RUNNER"
	workerVariable = "GANTRY_TEST_WORKER"
	// stubbornVariable makes a runner that never ends by itself.
	stubbornVariable = "GANTRY_TEST_STUBBORN"
)

func TestMain(m *testing.M) {
	if scratch := os.Getenv(runnerVariable); scratch != "" {
		os.Exit(runnerMain(scratch))
	}
	if dir := os.Getenv(workerVariable); dir != "" {
		os.Exit(workerMain(dir))
	}
	os.Exit(m.Run())
}

// runnerMain behaves as a runner does towards its executor: it waits for an assignment, holds the lock of its folder, and
// ends when <scratch>/<attempt>.finish says so. <scratch>/idle-<pid> is locked while the process lives.
func runnerMain(scratch string) int {
	alive, err := os.Create(filepath.Join(scratch, "idle-"+strconv.Itoa(os.Getpid())))
	if err != nil || syscall.Flock(int(alive.Fd()), syscall.LOCK_EX) != nil {
		return 71
	}
	fmt.Println("runner is up")
	fmt.Println("time=now level=INFO msg=\"the runner logs\"")
	if os.Getenv(stubbornVariable) != "" {
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGTERM, syscall.SIGHUP)
		<-signals
		return 77
	}
	line, err := bufio.NewReader(os.Stdin).ReadBytes('\n')
	if err != nil {
		return 0 // nothing to do
	}
	var a runner.Assignment
	if json.Unmarshal(line, &a) != nil {
		return 72
	}
	if rest, err := io.ReadAll(os.Stdin); err != nil || len(rest) > 0 {
		return 73
	}
	lock, err := os.OpenFile(filepath.Join(a.Dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil || syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		return 74
	}
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	if a.Releases.TerraformMirror == "tree" {
		if err := startTree(scratch, a.Dir); err != nil {
			return 75
		}
	}
	if a.RunAs != nil {
		if err := note(scratch, a.Claim.AttemptID, "as "+strconv.Itoa(a.RunAs.UID)); err != nil {
			return 76
		}
	}
	if err := note(scratch, a.Claim.AttemptID, "started"); err != nil {
		return 76
	}
	for tick := time.NewTicker(5 * time.Millisecond); ; {
		select {
		case <-terminated:
			return 0
		case <-tick.C:
			if b, err := os.ReadFile(filepath.Join(scratch, a.Claim.AttemptID+".finish")); err == nil && bytes.HasSuffix(b, []byte("\n")) {
				code, _ := strconv.Atoi(strings.TrimSpace(string(b)))
				return code
			}
		}
	}
}

// startTree starts two processes that outlive a killed runner: one in the runner's session, and one that left it but has
// the attempt's folder in its environment, as terraform does.
func startTree(scratch, dir string) error {
	same := exec.Command(os.Args[0])
	same.Env = []string{runnerVariable + "=" + scratch, stubbornVariable + "=1"}
	left := exec.Command(os.Args[0])
	left.Env = append(same.Env, "HOME="+dir+"/home")
	left.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return errors.Join(same.Start(), left.Start())
}

// note appends a line to <scratch>/<attempt>.
func note(scratch, attemptID, line string) error {
	f, err := os.OpenFile(filepath.Join(scratch, attemptID), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line + "\n")
	return errors.Join(err, f.Close())
}

// workerMain is a worker that starts one attempt, prints its id and waits to be killed.
func workerMain(dir string) int {
	e, err := process.New(config(dir))
	if err != nil {
		fmt.Println(err)
		return 1
	}
	a := executortest.NewAttempt(messages.PhaseApply)
	if err := e.StartApply(testContext(), a); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(a.AttemptID)
	select {}
}

// config is that of an executor over this binary, with everything below dir.
func config(dir string) process.Config {
	scratch := filepath.Join(dir, "scratch")
	_ = os.MkdirAll(scratch, 0o700)
	return process.Config{
		Command:    []string{os.Args[0]},
		Env:        append(process.Environment(), runnerVariable+"="+scratch),
		Dir:        filepath.Join(dir, "work"),
		Assignment: runner.Assignment{Address: "https://127.0.0.1:1", NATSURL: "nats://127.0.0.1:1", CacheDir: scratch},
		Log:        slog.New(slog.DiscardHandler),
	}
}

func open(t *testing.T, cfg process.Config) *process.Executor {
	t.Helper()
	e, err := process.New(cfg)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return e
}

func finish(t *testing.T, dir, attemptID string, code int) {
	t.Helper()
	path := filepath.Join(dir, "scratch", attemptID+".finish")
	if err := os.WriteFile(path, []byte(strconv.Itoa(code)+"\n"), 0o600); err != nil {
		t.Error(err)
	}
}

func starts(dir, attemptID string) int {
	b, _ := os.ReadFile(filepath.Join(dir, "scratch", attemptID))
	return strings.Count(string(b), "started\n")
}

// alive lists the runner processes, idle or not, that live.
func alive(t *testing.T, dir string) map[int]bool {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "scratch", "idle-*"))
	if err != nil {
		t.Fatal(err)
	}
	pids := map[int]bool{}
	for _, path := range paths {
		pid, _ := strconv.Atoi(strings.TrimPrefix(filepath.Base(path), "idle-"))
		if locked(path) {
			pids[pid] = true
		}
	}
	return pids
}

func locked(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}

func pidOf(t *testing.T, dir, attemptID string) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "work", "attempts", attemptID, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// watch collects exits until the test ends.
func watch(t *testing.T, e *process.Executor) <-chan executor.Exit {
	t.Helper()
	exits, done := make(chan executor.Exit, 100), make(chan struct{})
	ctx, cancel := withCancel()
	go func() {
		defer close(done)
		_ = e.Watch(ctx, collect(exits))
	}()
	t.Cleanup(func() { cancel(); <-done })
	return exits
}
