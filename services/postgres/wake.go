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

// waker notifies for transactions that have committed: who waits in this process at once, other servers by NOTIFY. Postgres lets
// transactions that notify commit only one after the other: a NOTIFY within every change of a run would make all of them as slow
// as that. Many are sent at once, and none waits for the disk. What is lost with the process, or because Postgres does not
// answer, costs time only, see Notifier. Safe for concurrent use.
type waker struct {
	db *sqlx.DB // one connection, by whose process number its notifications are known

	mu      sync.Mutex
	pending map[wakeUp]struct{}    // guarded by mu
	sending bool                   // guarded by mu
	near    map[*Notifier]struct{} // those of this process that run; guarded by mu
	pid     int                    // of the connection when it last sent, or 0; guarded by mu
	sender  sync.WaitGroup
}

// wakeWithin bounds how long Postgres may take for what is to be sent at once.
const wakeWithin = 10 * time.Second

// wakePause is how long what comes after something was sent is collected.
const wakePause = 10 * time.Millisecond

// join has the notifier woken at once by what this process does, until leave is called.
func (w *waker) join(n *Notifier) (leave func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.near[n] = struct{}{}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.near, n)
	}
}

func (w *waker) add(wakes ...wakeUp) {
	if len(wakes) == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, u := range wakes {
		w.pending[u] = struct{}{}
		for n := range w.near {
			n.wake(u.channel, u.payload)
		}
	}
	if !w.sending {
		w.sending = true
		w.sender.Go(w.send)
	}
}

func (w *waker) send() {
	for channels, payloads := w.due(); len(channels) > 0; channels, payloads = w.due() {
		w.notify(channels, payloads)
		time.Sleep(wakePause)
	}
}

func (w *waker) notify(channels, payloads []string) {
	ctx, cancel := context.WithTimeout(context.Background(), wakeWithin)
	defer cancel()
	var sent []struct {
		Sent string `db:"sent"` // nothing
		PID  int    `db:"pid"`
	}
	err := w.db.SelectContext(ctx, &sent, `
		SELECT pg_notify(channel, payload) AS sent, pg_backend_pid() AS pid
		FROM set_config('synchronous_commit', 'off', true), unnest($1::text[], $2::text[]) AS w (channel, payload)`, textArray(channels), textArray(payloads))
	if err != nil || len(sent) == 0 {
		w.forget()
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pid = sent[0].PID
}

// forget is called when the connection may be gone: the next process with its number may be another server's.
func (w *waker) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pid = 0
}

// mine reports whether the notification is of this process, which woke who waits here without it.
func (w *waker) mine(pid int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return pid == w.pid
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
