package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"gantry.example/messages"
)

// poolOf is the pool whose queue or leases the stream of this name holds, if it is such a stream.
func poolOf(stream string) (pool string, ok bool) {
	for _, prefix := range []string{messages.TaskStream(""), messages.LeaseStream("")} {
		if pool, ok := strings.CutPrefix(stream, prefix); ok && messages.ValidName(pool) {
			return pool, true
		}
	}
	return "", false
}

// KeepPools deletes the queues, with their consumers, and the leases of all pools but those that exist, asked after they were
// listed, returns. It returns the names of what it deleted.
func (b *Bus) KeepPools(ctx context.Context, exist func(ctx context.Context) ([]string, error)) (deleted []string, err error) {
	names := b.js.StreamNames(ctx)
	left := map[string][]string{} // by pool
	for name := range names.Name() {
		if pool, ok := poolOf(name); ok {
			left[pool] = append(left[pool], name)
		}
	}
	if names.Err() != nil {
		return nil, fmt.Errorf("names of streams: %w", names.Err())
	}
	pools, err := exist(ctx)
	if err != nil {
		return nil, err
	}
	for _, pool := range pools {
		delete(left, pool)
	}
	for _, streams := range left {
		for _, name := range streams {
			if err := b.deleteStream(ctx, name); err != nil {
				return deleted, err
			}
			deleted = append(deleted, name)
		}
	}
	return deleted, nil
}

func (b *Bus) deleteStream(ctx context.Context, name string) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	if err := b.js.DeleteStream(ctx, name); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("delete stream %s: %w", name, err)
	}
	return nil
}
