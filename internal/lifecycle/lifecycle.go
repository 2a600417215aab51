// Package lifecycle starts the parts of a program in order and stops them in the opposite one.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Part is one part of a program. Parts are started one after the other: each may use those before it for as long as it
// lives.
type Part struct {
	Name string
	// Start returns when the part is ready for those after it. Its context is the program's.
	Start func(ctx context.Context) error
	// Run, when there is one, works in the background from Start's return until its context ends. Returning earlier, with
	// or without an error, ends the program.
	Run func(ctx context.Context) error
	// Stop, when there is one, is called after Run has returned, with a context of StopTimeout.
	Stop func(ctx context.Context) error
}

// StopTimeout is how long one part may take to stop.
const StopTimeout = 30 * time.Second

// Run starts the parts, calls ready, and stops everything when ctx ends or a part fails. It returns the first failure, and
// nil when ctx ended and every part stopped well.
func Run(ctx context.Context, log *slog.Logger, ready func(), parts ...Part) error {
	asked := ctx
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var started []running
	var startErr error
	for _, p := range parts {
		if startErr = start(ctx, p); startErr != nil {
			break
		}
		started = append(started, launch(ctx, p, fail))
	}
	if startErr == nil {
		ready()
		<-ctx.Done()
	}
	err := startErr
	switch {
	case asked.Err() != nil:
		err = nil // asked to stop, if need be in the middle of the start
	case err == nil:
		err = context.Cause(ctx)
	}
	fail(nil)
	for i := len(started) - 1; i >= 0; i-- {
		log.Debug("stopping", "part", started[i].part.Name)
		if stopErr := started[i].stop(); err == nil {
			err = stopErr
		}
	}
	return err
}

func start(ctx context.Context, p Part) error {
	if p.Start == nil {
		return nil
	}
	if err := p.Start(ctx); err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	return nil
}

// running is a part that was started.
type running struct {
	part Part
	end  context.CancelFunc
	done chan struct{} // closed when Run has returned
}

// launch runs the part's loop under a context that ends only when its turn to stop has come, so that it serves the parts
// above it until they are gone.
func launch(ctx context.Context, p Part, fail context.CancelCauseFunc) running {
	loop, end := context.WithCancel(context.WithoutCancel(ctx))
	r := running{part: p, end: end, done: make(chan struct{})}
	if p.Run == nil {
		close(r.done)
		return r
	}
	go func() {
		defer close(r.done)
		err := p.Run(loop)
		if loop.Err() != nil {
			return // asked to stop; Stop reports what matters then
		}
		if err == nil {
			err = errors.New("ended by itself")
		}
		fail(fmt.Errorf("%s: %w", p.Name, err))
	}()
	return r
}

func (r running) stop() error {
	r.end()
	timeout, cancel := context.WithTimeout(context.Background(), StopTimeout)
	defer cancel()
	select {
	case <-r.done:
	case <-timeout.Done():
		return fmt.Errorf("%s: did not stop within %s", r.part.Name, StopTimeout)
	}
	if r.part.Stop == nil {
		return nil
	}
	if err := r.part.Stop(timeout); err != nil {
		return fmt.Errorf("stop %s: %w", r.part.Name, err)
	}
	return nil
}
