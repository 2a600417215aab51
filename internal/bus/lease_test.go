package bus_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gantry.example/internal/bus"
	"gantry.example/messages"
)

const (
	longTTL  = 30 * time.Second // never expires during a test
	shortTTL = 2 * time.Second
)

func config(f *fixture, key string, value messages.Lease, ttl time.Duration) bus.LeaseConfig {
	return bus.LeaseConfig{Pool: f.pool, Key: key, Value: value, TTL: ttl}
}

// holding checks who holds the key now; the zero lease is nobody.
func holding(t *testing.T, f *fixture, key string, want messages.Lease) {
	t.Helper()
	got, err := f.bus.ReadLeases(withTimeout(t), f.pool)
	must(t, err)
	if diff := cmp.Diff(want, got[key]); diff != "" {
		t.Errorf("holder of %s, -want +got:\n%s", key, diff)
	}
}

func TestLeaseIsFreeAfterRelease(t *testing.T) {
	t.Parallel()
	f := start(t)
	ctx := withTimeout(t)
	id := f.runner()
	first := leaseOf(id, 5)
	lease, err := f.bus.AcquireLease(ctx, config(f, id.Key, first, longTTL))
	must(t, err)
	holding(t, f, id.Key, first)
	if !lease.Valid() || time.Until(lease.Deadline()) > longTTL*2/3 {
		t.Errorf("fresh lease: valid %t, deadline in %s, want valid for at most 2/3 TTL", lease.Valid(), time.Until(lease.Deadline()))
	}
	for range 2 {
		must(t, lease.Release(ctx))
	}
	holding(t, f, id.Key, messages.Lease{})

	second := leaseOf(id, 5)
	lease, err = f.bus.AcquireLease(ctx, config(f, id.Key, second, longTTL))
	must(t, err)
	holding(t, f, id.Key, second)
	must(t, lease.Release(ctx))
}

func TestLeaseWaitsForALiveHolder(t *testing.T) {
	t.Parallel()
	f := start(t)
	ctx := withTimeout(t)
	id := f.runner()
	holder := leaseOf(f.runner(), 7)
	lease, err := f.bus.AcquireLease(ctx, config(f, id.Key, holder, longTTL))
	must(t, err)
	for _, epoch := range []int64{7, 6} {
		short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		_, err := f.bus.AcquireLease(short, config(f, id.Key, leaseOf(id, epoch), shortTTL))
		cancel()
		var held *bus.LeaseHeldError
		if !errors.As(err, &held) || held.Holder != holder || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("epoch %d against 7: got %v, want a LeaseHeldError of %v", epoch, err, holder)
		}
	}
	got := make(chan error, 1)
	go func() {
		waited, err := f.bus.AcquireLease(ctx, config(f, id.Key, leaseOf(id, 7), shortTTL))
		if err == nil {
			err = waited.Release(ctx)
		}
		got <- err
	}()
	must(t, lease.Release(ctx))
	must(t, <-got)
}

func TestHigherEpochTakesOverAtOnce(t *testing.T) {
	t.Parallel()
	f := start(t)
	ctx := withTimeout(t)
	id := f.runner()
	old, err := f.bus.AcquireLease(ctx, config(f, id.Key, leaseOf(f.runner(), 1), shortTTL))
	must(t, err)
	next := leaseOf(id, 2)
	began := time.Now()
	lease, err := f.bus.AcquireLease(ctx, config(f, id.Key, next, longTTL))
	must(t, err)
	if took := time.Since(began); took > shortTTL/2 {
		t.Errorf("takeover took %s, want at once", took)
	}
	select {
	case <-old.Lost():
	case <-ctx.Done():
		t.Fatal("the replaced holder was not told")
	}
	must(t, old.Release(ctx)) // and must not take the key from its successor
	holding(t, f, id.Key, next)
	must(t, lease.Release(ctx))
}

func TestOwnLostWriteIsAdopted(t *testing.T) {
	t.Parallel()
	f := start(t)
	ctx := withTimeout(t)
	id := f.runner()
	value := leaseOf(id, 3)
	// The stream stored an earlier try whose acknowledgement never arrived.
	nc, err := f.Connect("raw")
	must(t, err)
	t.Cleanup(nc.Close)
	must(t, nc.Publish(messages.LeaseSubject(f.pool, id.Key), []byte(encode(t, value))))
	must(t, nc.FlushTimeout(10*time.Second))

	lease, err := f.bus.AcquireLease(ctx, config(f, id.Key, value, longTTL))
	must(t, err)
	holding(t, f, id.Key, value)
	must(t, lease.Release(ctx))
}

func TestLeaseIsRenewedPastItsTTL(t *testing.T) {
	t.Parallel()
	f := start(t)
	ctx := withTimeout(t)
	id := f.runner()
	value := leaseOf(id, 1)
	lease, err := f.bus.AcquireLease(ctx, config(f, id.Key, value, shortTTL))
	must(t, err)
	first := lease.Deadline()
	until(t, ctx, "renewals beyond the first TTL", func() bool { return lease.Deadline().After(first.Add(shortTTL)) })
	holding(t, f, id.Key, value)
	select {
	case <-lease.Lost():
		t.Error("a renewed lease reports that it is lost")
	default:
	}
	must(t, lease.Release(ctx))
}

