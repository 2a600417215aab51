package cli

import (
	"context"
	"sync"
	"time"

	"gantry.example/client"
)

// watcher keeps what the server says about a run. It may be used by many goroutines.
type watcher struct {
	stop context.CancelFunc
	done chan struct{}

	mu      sync.Mutex
	state   client.RunState // its Seq is 0 until the server was heard
	err     error           // why nothing more will be heard
	changed chan struct{}   // closed at the next change, then replaced
}

func watch(ctx context.Context, c *client.Client, runID string) *watcher {
	ctx, stop := context.WithCancel(ctx)
	w := &watcher{
		stop: stop, done: make(chan struct{}), changed: make(chan struct{}),
	}
	go func() {
		defer close(w.done)
		for change, err := range c.WatchRun(ctx, runID, 0) {
			w.set(change.Run, err)
		}
	}()
	return w
}

// close stops watching and waits until that is so.
func (w *watcher) close() {
	w.stop()
	<-w.done
}

func (w *watcher) set(state client.RunState, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.err = err
	} else {
		w.state = state
	}
	close(w.changed)
	w.changed = make(chan struct{})
}

// now is the run as last heard, a channel that is closed at the next change, and why there will be none.
func (w *watcher) now() (client.RunState, <-chan struct{}, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state, w.changed, w.err
}

// seenEvery is how often a state that lasts is shown again, with what was learned about it meanwhile.
const seenEvery = time.Second

// await returns the run as soon as it is as wanted. seen is called with every state until then, and again while it lasts; it
// may be nil.
func (w *watcher) await(ctx context.Context, wanted func(client.RunState) bool, seen func(client.RunState)) (client.RunState, error) {
	again := time.NewTicker(seenEvery)
	defer again.Stop()
	for {
		state, changed, err := w.now()
		switch {
		case state.Seq > 0 && wanted(state):
			return state, nil
		case ctx.Err() != nil:
			return state, context.Cause(ctx)
		case err != nil:
			return state, err
		}
		if state.Seq > 0 && seen != nil {
			seen(state)
		}
		select {
		case <-changed:
		case <-again.C:
		case <-ctx.Done():
		}
	}
}
