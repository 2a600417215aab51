// Package logs stores what Terraform printed: chunks come from the LOGS stream in any order and number of copies, and are
// appended to the log of their task in Postgres exactly once and in order.
package logs

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"gantry.example/internal/bus"
	"gantry.example/messages"
	"gantry.example/services/postgres"
)

const (
	batch = 256
	wait  = 2 * time.Second
	retry = 500 * time.Millisecond
	soon  = 20 * time.Millisecond
)

// Store appends a chunk. It is safe to call again with the same chunk and returns a *postgres.LogGap for one that came
// before its predecessor; SkipLogGap appends such a chunk all the same, noting what is missing.
type Store interface {
	AppendLog(ctx context.Context, c postgres.LogChunk) error
	SkipLogGap(ctx context.Context, c postgres.LogChunk) error
}

// DefaultPatience is how long a chunk waits for those before it. They are on their way through the same stream, and come again
// 30 s after a reader took them along into its end, so what is not there by then was lost with the stream.
const DefaultPatience = 45 * time.Second

// Service reads the LOGS stream. Several may run.
type Service struct {
	store    Store
	bus      *bus.Bus
	replicas int
	patience time.Duration
	log      *slog.Logger

	gaps map[string]gap // where an attempt's log waits; used by Run's goroutine only
}

// gap is where a log waits for what is missing.
type gap struct {
	have   int64 // what is stored; another reader may have moved it, and then this is another gap
	since  time.Time
	lowest int64 // of the chunks that wait behind it: only that one may skip the gap, or it would skip the others too
}

// New returns a service; replicas is that of the stream it creates when it is missing, patience how long it waits at a gap.
func New(store Store, b *bus.Bus, replicas int, patience time.Duration, log *slog.Logger) *Service {
	return &Service{store: store, bus: b, replicas: replicas, patience: patience, log: log, gaps: map[string]gap{}}
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
			err = errors.Join(err, s.bus.EnsureLogs(ctx, s.replicas), s.bus.EnsureDeadLetters(ctx, s.replicas))
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
			s.log.Warn("log message is not usable, kept as a dead letter", "error", d.Err)
			if err := d.Bury(ctx, messages.Failure{Code: messages.CodeInvalid, Message: d.Err.Error()}); err != nil {
				return err
			}
			continue
		}
		if err := s.storeOne(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) storeOne(ctx context.Context, d bus.LogDelivery) error {
	chunk := postgres.LogChunk{AttemptID: d.AttemptID, Offset: d.Offset, Data: d.Data, End: d.End, SHA256: d.SHA256}
	err := s.store.AppendLog(ctx, chunk)
	var ahead *postgres.LogGap
	if errors.As(err, &ahead) {
		g := s.wait(d, ahead.Have)
		waited := time.Since(g.since)
		if waited < s.patience || d.Offset > g.lowest {
			// What comes before is most likely on its way through another reader, and here in a moment.
			return d.NakWithDelay(min(max(waited, soon), retry))
		}
		s.log.Warn("log: what was lost is skipped", "run", d.RunID, "attempt", d.AttemptID, "offset", d.Offset)
		err = s.store.SkipLogGap(ctx, chunk)
	}
	if err != nil {
		return err
	}
	delete(s.gaps, d.AttemptID)
	return d.Ack(ctx)
}

// wait notes that a chunk waits at a gap.
func (s *Service) wait(d bus.LogDelivery, have int64) gap {
	g, waiting := s.gaps[d.AttemptID]
	if !waiting || g.have != have {
		g = gap{have: have, since: time.Now(), lowest: d.Offset}
	}
	g.lowest = min(g.lowest, d.Offset)
	s.gaps[d.AttemptID] = g
	return g
}

var _ Store = (*postgres.DB)(nil)
