// Package executortest is the conformance suite of executors, and a fake that passes it.
package executortest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/workers/executor"
)

// Instance is an open executor. Close lets go of the place and leaves what runs there alone.
type Instance interface {
	executor.Executor
	executor.Watcher
	Close() error
}

// Harness lets the suite drive one place where runners run. Its runners wait to be told to finish.
type Harness struct {
	// Open opens an executor on the place. The suite closes one before it opens the next.
	Open func(t *testing.T) Instance
	// Finish lets the running runner of the attempt exit with the code, now or as soon as it is up.
	Finish func(t *testing.T, attemptID string, code int)
	// Starts tells how many runners have begun to work on the attempt so far.
	Starts func(t *testing.T, attemptID string) int
}

// NewAttempt returns a claim of the phase with fresh ids.
func NewAttempt(phase messages.Phase) executor.Attempt {
	id := messages.NewID("att-")
	return executor.Attempt{Claim: wire.Claim{
		AttemptID: id, Number: 1, Epoch: 1, Token: "secret-" + messages.NewID(""),
		Inputs: wire.Inputs{
			AttemptID: id, TaskID: messages.NewID("task-"), RunID: messages.NewID("run-"), WorkspaceID: messages.NewID("ws-"),
			Phase: phase, Exclusive: true, Pool: messages.LocalPool, Epoch: 1,
		},
	}}
}

// Run checks that the executors of a place keep the contract of executor.Executor and executor.Watcher. open is called
// once for each test.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	for name, test := range map[string]func(*testing.T, *bench){
		"start is idempotent":                 startTwice,
		"start after exit does not run again": startAfterExit,
		"start refuses the wrong phase":       startWrongPhase,
		"unknown attempts":                    unknownAttempts,
		"cancel ends the runner":              cancel,
		"cancel with force kills":             cancelWithForce,
		"exits are reported once":             exitsOnce,
		"a failed report is repeated":         exitRepeated,
		"a second executor adopts":            adopt,
		"exits in between are reported":       exitInBetween,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &bench{Harness: open(t)}
			b.open(t)
			t.Cleanup(func() { b.close(t) })
			test(t, b)
		})
	}
}

// bench is an open executor with its exits recorded.
type bench struct {
	Harness
	Instance
	stop func()

	mu    sync.Mutex
	fail  int // so many reports are answered with an error
	calls int
	exits []executor.Exit
}

func (b *bench) open(t *testing.T) {
	t.Helper()
	b.Instance = b.Open(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := b.Watch(ctx, b.handle); !errors.Is(err, context.Canceled) {
			t.Errorf("Watch: got %v, want the error of its context", err)
		}
	}()
	b.stop = func() { cancel(); <-done }
}

func (b *bench) close(t *testing.T) {
	t.Helper()
	b.stop()
	if err := b.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func (b *bench) handle(_ context.Context, e executor.Exit) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls++
	if b.calls <= b.fail {
		return errors.New("not now")
	}
	b.exits = append(b.exits, e)
	return nil
}

func (b *bench) reported() []executor.Exit {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]executor.Exit(nil), b.exits...)
}

func (b *bench) start(ctx context.Context, a executor.Attempt) error {
	if a.Inputs.Phase == messages.PhaseApply {
		return b.StartApply(ctx, a)
	}
	return b.StartPlan(ctx, a)
}

func (b *bench) mustStart(t *testing.T, a executor.Attempt) {
	t.Helper()
	if err := b.start(t.Context(), a); err != nil {
		t.Fatalf("start: %v", err)
	}
}

func (b *bench) wantStatus(t *testing.T, id string, want executor.Status) {
	t.Helper()
	got, err := b.Status(t.Context(), id)
	if err != nil {
		t.Fatalf("Status: %v", err)
	}
	if got != want {
		t.Fatalf("Status: got %+v, want %+v", got, want)
	}
}

func (b *bench) wantRunning(t *testing.T, want ...executor.Ref) {
	t.Helper()
	got, err := b.Running(t.Context())
	if err != nil {
		t.Fatalf("Running: %v", err)
	}
	if diff := cmp.Diff(append([]executor.Ref{}, want...), append([]executor.Ref{}, got...)); diff != "" {
		t.Fatalf("Running (-want +got):\n%s", diff)
	}
}

func (b *bench) waitStarted(t *testing.T, id string) {
	t.Helper()
	Wait(t, "the runner of "+id, func() bool { return b.Starts(t, id) > 0 })
}

func (b *bench) waitExits(t *testing.T, n int) []executor.Exit {
	t.Helper()
	Wait(t, "a reported exit", func() bool { return len(b.reported()) >= n })
	return b.reported()
}

// Wait polls until ok or, after 20 s, fails the test. It is for what happens in another process and gives no signal.
func Wait(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited 20 s for %s", what)
		}
	}
}
