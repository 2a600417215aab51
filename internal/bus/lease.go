package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"gantry.example/messages"
)

// LeaseConfig says which lease is wanted, by whom and for how long.
type LeaseConfig struct {
	Pool  string
	Key   string         // exclusivity key: workspace id, or run id of a plan-only run
	Value messages.Lease // the attempt, its epoch, and a nonce that is new in each process
	TTL   time.Duration  // whole seconds, at least one; 15 s to 30 s outside tests
}

func (c LeaseConfig) validate() error {
	switch {
	case !messages.ValidName(c.Pool) || !messages.ValidName(c.Key):
		return fmt.Errorf("lease of %q in pool %q: not usable as key and pool", c.Key, c.Pool)
	case c.Value.AttemptID == "" || c.Value.Nonce == "":
		return fmt.Errorf("lease of %s: attempt id and nonce are required", c.Key)
	case c.TTL < time.Second || c.TTL%time.Second != 0:
		return fmt.Errorf("lease of %s: TTL %s: want whole seconds, at least one", c.Key, c.TTL)
	}
	return nil
}

// LeaseHeldError tells that the lease was not obtained because a live holder that must be respected has it.
type LeaseHeldError struct {
	Key    string
	Holder messages.Lease
	Err    error // why the waiting ended
}

func (e *LeaseHeldError) Error() string {
	return fmt.Sprintf("lease of %s is held by attempt %s on %s (epoch %d): %v", e.Key, e.Holder.AttemptID, e.Holder.Holder, e.Holder.Epoch, e.Err)
}

// Unwrap gives the end of the context that was waited under.
func (e *LeaseHeldError) Unwrap() error { return e.Err }

// Lease is a held lease that renews itself until Release. It is for liveness and exclusion: nothing unsafe may follow from
// losing it, the fence is the epoch in Postgres. Its methods are safe for concurrent use.
//
// Timing, from the moment the last acknowledged write was sent: renewed after TTL/3, deadline at 2/3 TTL, gone at the
// server after TTL. A renewal is never sent after the deadline. If then the key is found absent (it expired, or somebody
// deleted the bucket) it is created anew, because an apply goes on without its lease.
type Lease struct {
	key  leaseKey
	mine messages.Lease
	lost chan struct{}
	stop context.CancelFunc
	done chan struct{} // closed when the renewal loop has ended

	loseOnce sync.Once
	revision uint64 // the loop's own

	mu    sync.Mutex
	acked instant // when the last acknowledged write was sent
}

// AcquireLease takes the lease, waiting for a live holder of an equal or higher epoch until it goes or ctx ends; then the
// error is a *LeaseHeldError, or what kept it from asking. A holder of a lower epoch is replaced at once. Outages are waited
// out. ctx is for the waiting only; the lease lives until Release.
func (b *Bus) AcquireLease(ctx context.Context, c LeaseConfig) (*Lease, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	l := &Lease{
		key:  leaseKey{js: b.js, pool: c.Pool, key: c.Key, ttl: c.TTL},
		mine: c.Value,
		lost: make(chan struct{}),
		done: make(chan struct{}),
	}
	l.mine.V = messages.Version
	if err := l.acquire(ctx); err != nil {
		return nil, err
	}
	var loop context.Context
	loop, l.stop = context.WithCancel(context.WithoutCancel(ctx))
	go l.keep(loop)
	return l, nil
}

func (l *Lease) acquire(ctx context.Context) error {
	for {
		cur, err := l.try(ctx)
		if err == nil && !l.respects(cur) {
			return nil
		}
		if outrun(err) {
			continue // somebody else wrote; see who
		}
		if serr := sleep(ctx, l.key.ttl/10); serr != nil {
			if err == nil {
				return &LeaseHeldError{Key: l.key.key, Holder: cur.lease, Err: serr}
			}
			return fmt.Errorf("lease of %s: not acquired: %w", l.key.key, errors.Join(serr, err))
		}
	}
}

// try reads the key and takes it if nobody holds it whom l must respect.
func (l *Lease) try(ctx context.Context) (leaseEntry, error) {
	ctx, cancel := context.WithTimeout(ctx, l.key.ttl/6)
	defer cancel()
	cur, err := l.key.read(ctx)
	if err != nil || l.respects(cur) {
		return cur, err
	}
	return cur, l.write(ctx, cur.revision)
}

