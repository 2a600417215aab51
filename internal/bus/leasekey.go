package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"gantry.example/messages"
)

const (
	kvOperation = "KV-Operation" // header of a message that is not a value; NATS's own word
	kvPurge     = "PURGE"
	// releasedTTL is how long the marker of a released lease stays before it expires too.
	releasedTTL = time.Minute
)

// leaseKey reads and writes one key of a lease bucket by compare-and-set. It writes the messages itself, because the KV
// API's Update takes the time to live off a key: such a lease would never expire.
type leaseKey struct {
	js        jetstream.JetStream
	pool, key string
	ttl       time.Duration
}

// leaseEntry is what a key holds. Revision 0 means that there is nothing, not even the marker of a release.
type leaseEntry struct {
	revision uint64
	held     bool
	lease    messages.Lease // zero, so of the lowest epoch, if the value is unreadable
}

// read asks the stream's leader. The answer may be old the moment it arrives: only a write at its revision decides.
func (k leaseKey) read(ctx context.Context) (leaseEntry, error) {
	stream, err := k.js.Stream(ctx, messages.LeaseStream(k.pool))
	if err != nil {
		return leaseEntry{}, noStream(err)
	}
	m, err := stream.GetLastMsgForSubject(ctx, messages.LeaseSubject(k.pool, k.key))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return leaseEntry{}, nil
	}
	if err != nil {
		return leaseEntry{}, noStream(err)
	}
	return leaseEntryOf(m), nil
}

func leaseEntryOf(m *jetstream.RawStreamMsg) leaseEntry {
	e := leaseEntry{revision: m.Sequence, held: m.Header.Get(kvOperation) == ""}
	if e.held && json.Unmarshal(m.Data, &e.lease) != nil {
		e.lease = messages.Lease{}
	}
	return e
}

// write stores the lease if the key is still at revision, and gives it a whole TTL.
func (k leaseKey) write(ctx context.Context, l messages.Lease, revision uint64) (uint64, error) {
	body, err := json.Marshal(l)
	if err != nil {
		return 0, err
	}
	return k.put(ctx, &nats.Msg{Data: body}, revision, k.ttl)
}

// release replaces the value by a marker, so that the next holder does not wait for the TTL.
func (k leaseKey) release(ctx context.Context, revision uint64) error {
	_, err := k.put(ctx, &nats.Msg{Header: nats.Header{kvOperation: {kvPurge}}}, revision, releasedTTL)
	return err
}

func (k leaseKey) put(ctx context.Context, m *nats.Msg, revision uint64, ttl time.Duration) (uint64, error) {
	m.Subject = messages.LeaseSubject(k.pool, k.key)
	if m.Header == nil {
		m.Header = nats.Header{}
	}
	ack, err := k.js.PublishMsg(ctx, m, jetstream.WithExpectLastSequencePerSubject(revision),
		jetstream.WithMsgTTL(ttl), jetstream.WithRetryAttempts(0))
	if err != nil {
		return 0, noStream(err)
	}
	return ack.Sequence, nil
}

// outrun reports whether a write was refused because somebody else wrote first. A replicated stream has its own code for it.
func outrun(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
		api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// ReadLeases returns the live leases of a pool by key. It fails with ErrNoStream when the bucket is gone, so that nobody
// takes a lost bucket for lost holders. An unreadable value is a zero Lease.
func (b *Bus) ReadLeases(ctx context.Context, pool string) (map[string]messages.Lease, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	stream, err := b.js.Stream(ctx, messages.LeaseStream(pool))
	if err != nil {
		return nil, fmt.Errorf("leases of pool %s: %w", pool, noStream(err))
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(messages.LeaseSubject(pool, ">")))
	if err != nil {
		return nil, fmt.Errorf("leases of pool %s: %w", pool, noStream(err))
	}
	var mu sync.Mutex
	leases := make(map[string]messages.Lease, len(info.State.Subjects))
	reads, ctx := errgroup.WithContext(ctx)
	reads.SetLimit(leaseReads)
	for subject := range info.State.Subjects {
		reads.Go(func() error {
			m, err := stream.GetLastMsgForSubject(ctx, subject)
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				return nil // expired since the listing
			}
			if err != nil {
				return fmt.Errorf("leases of pool %s: read %s: %w", pool, subject, noStream(err))
			}
			if e := leaseEntryOf(m); e.held {
				mu.Lock()
				defer mu.Unlock()
				leases[subject[len(messages.LeaseSubject(pool, "")):]] = e.lease
			}
			return nil
		})
	}
	return leases, reads.Wait()
}

// leaseReads is how many leases are read at the same time: one after the other, a thousand take longer than an answer is waited for.
const leaseReads = 64
