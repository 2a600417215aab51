package queue

import (
	"context"
	"reflect"
	"slices"
	"time"

	"gantry.example/internal/wire"
	"gantry.example/messages"
)

// Presence takes what a worker says about itself. It is called from one goroutine; saying the same again is harmless.
type Presence interface {
	SawWorker(ctx context.Context, s wire.WorkerStatus) (wire.WorkerOrders, error)
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
	var at, next time.Time // of the last word; before next none is said
	pause := time.Duration(0)
	for {
		now := w.status(ctx)
		if now.State != said.State { // that it takes nothing any more is worth an interruption
			next = time.Time{}
		}
		if time.Now().After(next) && (!reflect.DeepEqual(now, said) || time.Since(at) >= presenceEvery) {
			limited, cancel := context.WithTimeout(ctx, presenceLimit)
			orders, err := to.SawWorker(limited, now)
			cancel()
			if err == nil {
				said, at, pause = now, time.Now(), 0
				next = at.Add(time.Duration(orders.PauseSeconds) * time.Second)
				if w.cfg.Ordered != nil {
					w.cfg.Ordered(orders)
				}
			} else if ctx.Err() == nil {
				pause = min(max(2*pause, presenceEvery/10), presenceEvery)
				next = time.Now().Add(pause)
				w.log.Debug("the server did not hear how busy this worker is", "error", err)
				if w.cfg.Unheard != nil {
					w.cfg.Unheard(err)
				}
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (w *Worker) status(ctx context.Context) wire.WorkerStatus {
	s := wire.WorkerStatus{V: messages.Version, Name: w.cfg.Name, Slots: w.cfg.Slots, Busy: w.slots.running(),
		Labels: w.cfg.Labels, Version: w.cfg.Version, Instance: w.cfg.Instance, After: w.cfg.After}
	if err := w.ready(); err != nil {
		s.Refusing = err.Error()
	}
	if w.draining.Load() {
		s.State = wire.WorkerDraining
	}
	if running, err := w.cfg.Executor.Running(ctx); err == nil {
		for _, ref := range running {
			s.Runs = append(s.Runs, ref.RunID)
		}
		slices.Sort(s.Runs)
		s.Runs = slices.Compact(s.Runs)
	}
	return s
}
