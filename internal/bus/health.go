package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// StreamHealth is how a stream is, with those who read it.
type StreamHealth struct {
	Name      string
	Messages  uint64
	Bytes     uint64
	MaxBytes  int64     // 0: no limit
	Oldest    time.Time // zero where there is no message
	Newest    time.Time
	Replicas  int
	Leader    string // "" on a single server
	Lagging   int    // copies that are behind
	Consumers []ConsumerHealth
}

// ConsumerHealth is how a reader of a stream is.
type ConsumerHealth struct {
	Name        string
	Pending     uint64 // not delivered yet
	Unacked     int    // delivered, not acknowledged
	Redelivered int
	Waiting     int // requests for messages that are open
}

// maxStreams bounds how many streams are asked for their readers: each is a question of its own.
const maxStreams = 200

// Health lists the streams there are, by name, with their readers. more tells that there are others.
func (b *Bus) Health(ctx context.Context) (out []StreamHealth, more bool, err error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	list := b.js.ListStreams(ctx)
	for info := range list.Info() {
		if len(out) == maxStreams {
			more = true
			continue // to the end, or the listing would not stop
		}
		one, err := b.health(ctx, info)
		if errors.Is(err, ErrNoStream) {
			continue // deleted since it was listed
		}
		if err != nil {
			return nil, false, err
		}
		out = append(out, one)
	}
	if err := list.Err(); err != nil {
		return nil, false, fmt.Errorf("list streams: %w", err)
	}
	return out, more, nil
}

func (b *Bus) health(ctx context.Context, info *jetstream.StreamInfo) (StreamHealth, error) {
	out := StreamHealth{
		Name: info.Config.Name, Messages: info.State.Msgs, Bytes: info.State.Bytes, MaxBytes: max(info.Config.MaxBytes, 0), Replicas: info.Config.Replicas,
	}
	if info.State.Msgs > 0 {
		out.Oldest, out.Newest = info.State.FirstTime, info.State.LastTime
	}
	if info.Cluster != nil {
		out.Leader = info.Cluster.Leader
		for _, r := range info.Cluster.Replicas {
			if !r.Current || r.Offline {
				out.Lagging++
			}
		}
	}
	if info.State.Consumers == 0 {
		return out, nil
	}
	s, err := b.js.Stream(ctx, info.Config.Name)
	if err != nil {
		return out, fmt.Errorf("stream %s: %w", info.Config.Name, noStream(err))
	}
	readers := s.ListConsumers(ctx)
	for c := range readers.Info() {
		out.Consumers = append(out.Consumers, ConsumerHealth{c.Name, c.NumPending, c.NumAckPending, c.NumRedelivered, c.NumWaiting})
	}
	if err := readers.Err(); err != nil {
		return out, fmt.Errorf("consumers of stream %s: %w", info.Config.Name, noStream(err))
	}
	return out, nil
}
