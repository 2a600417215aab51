package queue

import (
	"context"
	"time"

	"gantry.example/internal/wire"
	"gantry.example/messages"
)

// Presence takes what a worker says about itself. It is called from one goroutine; saying the same again is harmless.
type Presence interface {
	SawWorker(ctx context.Context, s wire.WorkerStatus) error
}

// Between two words about oneself, and how long one may take.
const (
	presenceEvery = 10 * time.Second
	presenceLimit = 5 * time.Second
)

// Announce tells to every few seconds, and soon after a change, how busy the worker is, until ctx ends. What it says is for
// people only, so a word that does not arrive is not repeated.
func (w *Worker) Announce(ctx context.Context, to Presence) {
	tick := time.NewTicker(presenceEvery / 10)
	defer tick.Stop()
	var said wire.WorkerStatus
	var at time.Time
	for {
		if now := w.status(); now != said || time.Since(at) >= presenceEvery {
			limited, cancel := context.WithTimeout(ctx, presenceLimit)
			err := to.SawWorker(limited, now)
			cancel()
			if err == nil {
				said, at = now, time.Now()
			} else if ctx.Err() == nil {
				w.log.Debug("the server did not hear how busy this worker is", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (w *Worker) status() wire.WorkerStatus {
	s := wire.WorkerStatus{V: messages.Version, Name: w.cfg.Name, Slots: w.cfg.Slots, Busy: w.slots.running()}
	if err := w.ready(); err != nil {
		s.Refusing = err.Error()
	}
	return s
}
