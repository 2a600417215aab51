package executor

import (
	"context"
	"sync"
	"time"
)

// settleRetry is the pause after an exit that could not be handled, usually because NATS is away.
const settleRetry = 500 * time.Millisecond

// Backlog holds the exits of an executor until they are handled. It implements Watch for executors. Its zero value is not
// usable; see NewBacklog.
type Backlog struct {
	added chan struct{}

	mu    sync.Mutex // guards exits
	exits []Exit
}

// NewBacklog returns an empty backlog.
func NewBacklog() *Backlog { return &Backlog{added: make(chan struct{}, 1)} }

// Add appends an exit. It never blocks and may be called from many goroutines.
func (b *Backlog) Add(e Exit) {
	b.mu.Lock()
	b.exits = append(b.exits, e)
	b.mu.Unlock()
	select {
	case b.added <- struct{}{}:
	default:
	}
}

// Watch is Watcher.Watch. An exit that fails goes to the end, so that it does not hold up the others.
func (b *Backlog) Watch(ctx context.Context, handle func(context.Context, Exit) error) error {
	for {
		e, ok := b.first()
		if !ok {
			select {
			case <-b.added:
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if ctx.Err() != nil {
			b.Add(e)
			return ctx.Err()
		}
		if handle(ctx, e) == nil {
			continue
		}
		b.Add(e)
		pause := time.NewTimer(settleRetry)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		}
	}
}

func (b *Backlog) first() (Exit, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.exits) == 0 {
		return Exit{}, false
	}
	e := b.exits[0]
	b.exits = b.exits[1:]
	return e, true
}
