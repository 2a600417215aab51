package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"gantry.example/messages"
)

const (
	// hintWait is how long an agent waits at the queue for a task that was stored just now. A pull that does not wait finds nothing in 1 to 2 % of
	// the cases where the message was stored a moment ago.
	hintWait = 30 * time.Millisecond
	// hintKeeps is how long a hint is of use to an agent without a free slot: the server hints a task that waits every second.
	hintKeeps = time.Second
	// maxHints bounds the hints that an agent keeps for later.
	maxHints = 256
)

// AgentQueueConfig says whose tasks an agent takes. All fields but Labels are required.
type AgentQueueConfig struct {
	Pool   string
	Name   string   // of the agent, as the connection has it
	Labels []string // what it offers
	Slots  int
	Log    *slog.Logger
}

// AgentQueue is an agent's view of its pool: the tasks of every label set that it offers enough for. It pulls where the server
// hints that there is a task, and looks into all its sets, beginning elsewhere each time, when it has connected and when it
// has a free slot again. In between it is silent.
//
// Next is called from one goroutine; everything else may be called at any time. Close it when Next is not called any more.
type AgentQueue struct {
	cfg    AgentQueueConfig
	bus    *Bus
	log    *slog.Logger
	pull   poolPuller
	hints  chan *nats.Msg
	sub    *nats.Subscription
	status chan nats.Status
	wake   chan struct{} // there is something new to look at
	down   bool          // the failure was logged; of Next

	mu    sync.Mutex // guards the rest
	sets  []string   // tokens of the label sets it may take, sorted
	turn  int        // the set to look at next
	left  int        // how many of the sets are still to be looked at
	due   []dueHint  // in the order in which they came
	said  messages.Load
	after string // the hint that the next word answers
}

// dueHint is a hint that is to be followed, and when it came.
type dueHint struct {
	messages.Hint
	set string
	at  time.Time
}

// AgentQueue returns the queue of an agent. Nothing needs to exist yet.
func (b *Bus) AgentQueue(c AgentQueueConfig) (*AgentQueue, error) {
	labels, err := messages.CanonicalLabels(c.Labels)
	if err != nil {
		return nil, fmt.Errorf("agent %s: %w", c.Name, err)
	}
	c.Labels = labels
	q := &AgentQueue{
		cfg: c, bus: b, log: c.Log.With("pool", c.Pool), hints: make(chan *nats.Msg, maxHints), wake: make(chan struct{}, 1),
		sets: []string{messages.AnyLabelSet}, said: messages.Load{V: messages.Version, Slots: c.Slots, Labels: labels},
	}
	q.status = b.nc.StatusChanged(nats.CONNECTED, nats.RECONNECTING, nats.DISCONNECTED, nats.CLOSED)
	q.pull = poolPuller{bus: b, pool: c.Pool, status: q.status}
	if q.sub, err = b.nc.ChanSubscribe(messages.HintSubject(c.Pool, c.Name), q.hints); err != nil {
		b.nc.RemoveStatusListener(q.status)
		return nil, fmt.Errorf("agent %s: listen for hints: %w", c.Name, err)
	}
	q.connected()
	return q, nil
}

// Close ends the subscriptions.
func (q *AgentQueue) Close() error {
	q.bus.nc.RemoveStatusListener(q.status)
	q.pull.close()
	return q.sub.Unsubscribe()
}

// Offer tells which label sets there are in the pool. Those that the agent does not offer enough for are left out.
func (q *AgentQueue) Offer(sets [][]string) {
	tokens := []string{messages.AnyLabelSet}
	for _, s := range sets {
		if messages.LabelsSatisfied(s, q.cfg.Labels) {
			tokens = append(tokens, messages.LabelSetToken(s))
		}
	}
	slices.Sort(tokens)
	tokens = slices.Compact(tokens)
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, t := range tokens {
		if _, known := slices.BinarySearch(q.sets, t); !known {
			// Not the same first set for all: many agents that come to a long queue together would leave the last sets to wait.
			q.left, q.turn = len(tokens), rand.IntN(len(tokens))
		}
	}
	q.sets, q.left = tokens, min(q.left, len(tokens))
	q.signal()
}

// Occupied tells how many slots are in use, and whether anything new is taken at all. The queue tells the server.
func (q *AgentQueue) Occupied(busy int, taking bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	before := q.said
	q.said.Busy, q.said.Refusing = busy, !taking
	if (before.Busy >= q.cfg.Slots || before.Refusing) && busy < q.cfg.Slots && taking {
		q.left = len(q.sets) // what came meanwhile was hinted to others
		q.signal()
	}
	q.say()
}

