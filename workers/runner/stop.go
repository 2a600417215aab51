package runner

import (
	"context"
	"errors"
	"sync"
)

// Why an attempt is asked to stop, as the cause of its context.
var (
	errCancelAsked = errors.New("cancel was asked for")
	errLeaseLost   = errors.New("the lease was lost")
	errSuperseded  = errors.New("the server says that the attempt is over")
)

// stopper turns every kind of request to stop into one canceled context and, on force, one kill. All methods may be called
// from anywhere, any number of times.
type stopper struct {
	cancel context.CancelCauseFunc

	mu     sync.Mutex
	forced bool
	kill   func() // set while terraform may run
}

// ask cancels, and kills if force is set.
func (s *stopper) ask(force bool) {
	s.cancel(errCancelAsked)
	if !force {
		return
	}
	s.mu.Lock()
	kill, first := s.kill, !s.forced
	s.forced = true
	s.mu.Unlock()
	if kill != nil && first {
		go kill() // callers must not wait for it; it ends by itself once the tree is gone
	}
}

// killWith sets what a force does, nil for nothing. If it was asked for before, it is done now.
func (s *stopper) killWith(kill func()) {
	s.mu.Lock()
	s.kill = kill
	forced := s.forced
	s.mu.Unlock()
	if forced && kill != nil {
		kill()
	}
}
