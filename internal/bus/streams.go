package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gantry.example/messages"
)

// dedupWindow is how long a stream remembers message ids. It only has to cover a publisher's own retries.
const dedupWindow = 2 * time.Minute

// EnsureStatus creates the stream of events, or brings an existing one to these settings. The Ensure functions may be
// called at any time and by several processes at once; replicas is 1 on a single server, 3 in a cluster.
func (b *Bus) EnsureStatus(ctx context.Context, replicas int) error {
	return b.ensureStream(ctx, jetstream.StreamConfig{
		Name:        messages.StatusStream,
		Subjects:    []string{messages.StatusSubjects},
		Retention:   jetstream.LimitsPolicy,
		MaxAge:      7 * 24 * time.Hour,
		Duplicates:  10 * time.Minute, // a runner repeats its events after an outage of up to the offline limit
		AllowDirect: true,
		Replicas:    replicas,
	})
}

// EnsureLogs creates the stream of log chunks.
func (b *Bus) EnsureLogs(ctx context.Context, replicas int) error {
	return b.ensureStream(ctx, jetstream.StreamConfig{
		Name:        messages.LogStream,
		Subjects:    []string{messages.LogSubjects},
		Retention:   jetstream.LimitsPolicy,
		MaxAge:      24 * time.Hour,
		Compression: jetstream.S2Compression,
		Duplicates:  10 * time.Minute,
		AllowDirect: true,
		Replicas:    replicas,
	})
}

// EnsureTasks creates the work queue of a pool. A key has at most one message and the newest wins: refusing the newer one
// instead would let a stale message block its workspace.
func (b *Bus) EnsureTasks(ctx context.Context, mode messages.Mode, pool string, replicas int) error {
	return b.ensureStream(ctx, jetstream.StreamConfig{
		Name:              messages.TaskStream(pool),
		Subjects:          []string{messages.TaskStreamSubjects(mode, pool)},
		Retention:         jetstream.WorkQueuePolicy,
		MaxMsgsPerSubject: 1,
		Discard:           jetstream.DiscardOld,
		Duplicates:        dedupWindow,
		Replicas:          replicas,
	})
}

// EnsureLeases creates the lease bucket of a pool. It is made by hand because a bucket made by the KV API gets expiry
// markers (SubjectDeleteMarkerTTL), and a marker can wipe a renewal that was acknowledged at the moment of expiry.
func (b *Bus) EnsureLeases(ctx context.Context, pool string, replicas int) error {
	return b.ensureStream(ctx, jetstream.StreamConfig{
		Name:              messages.LeaseStream(pool),
		Subjects:          []string{messages.LeaseSubject(pool, ">")},
		MaxMsgsPerSubject: 1,
		Discard:           jetstream.DiscardNew,
		DenyDelete:        true,
		AllowMsgTTL:       true,
		AllowDirect:       false, // a direct get may be answered by a replica that lags
		AllowRollup:       false, // a roll-up header on one key's message could wipe the whole bucket
		Duplicates:        dedupWindow,
		Replicas:          replicas,
	})
}

func (b *Bus) ensureStream(ctx context.Context, c jetstream.StreamConfig) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	c.Storage = jetstream.FileStorage
	if _, err := b.js.CreateOrUpdateStream(ctx, c); err != nil {
		return fmt.Errorf("stream %s: create or update: %w", c.Name, err)
	}
	return nil
}