// respects reports whether cur is a holder that l has to wait for.
func (l *Lease) respects(cur leaseEntry) bool {
	return cur.held && !l.owns(cur) && cur.lease.Epoch >= l.mine.Epoch
}

// owns reports whether cur is our own value, perhaps of a write whose acknowledgement got lost.
func (l *Lease) owns(cur leaseEntry) bool {
	return cur.held && cur.lease.AttemptID == l.mine.AttemptID && cur.lease.Nonce == l.mine.Nonce
}

// write stores our value at revision and moves the deadline. The time counts from before the request.
func (l *Lease) write(ctx context.Context, revision uint64) error {
	sent := now()
	revision, err := l.key.write(ctx, l.mine, revision)
	if err != nil {
		return err
	}
	l.revision = revision
	l.mu.Lock()
	l.acked = sent
	l.mu.Unlock()
	return nil
}

// keep renews until the lease is released or belongs to a later attempt. It looks at the clock often, because timers stand
// still while the machine is suspended.
func (l *Lease) keep(ctx context.Context) {
	defer close(l.done)
	tick := time.NewTicker(l.key.ttl / 12)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !l.Valid() {
			l.lose()
		}
		if l.age() >= l.key.ttl/3 && !l.renew(ctx) {
			return
		}
	}
}

// renew prolongs the lease, or finds out why that failed and takes it again if it may. False: a later attempt has it, for
// good.
func (l *Lease) renew(ctx context.Context) bool {
	if l.Valid() && l.renewAt(ctx, l.revision) == nil {
		return true
	}
	read, cancel := context.WithTimeout(ctx, l.key.ttl/8)
	defer cancel()
	cur, err := l.key.read(read)
	if err != nil {
		return true // an outage; the next tick asks again
	}
	switch {
	case l.owns(cur) && !l.Valid():
		// Too late to renew: it will expire in a moment and can then be created anew.
	case l.respects(cur):
		l.lose()
		return cur.lease.Epoch == l.mine.Epoch // a duplicate of this attempt is refused its start and will go away
	default:
		_ = l.renewAt(ctx, cur.revision) // not acknowledged: the next tick asks again
	}
	return true
}

func (l *Lease) renewAt(ctx context.Context, revision uint64) error {
	ctx, cancel := context.WithTimeout(ctx, l.key.ttl/8)
	defer cancel()
	return l.write(ctx, revision)
}

func (l *Lease) age() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acked.age()
}

func (l *Lease) lose() { l.loseOnce.Do(func() { close(l.lost) }) }

// lifetime is how long an acknowledged write lets the holder believe that it holds the lease.
func (l *Lease) lifetime() time.Duration { return l.key.ttl * 2 / 3 }

// Valid reports whether the deadline has not passed on any clock. Ask right before a side effect.
func (l *Lease) Valid() bool { return l.age() < l.lifetime() }

// Deadline is until when, on the wall clock, the lease is certainly held. It moves with each renewal.
func (l *Lease) Deadline() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acked.at.Round(0).Add(l.lifetime())
}

// Lost is closed when the deadline passes without a renewal or another holder that must be respected is seen. It stays
// closed, also if the lease is obtained again later. A plan stops then; an apply goes on.
func (l *Lease) Lost() <-chan struct{} { return l.lost }

// Leave stops the renewal and waits for it. The key is left to its next holder, or to the end of its TTL.
func (l *Lease) Leave() {
	l.stop()
	<-l.done
}

// Release leaves the lease and frees the key if it is still ours. It may be called again, for instance after an error;
// without it the key expires after its TTL.
func (l *Lease) Release(ctx context.Context) error {
	l.Leave()
	ctx, cancel := bounded(ctx)
	defer cancel()
	for {
		cur, err := l.key.read(ctx)
		if err == nil && l.owns(cur) {
			err = l.key.release(ctx, cur.revision)
		}
		if outrun(err) {
			continue // it expired or was taken between the two requests
		}
		if err != nil && !errors.Is(err, ErrNoStream) {
			return fmt.Errorf("lease of %s: release: %w", l.key.key, err)
		}
		return nil
	}
}
