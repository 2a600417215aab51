package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gantry.example/messages"
)

// ErrNoCluster tells that more than one copy was asked of a NATS that is a single server.
var ErrNoCluster = errors.New("this NATS is no cluster: ask for one copy (--replicas 1) or give the address of a cluster")

// codeNoCluster is the server's code for it (JSStreamReplicasNotSupportedErr).
const codeNoCluster jetstream.ErrorCode = 10074

// dedupWindow is how long a stream remembers message ids, each of which takes memory. It only has to cover a publisher's own
// retries: what a runner says again after a longer outage its readers recognize, an event by its id and a chunk by its offset.
const dedupWindow = 30 * time.Second

// What the streams that grow with use may take of the disk. They are ways through to Postgres, read within milliseconds, so
// what is in them matters only while their reader or Postgres is away; a longer absence must not fill the disk, because NATS
// gives up all its streams then. The oldest message goes first: the reconciler makes up for events that are lost, and a log
// says where it has a gap.
const (
	maxStatusBytes      = 256 << 20 // some 500,000 events, those of 35,000 runs
	maxLogBytes         = 1 << 30
	maxDeadLetterBytes  = 64 << 20
	maxDeadLetterAge    = 30 * 24 * time.Hour
	maxIntakeBytes      = 256 << 20
	maxIntakePerSubject = 10_000 // requests of one organization that wait, so that none can take all the room
)

// EnsureStatus creates the stream of events, or brings an existing one to these settings. The Ensure functions may be
// called at any time and by several processes at once; replicas is 1 on a single server, 3 in a cluster.
func (b *Bus) EnsureStatus(ctx context.Context, replicas int) error {
	return b.ensureStream(ctx, jetstream.StreamConfig{
		Name:        messages.StatusStream,
		Subjects:    []string{messages.StatusSubjects},
		Retention:   jetstream.LimitsPolicy,
		MaxAge:      7 * 24 * time.Hour,
		MaxBytes:    maxStatusBytes,
		Discard:     jetstream.DiscardOld,
		Duplicates:  dedupWindow,
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
		MaxBytes:    maxLogBytes,
		Discard:     jetstream.DiscardOld,
		Compression: jetstream.S2Compression,
		Duplicates:  dedupWindow,
		AllowDirect: true,
		Replicas:    replicas,
	})
}

// EnsureIntake creates the stream of run requests. A request that was taken is never dropped for a newer one: when there is
// no room, the producer is told so at once. Message ids are those of producers of all organizations, which know nothing of
// each other, so the stream is to forget them as soon as it can; Postgres recognizes what is repeated.
func (b *Bus) EnsureIntake(ctx context.Context, replicas int) error {
	return b.ensureStream(ctx, jetstream.StreamConfig{
		Name:                 messages.IntakeStream,
		Subjects:             []string{messages.IntakeSubjects},
		Retention:            jetstream.WorkQueuePolicy,
		MaxBytes:             maxIntakeBytes,
		MaxMsgsPerSubject:    maxIntakePerSubject,
		Discard:              jetstream.DiscardNew,
		DiscardNewPerSubject: true,
		Duplicates:           100 * time.Millisecond, // the least there is
		Replicas:             replicas,
	})
}

// EnsureDeadLetters creates the stream of messages that nobody could use. The newest tell of what is wrong now, so the
// oldest go when there are too many.
func (b *Bus) EnsureDeadLetters(ctx context.Context, replicas int) error {
	return b.ensureStream(ctx, jetstream.StreamConfig{
		Name:       messages.DeadLetterStream,
		Subjects:   []string{messages.DeadLetterSubjects},
		Retention:  jetstream.LimitsPolicy,
		MaxAge:     maxDeadLetterAge,
		MaxBytes:   maxDeadLetterBytes,
		Discard:    jetstream.DiscardOld,
		Duplicates: 10 * time.Minute, // a message whose end was not heard of comes again
		Replicas:   replicas,
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
	_, err := b.js.CreateStream(ctx, c)
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		// With other settings, that is: creating one that is just so changes nothing, and an update is not quite safe beside
		// the creation of its consumers (nats-server 2.15).
		_, err = b.js.UpdateStream(ctx, c)
	}
	var refusal *jetstream.APIError
	if errors.As(err, &refusal) && refusal.ErrorCode == codeNoCluster {
		return fmt.Errorf("stream %s: %w: %w", c.Name, ErrNoCluster, err)
	}
	if err != nil {
		return fmt.Errorf("stream %s: create or update: %w", c.Name, err)
	}
	return nil
}