func TestDeadHolderExpires(t *testing.T) {
	t.Parallel()
	f := start(t)
	ctx := withTimeout(t)
	id := f.runner()
	b, nc := f.As(t, id)
	dead, err := b.AcquireLease(ctx, config(f, id.Key, leaseOf(id, 1), shortTTL))
	must(t, err)
	began := time.Now()
	nc.Close()
	lost := make(chan time.Duration, 1)
	go func() {
		select {
		case <-dead.Lost():
		case <-ctx.Done():
		}
		lost <- time.Since(began)
	}()
	next := leaseOf(f.runner(), 1)
	lease, err := f.bus.AcquireLease(ctx, config(f, id.Key, next, longTTL))
	must(t, err)
	took := time.Since(began)
	if knew := <-lost; knew >= took || took < shortTTL*9/10 {
		t.Errorf("the dead holder knew after %s, its successor came after %s, want the first before the second and that after %s", knew, took, shortTTL)
	}
	if dead.Valid() {
		t.Error("a lease without renewals is valid after its TTL, want not")
	}
	if err := dead.Release(ctx); err == nil {
		t.Error("release over a closed connection: got no error, want one")
	}
	holding(t, f, id.Key, next)
	must(t, lease.Release(ctx))
}

// A renewal is a write at the revision of the last one: after a takeover the server must refuse it.
func TestStaleRenewalIsRefused(t *testing.T) {
	t.Parallel()
	f := start(t)
	ctx := withTimeout(t)
	id := f.runner()
	b, nc := f.As(t, id)
	stale, err := b.AcquireLease(ctx, config(f, id.Key, leaseOf(id, 1), longTTL))
	must(t, err)
	next := leaseOf(f.runner(), 2)
	lease, err := f.bus.AcquireLease(ctx, config(f, id.Key, next, longTTL))
	must(t, err)
	js, err := jetstream.New(nc)
	must(t, err)
	m := &nats.Msg{Subject: messages.LeaseSubject(f.pool, id.Key), Data: []byte(encode(t, leaseOf(id, 1))), Header: nats.Header{}}
	_, err = js.PublishMsg(ctx, m, jetstream.WithExpectLastSequencePerSubject(1), jetstream.WithMsgTTL(longTTL))
	var api *jetstream.APIError
	if !errors.As(err, &api) || api.ErrorCode != jetstream.JSErrCodeStreamWrongLastSequence {
		t.Errorf("renewal at a stale revision: got %v, want wrong last sequence", err)
	}
	holding(t, f, id.Key, next)
	must(t, stale.Release(ctx))
	must(t, lease.Release(ctx))
}

func TestVanishedLeaseIsMadeAnew(t *testing.T) {
	t.Parallel()
	for name, vanish := range map[string]func(t *testing.T, f *fixture){
		"key": func(t *testing.T, f *fixture) {
			purge(t, f, messages.LeaseStream(f.pool))
		},
		"bucket": func(t *testing.T, f *fixture) {
			deleteStream(t, f, messages.LeaseStream(f.pool))
			if _, err := f.bus.ReadLeases(withTimeout(t), f.pool); !errors.Is(err, bus.ErrNoStream) {
				t.Errorf("leases of a deleted bucket: got %v, want ErrNoStream", err)
			}
			must(t, f.bus.EnsureLeases(withTimeout(t), f.pool, 1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := start(t)
			ctx := withTimeout(t)
			id := f.runner()
			value := leaseOf(id, 1)
			b, _ := f.As(t, id)
			lease, err := b.AcquireLease(ctx, config(f, id.Key, value, shortTTL))
			must(t, err)
			vanish(t, f)
			before := lease.Deadline()
			until(t, ctx, "the lease to be made anew", func() bool { return lease.Deadline().After(before) })
			holding(t, f, id.Key, value)
			must(t, lease.Release(ctx))
		})
	}
}

// An apply goes on without its lease; when the bucket is back it takes the key again, though a plan would have stopped.
func TestLeaseComesBackAfterItsDeadline(t *testing.T) {
	t.Parallel()
	f := start(t)
	ctx := withTimeout(t)
	id := f.runner()
	value := leaseOf(id, 1)
	lease, err := f.bus.AcquireLease(ctx, config(f, id.Key, value, time.Second))
	must(t, err)
	deleteStream(t, f, messages.LeaseStream(f.pool))
	select {
	case <-lease.Lost():
	case <-ctx.Done():
		t.Fatal("the holder was not told that its deadline passed")
	}
	if lease.Valid() {
		t.Error("a lost lease is valid, want not")
	}
	must(t, f.bus.EnsureLeases(ctx, f.pool, 1))
	until(t, ctx, "the lease to be made anew", lease.Valid)
	holding(t, f, id.Key, value)
	must(t, lease.Release(ctx))
}

func TestLeaseConfigIsChecked(t *testing.T) {
	t.Parallel()
	b := new(bus.Bus)
	good := bus.LeaseConfig{Pool: "p", Key: "k", Value: messages.Lease{AttemptID: "a", Nonce: "n"}, TTL: time.Second}
	for name, spoil := range map[string]func(*bus.LeaseConfig){
		"key": func(c *bus.LeaseConfig) { c.Key = "a.b" }, "pool": func(c *bus.LeaseConfig) { c.Pool = "" },
		"nonce": func(c *bus.LeaseConfig) { c.Value.Nonce = "" }, "fraction": func(c *bus.LeaseConfig) { c.TTL = 1500 * time.Millisecond },
		"no TTL": func(c *bus.LeaseConfig) { c.TTL = 0 },
	} {
		c := good
		spoil(&c)
		if _, err := b.AcquireLease(withTimeout(t), c); err == nil {
			t.Errorf("%s: got no error, want one", name)
		}
	}
}
