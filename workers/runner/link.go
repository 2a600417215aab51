package runner

import (
	"context"
	"slices"
	"time"

	"gantry.example/messages"
)

// link is the attempt's side of NATS: the connection, the log and the events that leave by it, the commands that come, and
// the lease. It is made beside everything else.
type link struct {
	give  context.CancelFunc // up waiting for the lease
	done  chan struct{}      // closed when the lease is held, or err says why not
	lease Lease
	err   error

	released bool // the lease; used by the attempt's goroutine only
	closers  []func()

	connecting, leasing time.Duration // how long that took
}

// openLink begins to connect and to wait for the lease, for as long as ctx and, before a start, the setup limit allow.
func (r *attempt) openLink(ctx context.Context) *link {
	l := &link{done: make(chan struct{})}
	if r.plan == nil {
		ctx, l.give = context.WithTimeout(ctx, r.SetupLimit)
	} else {
		ctx, l.give = context.WithCancel(context.WithoutCancel(ctx)) // an apply goes on, with the lease or without
	}
	go func() {
		defer close(l.done)
		if err := r.join(ctx, l); err != nil {
			l.err = &unavailableError{err}
			r.log.Warn("no lease", "error", err)
		}
	}()
	return l
}

// join connects and takes the lease.
func (r *attempt) join(ctx context.Context, l *link) error {
	began := time.Now()
	bus, err := r.cfg.Connect(ctx, r.Assignment)
	if err != nil {
		return err
	}
	l.connecting = time.Since(began)
	l.closers = append(l.closers, bus.Close)
	r.out.start(bus.Logs)
	l.closers = append(l.closers, r.out.stop)
	r.events.start(context.WithoutCancel(ctx), bus.Events, r.log)
	l.closers = append(l.closers, r.events.close)
	unsubscribe, err := bus.Control.Commands(func(c messages.Command) {
		if c.AttemptID == r.in.AttemptID && (c.Cancel || c.Force) {
			r.stop.ask(c.Force)
		}
	})
	if err != nil {
		return err
	}
	l.closers = append(l.closers, unsubscribe)
	began = time.Now()
	defer func() { l.leasing = time.Since(began) }()
	lease, err := bus.Control.Acquire(ctx, r.in)
	if err != nil {
		return err // without assigning: an interface around a nil pointer would not look like one
	}
	l.lease = lease
	l.closers = append(l.closers, func() {
		switch {
		case l.released:
		case r.next != nil:
			// The apply replaces it. NATS, which may have asked again who we are, lets a plan that is over free nothing.
			lease.Leave()
		default:
			r.release(lease)
		}
	})
	return nil
}

// wait waits for the lease, which it gives up when ctx ends.
func (l *link) wait(ctx context.Context) (Lease, error) {
	select {
	case <-l.done:
	case <-ctx.Done():
		l.give()
		<-l.done
	}
	return l.lease, l.err
}

// close ends it all, in order.
func (l *link) close() {
	l.give()
	<-l.done
	for _, end := range slices.Backward(l.closers) {
		end()
	}
}

// letGo frees the lease, or gives up waiting for it.
func (r *attempt) letGo() {
	r.link.give()
	<-r.link.done
	if r.link.lease != nil {
		r.release(r.link.lease)
		r.link.released = true
	}
}

// release frees the lease. It may be called again.
func (r *attempt) release(lease Lease) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := lease.Release(ctx); err != nil {
		r.log.Warn("lease not released, it expires by itself", "error", err)
	}
}
