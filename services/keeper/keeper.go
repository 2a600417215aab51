// Package keeper keeps house in Postgres: what is over becomes small, and what nobody needs any more goes.
//
//	every 10 s   logs of runs that ended a minute ago are compressed
//	every hour   answers, sessions, tokens and results whose time is over; runs, logs, plans, configurations and acts older than the
//	             retention allows
//
// Nothing waits for it, so it works beside the reconciler and not in its rounds, which a long sweep would hold up.
package keeper

import (
	"context"
	"log/slog"
	"time"

	"gantry.example/services/postgres"
)

// Store is what is kept in order. Every method may be called again and by several keepers at once.
type Store interface {
	// ArchiveLogs compresses up to limit logs that ended longer than age ago and returns how many it did.
	ArchiveLogs(ctx context.Context, age time.Duration, limit int) (int, error)
	// Sweep removes what is only kept for a while.
	Sweep(ctx context.Context) error
	// Retain removes what is older than its retention.
	Retain(ctx context.Context, r postgres.Retention) (postgres.Removed, error)
}

// Timing is the keeper's pace.
type Timing struct {
	Archive    time.Duration // between two looks at ended logs
	ArchiveAge time.Duration // a log is left alone for so long: its readers come back soon
	Sweep      time.Duration // between two sweeps
}

// DefaultTiming is what the package comment says.
func DefaultTiming() Timing {
	return Timing{Archive: 10 * time.Second, ArchiveAge: time.Minute, Sweep: time.Hour}
}

// archiveBatch bounds what is compressed without a pause, so that a long backlog (of an upgrade) leaves room for others.
const archiveBatch = 200

// Keeper keeps house. One per server; several do no harm.
type Keeper struct {
	store     Store
	retention postgres.Retention
	timing    Timing
	log       *slog.Logger
}

// New returns a keeper that does nothing yet.
func New(store Store, r postgres.Retention, t Timing, log *slog.Logger) *Keeper {
	return &Keeper{store: store, retention: r, timing: t, log: log}
}

// Run keeps house until ctx ends. What fails is tried again at its next time.
func (k *Keeper) Run(ctx context.Context) error {
	archive, sweep := time.NewTicker(k.timing.Archive), time.NewTicker(k.timing.Sweep)
	defer archive.Stop()
	defer sweep.Stop()
	k.sweep(ctx)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-archive.C:
			k.archive(ctx)
		case <-sweep.C:
			k.sweep(ctx)
		}
	}
}

func (k *Keeper) archive(ctx context.Context) {
	if _, err := k.store.ArchiveLogs(ctx, k.timing.ArchiveAge, archiveBatch); err != nil && ctx.Err() == nil {
		k.log.Warn("keeper: logs are not all archived, trying again", "error", err)
	}
}

func (k *Keeper) sweep(ctx context.Context) {
	if err := k.store.Sweep(ctx); err != nil && ctx.Err() == nil {
		k.log.Warn("keeper: sweep not finished, trying again in an hour", "error", err)
	}
	gone, err := k.store.Retain(ctx, k.retention)
	if gone != (postgres.Removed{}) {
		k.log.Info("keeper: removed what is older than its retention", "runs", gone.Runs, "logs", gone.Logs, "configurations", gone.Configurations, "acts", gone.Acts)
	}
	if err != nil && ctx.Err() == nil {
		k.log.Warn("keeper: not everything that is too old was removed, trying again in an hour", "error", err)
	}
}

var _ Store = (*postgres.DB)(nil)