// say tells the server how busy the agent is. q.mu is held. A word that is lost is made up for by the agent's presence.
func (q *AgentQueue) say() {
	word := q.said
	word.Hint, q.after = q.after, ""
	if body, err := json.Marshal(word); err == nil {
		_ = q.bus.nc.Publish(messages.LoadSubject(q.cfg.Pool, q.cfg.Name), body)
	}
}

func (q *AgentQueue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// connected looks at everything, because nothing was heard before, and makes itself known.
func (q *AgentQueue) connected() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.left = len(q.sets)
	q.say()
}

// Next blocks until there is a message or ctx ends; its only error is the context's. Missing streams and consumers, a lost
// connection or a restarting server are waited out, and logged once.
func (q *AgentQueue) Next(ctx context.Context) (*Delivery, error) {
	retry := minRetry
	for ctx.Err() == nil {
		q.heed()
		set, hint := q.choose(time.Now())
		if set == "" {
			q.idle(ctx, time.Hour)
			continue
		}
		patience := time.Duration(0)
		if hint != nil && hint.Fresh && time.Since(hint.at) < hintWait {
			patience = hintWait
		}
		r, err := q.pull.one(set, patience)
		q.looked(hint, r != nil)
		if r != nil {
			q.report(nil)
			return delivery(*r), nil
		}
		q.report(err)
		switch {
		case err == nil:
			retry = minRetry
		case errors.Is(err, ErrDisconnected):
			q.idle(ctx, maxRetry)
		default:
			q.idle(ctx, retry/2+rand.N(retry))
			retry = min(2*retry, maxRetry)
		}
		if err != nil {
			q.connected()
		}
	}
	return nil, ctx.Err()
}

// heed notes what became of the connection since the last pull, so that the next one does not take an earlier loss for its own.
func (q *AgentQueue) heed() {
	for {
		select {
		case s := <-q.status:
			if s == nats.CONNECTED {
				q.connected()
			}
		default:
			return
		}
	}
}

// choose says which set to look into now: that of a hint, or, while there are sets to be looked at, the one whose turn it is;
// with neither, none.
func (q *AgentQueue) choose(now time.Time) (set string, hint *dueHint) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.hear(now)
	if len(q.due) > 0 {
		first := q.due[0]
		q.due = slices.Delete(q.due, 0, 1)
		return first.set, &first
	}
	if q.left > 0 {
		q.turn = (q.turn + 1) % len(q.sets)
		q.left--
		return q.sets[q.turn], nil
	}
	return "", nil
}

// hear takes in the hints that have come, and forgets those that are old.
func (q *AgentQueue) hear(now time.Time) {
	for {
		select {
		case m := <-q.hints:
			q.note(m.Data, now)
			continue
		default:
		}
		q.due = slices.DeleteFunc(q.due, func(h dueHint) bool { return now.Sub(h.at) > hintKeeps })
		return
	}
}

func (q *AgentQueue) note(body []byte, now time.Time) {
	h := dueHint{at: now}
	if json.Unmarshal(body, &h.Hint) != nil || !messages.LabelsSatisfied(h.Labels, q.cfg.Labels) {
		return // what a server of another version means, or one that knows labels of before
	}
	h.set = messages.LabelSetToken(h.Labels)
	if i, known := slices.BinarySearch(q.sets, h.set); !known {
		q.sets = slices.Insert(q.sets, i, h.set)
	}
	if len(q.due) < maxHints {
		q.due = append(q.due, h)
	}
}

// looked notes what a pull found.
func (q *AgentQueue) looked(hint *dueHint, found bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case hint == nil && found:
		q.left = len(q.sets) // there may be more, there and elsewhere
	case hint != nil:
		q.after = hint.ID
		if !found { // else the word is what Occupied says in a moment
			q.say()
		}
	}
}

// idle waits for something to look at, for ctx, or for d.
func (q *AgentQueue) idle(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-q.wake:
	case m := <-q.hints:
		q.mu.Lock()
		q.note(m.Data, time.Now())
		q.mu.Unlock()
	case s := <-q.status:
		if s == nats.CONNECTED {
			q.connected()
		}
	}
}

// report logs when the queue stops or starts to be readable.
func (q *AgentQueue) report(err error) {
	switch {
	case err != nil && !q.down:
		q.log.Warn("task queue cannot be read, trying again", "error", err)
	case err == nil && q.down:
		q.log.Info("task queue can be read again")
	}
	q.down = err != nil
}
