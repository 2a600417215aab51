package queue

import (
	"context"
	"errors"

	"gantry.example/internal/wire"
)

// Drain has the worker take nothing new. Run returns when what runs is over and the server was told. It may be called from
// anywhere, any number of times.
func (w *Worker) Drain() {
	if w.draining.CompareAndSwap(false, true) {
		close(w.drain)
		w.log.Info("draining: taking no new tasks, ending when none runs any more", "running", w.slots.running())
	}
}

// Stop drains and asks everything that runs here to stop: one SIGINT to terraform, which saves its state. A plan is then tried
// again elsewhere, an apply ends with an error.
func (w *Worker) Stop(ctx context.Context) error {
	w.Drain()
	running, err := w.cfg.Executor.Running(ctx)
	for _, ref := range running {
		w.log.Warn("asking a task to stop, because its worker stops", ref.LogAttrs()...)
		err = errors.Join(err, w.cfg.Executor.Cancel(ctx, ref.AttemptID, false))
	}
	return err
}

// whileTaking returns a context that ends with ctx or at Drain.
func (w *Worker) whileTaking(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() { // ends with ctx, which cancel ends
		select {
		case <-w.drain:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// finish waits, while draining, until nothing runs any more.
func (w *Worker) finish(ctx context.Context) {
	if !w.draining.Load() {
		return
	}
	_ = w.slots.untilQuiet(ctx) // it ends with ctx: what runs goes on
}

// Farewell tells that the worker is gone for good, unless something still runs here.
func (w *Worker) Farewell(ctx context.Context, to Presence) {
	last := w.status(ctx)
	if len(last.Runs) > 0 {
		return
	}
	last.State = wire.WorkerExited
	ctx, cancel := context.WithTimeout(ctx, presenceLimit)
	defer cancel()
	if _, err := to.SawWorker(ctx, last); err != nil {
		w.log.Debug("the server did not hear that this worker ended", "error", err)
	}
}
