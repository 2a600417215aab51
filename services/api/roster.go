package api

import (
	"context"
	"sync"
	"time"

	"gantry.example/internal/wire"
	"gantry.example/services/postgres"
)

// roster takes what workers say about themselves to Postgres. What comes while a pool's words are being written waits and goes
// together: thousands of workers speak every few seconds, and a statement of many words costs little more than one of one.
type roster struct {
	keep func(ctx context.Context, pool string, words []postgres.Word) ([]wire.WorkerOrders, error)

	mu      sync.Mutex         // guards waiting
	waiting map[string][]*said // by pool; an entry, also an empty one, says that somebody writes
}

// said is a word that waits for its answer.
type said struct {
	word   postgres.Word
	orders wire.WorkerOrders
	err    error
	done   chan struct{} // closed when orders or err are set
}

const (
	maxWords   = 200 // in a statement
	wordsLimit = 5 * time.Second
)

// tell keeps a word and returns what its worker is told.
func (r *roster) tell(ctx context.Context, pool string, w postgres.Word) (wire.WorkerOrders, error) {
	s := &said{word: w, done: make(chan struct{})}
	r.mu.Lock()
	_, writing := r.waiting[pool]
	r.waiting[pool] = append(r.waiting[pool], s)
	r.mu.Unlock()
	if !writing {
		go r.write(context.WithoutCancel(ctx), pool) // ends when nobody waits
	}
	select {
	case <-s.done:
		return s.orders, s.err
	case <-ctx.Done():
		return wire.WorkerOrders{}, ctx.Err()
	}
}

func (r *roster) write(ctx context.Context, pool string) {
	for batch := r.next(pool); len(batch) > 0; batch = r.next(pool) {
		words := make([]postgres.Word, len(batch))
		for i, s := range batch {
			words[i] = s.word
		}
		limited, cancel := context.WithTimeout(ctx, wordsLimit)
		orders, err := r.keep(limited, pool, words)
		cancel()
		for i, s := range batch {
			if s.err = err; err == nil {
				s.orders = orders[i]
			}
			close(s.done)
		}
	}
}

// next takes words of different workers, in the order they came. None means that the writer has ended.
func (r *roster) next(pool string) (batch []*said) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var later []*said
	names := map[string]bool{}
	for _, s := range r.waiting[pool] {
		if len(batch) < maxWords && !names[s.word.Name] {
			names[s.word.Name] = true
			batch = append(batch, s)
		} else {
			later = append(later, s)
		}
	}
	if len(batch) == 0 {
		delete(r.waiting, pool)
	} else {
		r.waiting[pool] = later
	}
	return batch
}
