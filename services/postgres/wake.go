package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"
)

// txn is a transaction and whom to wake when it has committed.
type txn struct {
	*sqlx.Tx
	wakes []wakeUp
}

// wakeUp is a NOTIFY to be.
type wakeUp struct{ channel, payload string }

func (t *txn) wake(channel, payload string) { t.wakes = append(t.wakes, wakeUp{channel, payload}) }

// waker notifies for transactions that have committed. Postgres lets transactions that notify commit only one after the other,
// each waiting for the disk: a NOTIFY within every change of a run would make all of them as slow as that. Many are sent at
// once. What is lost with the process, or because Postgres does not answer, costs time only, see Notifier. Safe for concurrent use.
type waker struct {
	db *sqlx.DB

	mu      sync.Mutex
	pending map[wakeUp]struct{} // guarded by mu
	sending bool                // guarded by mu
	sender  sync.WaitGroup
}

// wakeWithin bounds how long Postgres may take for what is to be sent at once.
const wakeWithin = 10 * time.Second

func (w *waker) add(wakes ...wakeUp) {
	if len(wakes) == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, u := range wakes {
		w.pending[u] = struct{}{}
	}
	if !w.sending {
		w.sending = true
		w.sender.Go(w.send)
	}
}

func (w *waker) send() {
	for channels, payloads := w.due(); len(channels) > 0; channels, payloads = w.due() {
		ctx, cancel := context.WithTimeout(context.Background(), wakeWithin)
		_, _ = w.db.ExecContext(ctx, `SELECT pg_notify(channel, payload) FROM unnest($1::text[], $2::text[]) AS w (channel, payload)`,
			textArray(channels), textArray(payloads))
		cancel()
	}
}

// due takes what is pending. When that is nothing, the sender is over.
func (w *waker) due() (channels, payloads []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for u := range w.pending {
		channels, payloads = append(channels, u.channel), append(payloads, u.payload)
	}
	clear(w.pending)
	w.sending = len(channels) > 0
	return channels, payloads
}

// wait returns when what was added is sent.
func (w *waker) wait() { w.sender.Wait() }
