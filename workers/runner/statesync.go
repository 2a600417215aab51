package runner

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"time"

	"gantry.example/client"
	"gantry.example/internal/wire"
	"gantry.example/messages"
)

// How often the state of a running apply is looked at, and how long one upload of it may take. The first bounds what is
// lost when the host dies.
const (
	stateInterval      = time.Second
	stateUploadTimeout = 5 * time.Second
)

// stateSync stores the state of an apply while terraform writes it. Its methods are called one after the other, except that
// the goroutine of start runs beside everything until the returned stop.
type stateSync struct {
	api        *client.Attempt
	folder     folder
	superseded func() // called when the server says that the attempt must not write any more
	log        *slog.Logger

	stored []byte        // content last stored, or what the attempt started from
	ref    wire.StateRef // of stored
	any    bool          // something was stored
}

// start begins to follow the state file. stop waits for an upload that is under way.
func (s *stateSync) start() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var loop sync.WaitGroup
	loop.Go(func() {
		tick := time.NewTicker(stateInterval)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				s.follow(ctx)
			case <-ctx.Done():
				return
			}
		}
	})
	return func() {
		cancel()
		loop.Wait()
	}
}

// follow stores the state if there is a newer one. Nothing depends on it: the end of the attempt does it again.
func (s *stateSync) follow(ctx context.Context) {
	state, ref, err := s.folder.newestState()
	if err != nil || state == nil || ref == s.ref {
		return // terraform is in the middle of writing, or has written nothing new
	}
	// Where terraform rewrites its file in place the next look, or a recovery, may find half of it.
	if err := replaceFile(s.folder.savedState(), state); err != nil {
		s.log.Warn("state not kept", "serial", ref.Serial, "error", err)
	}
	// Not ended by stop, so that the last upload never meets a half-done one of the same serial.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stateUploadTimeout)
	defer cancel()
	err = s.put(ctx, state, ref)
	if client.HasCode(err, messages.CodeAttemptClosed) || client.HasCode(err, messages.CodeStateStaleEpoch) {
		s.superseded()
	}
	if err != nil {
		s.log.Warn("state not stored yet", "serial", ref.Serial, "error", err)
	}
}

// put stores the state unless it is stored already.
func (s *stateSync) put(ctx context.Context, state []byte, ref wire.StateRef) error {
	if bytes.Equal(state, s.stored) || !s.any && ref == s.ref {
		return nil
	}
	if err := s.api.PutState(ctx, state); err != nil {
		return err
	}
	s.stored, s.ref, s.any = state, ref, true
	return nil
}
