package pgserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

const (
	firstBackOff, longestBackOff = 100 * time.Millisecond, 10 * time.Second
	// healthyAfter is how long a postmaster must have lived for the next restart to be immediate again.
	healthyAfter = time.Minute
	pollReady    = 10 * time.Millisecond
)

// errChildrenAlive: the postmaster was killed and some of its children still run.
var errChildrenAlive = errors.New("processes of a killed PostgreSQL are still alive")

// supervise keeps a postmaster running until Stop. It never gives up: a full disk can be emptied, and until then
// the health check of the database says what is wrong.
func (s *Server) supervise(p *process) {
	defer close(s.stopped)
	backOff, since := firstBackOff, time.Now()
	for {
		select {
		case <-s.stopping:
			s.shutDown(p)
			return
		case <-p.exited:
		}
		if time.Since(since) > healthyAfter {
			backOff = firstBackOff
		}
		s.cfg.Log.Error("PostgreSQL died, starting it again", "error", p.err, "said", s.words(p))
		if p = s.restart(&backOff); p == nil {
			return
		}
		since = time.Now()
		s.cfg.Log.Info("PostgreSQL is back", "pid", p.cmd.Process.Pid)
	}
}

// restart returns a new postmaster that answers, or nil when Stop was called meanwhile.
func (s *Server) restart(backOff *time.Duration) *process {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	watcher := make(chan struct{})
	go func() {
		defer close(watcher)
		select {
		case <-s.stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	defer func() { cancel(); <-watcher }()
	for {
		p, err := s.bringUp(ctx)
		if err == nil {
			return p
		}
		if ctx.Err() != nil {
			return nil
		}
		s.cfg.Log.Error("PostgreSQL does not start, trying again", "in", *backOff, "error", err)
		if pause(ctx, *backOff) != nil {
			return nil
		}
		*backOff = min(2**backOff, longestBackOff)
	}
}

// launchAndWait starts a postmaster and returns when it answers. On an error none is left running.
func (s *Server) launchAndWait(ctx context.Context) (*process, error) {
	p, err := s.launch()
	if err != nil {
		return nil, err
	}
	ticker := time.NewTicker(pollReady)
	defer ticker.Stop()
	for {
		unready := s.ping(ctx)
		if unready == nil {
			return p, nil
		}
		select {
		case <-p.exited:
			words := s.words(p)
			if sharesMemory(words) {
				return nil, errChildrenAlive
			}
			return nil, fmt.Errorf("postgres did not start (%w); the end of %s:\n%s", p.err, s.logPath(), words)
		case <-ctx.Done():
			s.shutDown(p)
			return nil, fmt.Errorf("postgres did not get ready: %w (%w); the end of %s:\n%s", context.Cause(ctx), unready, s.logPath(), s.words(p))
		case <-ticker.C:
		}
	}
}

func (s *Server) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var one int
	return s.admin.QueryRowContext(ctx, `SELECT 1`).Scan(&one)
}

// shutDown ends p and waits for its end: a fast shutdown, then an immediate one, then a kill.
func (s *Server) shutDown(p *process) {
	hurry := s.hurry
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL} {
		if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
			s.cfg.Log.Error("cannot signal PostgreSQL", "signal", signal, "error", err)
		}
		select {
		case <-p.exited:
			return
		case <-hurry:
			hurry = nil // the next signals get their own patience
		case <-time.After(patience(signal)):
		}
		s.cfg.Log.Warn("PostgreSQL takes long to stop", "after", signal)
	}
	<-p.exited
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
