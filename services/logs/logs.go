// Package logs stores what Terraform printed: chunks come from the LOGS stream in any order and number of copies, and are
// appended to the log of their task in Postgres exactly once and in order.
package logs

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"gantry.example/internal/bus"
	"gantry.example/services/postgres"
)

const (
	batch = 256
	wait  = 2 * time.Second
	retry = 250 * time.Millisecond
)

// Store appends a chunk. It is safe to call again with the same chunk and returns postgres.ErrLogGap for one that came
// before its predecessor.
type Store interface {
	AppendLog(ctx context.Context, c postgres.LogChunk) error
}

// Service reads the LOGS stream. Several may run.
type Service struct {
	store    Store
	bus      *bus.Bus
	replicas int
	log      *slog.Logger
}

// New returns a service; replicas is that of the stream it creates when it is missing.
func New(store Store, b *bus.Bus, replicas int, log *slog.Logger) *Service {
	return &Service{store: store, bus: b, replicas: replicas, log: log}
}

// Run stores chunks until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	reader := s.bus.LogReader()
	for ctx.Err() == nil {
		deliveries, err := reader.FetchBatch(ctx, batch, wait)
		if err == nil {
			err = s.storeAll(ctx, deliveries)
		}
		if errors.Is(err, bus.ErrNoStream) {
			err = errors.Join(err, s.bus.EnsureLogs(ctx, s.replicas))
		}
		if err != nil && ctx.Err() == nil {
			s.log.Warn("logs: not everything was stored, trying again", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(retry):
			}
		}
	}
	return nil
}

func (s *Service) storeAll(ctx context.Context, deliveries []bus.LogDelivery) error {
	for _, d := range deliveries {
		if d.Err != nil {
			s.log.Warn("log message is not usable, dropped", "error", d.Err)
			if err := d.Term(d.Err.Error()); err != nil {
				return err
			}
			continue
		}
		err := s.store.AppendLog(ctx, postgres.LogChunk{AttemptID: d.AttemptID, Offset: d.Offset, Data: d.Data, End: d.End})
		if errors.Is(err, postgres.ErrLogGap) {
			err = d.NakWithDelay(retry)
		} else if err == nil {
			err = d.Ack(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

var _ Store = (*postgres.DB)(nil)
