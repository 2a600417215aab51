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
// the goroutine of start, until the returned stop, and direct run beside everything.
type stateSync struct {
	api        *client.Attempt
	folder     folder
	store      *stateStore // whose file it is that keep writes to; nil if none serves
	superseded func()      // called when the server says that the attempt must not write any more
	log        *slog.Logger

	mu     sync.Mutex    // held during an upload; guards what follows
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
	if err != nil || state == nil || !s.follows(ref) {
		return // terraform is in the middle of writing, or has written nothing new
	}
	// Where terraform rewrites its file in place the next look, or a recovery, may find half of it.
	if err := s.keep(state, ref); err != nil {
		s.log.Warn("state not kept", "serial", ref.Serial, "error", err)
	}
	// Not ended by stop, so that the last upload never meets a half-done one of the same serial.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), uploadTimeout(state))
	defer cancel()
	err = s.put(ctx, state, ref)
	if client.HasCode(err, messages.CodeAttemptClosed) || client.HasCode(err, messages.CodeStateStaleEpoch) {
		s.superseded()
	}
	if err != nil {
		s.log.Warn("state not stored yet", "serial", ref.Serial, "error", err)
	}
}

// keep writes the state where a recovery looks for it.
func (s *stateSync) keep(state []byte, ref wire.StateRef) error {
	if s.store == nil {
		return replaceFile(s.folder.savedState(), state)
	}
	return s.store.keep(state, ref)
}

// direct stores a state that is in no file.
func (s *stateSync) direct(state []byte, ref wire.StateRef) error {
	ctx, cancel := context.WithTimeout(context.Background(), uploadTimeout(state))
	defer cancel()
	return s.put(ctx, state, ref)
}

// uploadTimeout is how long the state may be on its way: a second longer for each MiB.
func uploadTimeout(state []byte) time.Duration {
	return stateUploadTimeout + time.Duration(len(state)>>20)*time.Second
}

// follows reports whether a state with that ref is another one than was stored last, and not an older one.
func (s *stateSync) follows(ref wire.StateRef) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return ref != s.ref && !s.isOld(ref)
}

// isOld reports whether a newer state was stored than the one with that ref, which is what the disk had room for.
func (s *stateSync) isOld(ref wire.StateRef) bool {
	return s.any && ref.Lineage == s.ref.Lineage && ref.Serial < s.ref.Serial
}

// last is the ref of the state that was stored last, or nil.
func (s *stateSync) last() *wire.StateRef {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.any {
		return nil
	}
	ref := s.ref
	return &ref
}

// put stores the state unless it, or a newer one, is stored already.
func (s *stateSync) put(ctx context.Context, state []byte, ref wire.StateRef) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if bytes.Equal(state, s.stored) || !s.any && ref == s.ref || s.isOld(ref) {
		return nil
	}
	if err := s.api.PutState(ctx, state); err != nil {
		return err
	}
	s.stored, s.ref, s.any = state, ref, true
	return nil
}
