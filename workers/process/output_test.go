package process_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"gantry.example/messages"
	"gantry.example/workers/executor"
	"gantry.example/workers/executor/executortest"
)

// printed is a log that several goroutines write.
type printed struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (p *printed) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func (p *printed) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// TestOutput: what a runner logged is passed on as it is before its exit is told, and what is no line of a log becomes one.
func TestOutput(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	t.Cleanup(func() { endRunners(t, dir) })
	var log printed
	cfg := config(dir)
	cfg.Output, cfg.Log = &log, slog.New(slog.NewTextHandler(&log, nil))
	e := open(t, cfg)
	exits := make(chan executor.Exit, 1)
	ctx, stop := withCancel()
	watched := make(chan error, 1)
	go func() { watched <- e.Watch(ctx, collect(exits)) }()
	a := executortest.NewAttempt(messages.PhasePlan)
	if err := e.StartPlan(testContext(), a); err != nil {
		t.Fatal(err)
	}
	finish(t, dir, a.AttemptID, 0)
	<-exits
	stop()
	<-watched
	if err := e.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	got := log.String()
	if n := strings.Count(got, "time=now level=INFO msg=\"the runner logs\"\n"); n != 1 {
		t.Errorf("got the runner's line %d times, want once:\n%s", n, got)
	}
	crash := ""
	for line := range strings.Lines(got) {
		if strings.Contains(line, `text="runner is up"`) {
			crash = line
		}
	}
	if !strings.Contains(crash, "run="+a.Inputs.RunID) || !strings.Contains(crash, "attempt="+a.AttemptID) {
		t.Errorf("got %q, want what the runner printed in a line that names run and attempt:\n%s", crash, got)
	}
}
