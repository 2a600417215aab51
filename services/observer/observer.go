// Package observer tells the world outside how Gantry does. It follows the runs that end and makes metrics and, for runs
// that are traced, spans of them; and it counts what waits whenever the metrics are asked for. Nothing else of the server
// knows of it: a run costs one row read and, if it is traced, its events.
package observer

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gantry.example/internal/telemetry/otlp"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

const (
	every = 2 * time.Second
	batch = 200
	// maxEvents bounds what is read of one run; the rest of a run that was tried again without end is not shown.
	maxEvents = 1000
)

// Store has the runs that ended. EndedRuns gives each out once.
type Store interface {
	EndedRuns(ctx context.Context, limit int) (ended []postgres.EndedRun, more bool, err error)
	RunEvents(ctx context.Context, runID string, after int64, limit int) ([]run.Event, error)
}

// Traces takes the spans of one run; it never blocks.
type Traces interface {
	Offer(spans []otlp.Span)
}

// Observer follows ended runs. Several may run against one database: each run is seen by one of them. It is a
// prometheus.Collector.
type Observer struct {
	store   Store
	traces  Traces // nil: no spans are made
	metrics *metrics
	log     *slog.Logger
	down    bool // the failure was logged; Run's goroutine's own
}

// New returns an observer; traces may be nil.
func New(store Store, traces Traces, log *slog.Logger) *Observer {
	return &Observer{store: store, traces: traces, metrics: newMetrics(), log: log}
}

// Describe implements prometheus.Collector.
func (o *Observer) Describe(out chan<- *prometheus.Desc) { o.metrics.describe(out) }

// Collect implements prometheus.Collector.
func (o *Observer) Collect(out chan<- prometheus.Metric) { o.metrics.collect(out) }

// Run observes until ctx ends, and once more then, so that what ended before the stop is seen.
func (o *Observer) Run(ctx context.Context) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		o.report(ctx, o.Round(ctx))
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), every)
			defer cancel()
			_ = o.Round(last) // the database may be going away too
			return nil
		case <-tick.C:
		}
	}
}

// report logs when the database stops or starts to answer.
func (o *Observer) report(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil:
		return
	case err != nil && !o.down:
		o.log.Warn("observer: ended runs cannot be read, trying again", "error", err)
	case err == nil && o.down:
		o.log.Info("observer: ended runs can be read again")
	}
	o.down = err != nil
}

// Round observes what has ended since the last one.
func (o *Observer) Round(ctx context.Context) error {
	for more := true; more; {
		var ended []postgres.EndedRun
		var err error
		if ended, more, err = o.store.EndedRuns(ctx, batch); err != nil {
			return err
		}
		for _, e := range ended {
			o.metrics.observe(e)
			if err := o.trace(ctx, e); err != nil {
				o.log.Warn("observer: no trace of a run, its events cannot be read", "run", e.Run.ID, "error", err)
			}
		}
	}
	return nil
}

func (o *Observer) trace(ctx context.Context, e postgres.EndedRun) error {
	if o.traces == nil || !wanted(e.Run) {
		return nil
	}
	events, err := o.store.RunEvents(ctx, e.Run.ID, 0, maxEvents)
	if err == nil {
		o.traces.Offer(spans(e, events))
	}
	return err
}

var (
	_ Store                = (*postgres.DB)(nil)
	_ Traces               = (*otlp.Exporter)(nil)
	_ prometheus.Collector = (*Observer)(nil)
)
