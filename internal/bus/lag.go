package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gantry.example/messages"
)

// Connected reports whether the connection to NATS stands at this moment.
func (b *Bus) Connected() bool { return b.nc.IsConnected() }

// Reconnects is how often the connection was lost and made again. An answer that was waited for meanwhile never came.
func (b *Bus) Reconnects() uint64 { return b.nc.Stats().Reconnects }

// Lag is how far a reader is behind.
type Lag struct {
	Pending uint64        // messages that are not dealt with: not delivered, or delivered and not acknowledged
	Oldest  time.Duration // how long ago the oldest of them was stored; 0 when there is none
}

// EventLag is how far the projector is behind. Errors: ErrNoStream when the stream is missing.
func (b *Bus) EventLag(ctx context.Context) (Lag, error) {
	return b.lag(ctx, messages.StatusStream, messages.ProjectorConsumer, messages.StatusSubjects)
}

// LogLag is how far the storing of logs is behind. Errors: ErrNoStream when the stream is missing.
func (b *Bus) LogLag(ctx context.Context) (Lag, error) {
	return b.lag(ctx, messages.LogStream, messages.LogConsumer, messages.LogSubjects)
}

func (b *Bus) lag(ctx context.Context, stream, durable, subjects string) (Lag, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	s, err := b.js.Stream(ctx, stream)
	if err != nil {
		return Lag{}, fmt.Errorf("lag of %s: %w", durable, noStream(err))
	}
	cons, err := s.Consumer(ctx, durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) { // nobody has read yet
		state := s.CachedInfo().State
		if state.Msgs == 0 {
			return Lag{}, nil
		}
		return Lag{Pending: state.Msgs, Oldest: max(time.Since(state.FirstTime), 0)}, nil
	}
	if err != nil {
		return Lag{}, fmt.Errorf("lag of %s: %w", durable, noStream(err))
	}
	info := cons.CachedInfo()
	out := Lag{Pending: info.NumPending + uint64(max(info.NumAckPending, 0))}
	if out.Pending == 0 {
		return out, nil
	}
	m, err := s.GetMsg(ctx, info.AckFloor.Stream+1, jetstream.WithGetMsgSubject(subjects))
	if errors.Is(err, jetstream.ErrMsgNotFound) { // dealt with since
		return out, nil
	}
	if err != nil {
		return Lag{}, fmt.Errorf("lag of %s: %w", durable, noStream(err))
	}
	out.Oldest = max(time.Since(m.Time), 0)
	return out, nil
}
