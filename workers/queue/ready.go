package queue

import (
	"context"
	"time"
)

// readyPause is between two looks at whether there is room again.
const readyPause = 2 * time.Second

// answerUnready counts messages that came when there was no room any more.
const answerUnready = "unready"

// ready asks Config.Ready, and says once when its answer changes.
func (w *Worker) ready() error {
	if w.cfg.Ready == nil {
		return nil
	}
	err := w.cfg.Ready()
	switch was := w.paused.Swap(err != nil); {
	case err != nil && !was:
		w.log.Warn("taking no new tasks, those that run go on", "reason", err)
		w.tell()
	case err == nil && was:
		w.log.Info("taking tasks again")
		w.tell()
	}
	return err
}

// untilReady waits until something new may be taken, or ctx ends.
func (w *Worker) untilReady(ctx context.Context) error {
	for w.ready() != nil {
		timer := time.NewTimer(readyPause)
		select {
		case <-timer.C:
		case <-w.cfg.Freed:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
	return ctx.Err()
}
