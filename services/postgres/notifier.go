package postgres

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/lib/pq"
)

// Notifier turns NOTIFY into wake-ups. It never carries data: whoever wakes looks for itself, and looks anyway after a
// while, so a lost notification costs time only.
type Notifier struct {
	dsn   string
	waker *waker

	mu   sync.Mutex
	subs map[*subscription]struct{} // guarded by mu
}

type subscription struct {
	channel, payload string // payload "" means any
	wake             chan struct{}
}

// NewNotifier returns a notifier for the database. Run makes it listen.
func (d *DB) NewNotifier() *Notifier {
	return &Notifier{dsn: d.dsn, waker: d.waker, subs: map[*subscription]struct{}{}}
}

// Subscribe returns a channel that receives after every notification on the channel with the payload ("" means any), and
// after every loss of the connection. Several notifications may be folded into one. Call stop when done.
func (n *Notifier) Subscribe(channel, payload string) (wake <-chan struct{}, stop func()) {
	s := &subscription{channel: channel, payload: payload, wake: make(chan struct{}, 1)}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.subs[s] = struct{}{}
	return s.wake, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.subs, s)
	}
}

// Run listens until ctx ends, reconnecting by itself. What this process does wakes without Postgres, and only while Run runs.
func (n *Notifier) Run(ctx context.Context) error {
	defer n.waker.join(n)()
	l := pq.NewDialListener(newDialer(), n.dsn, 50*time.Millisecond, 2*time.Second, nil)
	defer func() { _ = l.Close() }()
	// Listen blocks until the first connection; closing the listener ends that too.
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	for _, ch := range []string{ChannelOutbox, ChannelEvents, ChannelLogs, ChannelReaders} {
		if err := l.Listen(ch); err != nil && ctx.Err() == nil {
			return fmt.Errorf("listen on %s: %w", ch, err)
		}
	}
	n.wakeAll()
	for {
		select {
		case <-ctx.Done():
			return nil
		case msg, ok := <-l.Notify:
			if !ok {
				return nil
			}
			if msg == nil { // reconnected: anything may have been missed
				n.waker.forget()
				n.wakeAll()
				continue
			}
			if !n.waker.mine(msg.BePid) {
				n.wake(msg.Channel, msg.Extra)
			}
		}
	}
}

func (n *Notifier) wake(channel, payload string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for s := range n.subs {
		if s.channel == channel && (s.payload == "" || s.payload == payload) {
			s.signal()
		}
	}
}

func (n *Notifier) wakeAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for s := range n.subs {
		s.signal()
	}
}

func (s *subscription) signal() {
	select {
	case s.wake <- struct{}{}:
	default: // one pending wake-up is enough
	}
}
