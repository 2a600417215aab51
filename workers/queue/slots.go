package queue

import (
	"context"
	"sync"
)

// slots counts how many runners the worker may still start. A slot is held from before the pull until the runner that
// came of it exits.
type slots struct {
	limit int
	freed chan struct{}

	mu       sync.Mutex // guards the rest
	held     int        // may be above limit, by adopted runners
	waiting  bool       // one of them waits for a task
	occupied map[string]bool
	untold   map[string]bool // attempts that are over, which the server was not told yet
}

func newSlots(limit int) *slots {
	return &slots{limit: limit, freed: make(chan struct{}, 1), occupied: map[string]bool{}, untold: map[string]bool{}}
}

// acquire waits for a free slot. One goroutine calls it.
func (s *slots) acquire(ctx context.Context) error {
	for {
		if s.tryAcquire() {
			return nil
		}
		select {
		case <-s.freed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *slots) tryAcquire() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held >= s.limit {
		return false
	}
	s.held++
	s.waiting = true
	return true
}

// filled says that a task came for the acquired slot.
func (s *slots) filled() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = false
}

// abandon gives an acquired slot back for which no task came.
func (s *slots) abandon() {
	s.filled()
	s.release()
}

// busy is the number of slots with a task, from its arrival until its runner exits.
func (s *slots) busy() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting {
		return s.held - 1
	}
	return s.held
}

// release gives a slot back.
func (s *slots) release() {
	s.mu.Lock()
	s.held--
	s.mu.Unlock()
	select {
	case s.freed <- struct{}{}:
	default:
	}
}

// occupy gives the acquired slot to an attempt. If the attempt has one already the acquired one is released.
func (s *slots) occupy(attemptID string) bool {
	s.mu.Lock()
	first := !s.occupied[attemptID]
	s.occupied[attemptID] = true
	s.mu.Unlock()
	if !first {
		s.release()
	}
	return first
}

// adopt takes a slot for an attempt that runs already, free or not.
func (s *slots) adopt(attemptID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.occupied[attemptID] {
		s.occupied[attemptID] = true
		s.held++
	}
}

// vacate releases the slot of an attempt, and reports whether it had one.
func (s *slots) vacate(attemptID string) bool {
	s.mu.Lock()
	had := s.occupied[attemptID]
	delete(s.occupied, attemptID)
	s.mu.Unlock()
	if had {
		s.release()
	}
	return had
}

// exit is vacate for an attempt whose end has to be told; told follows.
func (s *slots) exit(attemptID string) bool {
	s.mu.Lock()
	s.untold[attemptID] = true
	s.mu.Unlock()
	return s.vacate(attemptID)
}

func (s *slots) told(attemptID string) {
	s.mu.Lock()
	delete(s.untold, attemptID)
	s.mu.Unlock()
	select {
	case s.freed <- struct{}{}:
	default:
	}
}

// untilQuiet waits until no attempt has a slot and the end of all was told, or ctx ends. Nobody acquires any more.
func (s *slots) untilQuiet(ctx context.Context) error {
	for {
		s.mu.Lock()
		quiet := s.held == 0 && len(s.untold) == 0
		s.mu.Unlock()
		if quiet {
			return nil
		}
		select {
		case <-s.freed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// running is the number of attempts that have a slot.
func (s *slots) running() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.occupied)
}
