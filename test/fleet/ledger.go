package main

import (
	"context"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"gantry.example/messages"
	"gantry.example/services/postgres"
)

// travel is what a word may take from an agent to the placer.
const travel = 10 * time.Millisecond

// ledger knows in memory what Postgres would: which tasks wait and which agents there are. It is the placer's store.
type ledger struct {
	pool string

	mu     sync.Mutex // guards the rest
	queued map[string]waiting
	agents []*agent
}

// waiting is a queued task.
type waiting struct {
	messages.Task
	at     time.Time
	fitted int // labels of the free agent that fitted closest when it was published
}

func newLedger(pool string) *ledger { return &ledger{pool: pool, queued: map[string]waiting{}} }

// add notes a task that is about to be published.
func (l *ledger) add(t messages.Task, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queued[t.ID] = waiting{Task: t, at: at, fitted: l.closest(t.Labels, at)}
}

// closest is how many labels the free agent has that fits closest, when those that fit better are left to the tasks that are
// on their way to them. One that had no free slot a moment ago does not count: its word has to travel. l.mu is held.
func (l *ledger) closest(required []string, now time.Time) int {
	var slots []int
	for _, a := range l.agents {
		if messages.LabelsSatisfied(required, a.labels) {
			slots = append(slots, slices.Repeat([]int{len(a.labels)}, a.freeSlots(now, travel))...)
		}
	}
	slices.Sort(slots)
	if n := len(l.queued); n < len(slots) {
		return slots[n]
	}
	return math.MaxInt // nobody was left, so everybody is right
}

// claim gives the task away, once. What fitted when it was published may have been given to the task before meanwhile.
func (l *ledger) claim(id string) (waiting, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w, ok := l.queued[id]
	w.fitted = max(w.fitted, l.closest(w.Labels, time.Now()))
	delete(l.queued, id)
	return w, ok
}

func (l *ledger) left() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queued)
}

// Roster implements placement.Store.
func (l *ledger) Roster(context.Context) ([]postgres.Present, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []postgres.Present
	for _, a := range l.agents {
		out = append(out, postgres.Present{Pool: l.pool, Name: a.name, Slots: a.slots, Busy: a.running(), Labels: a.labels, SeenAt: a.since})
	}
	return out, nil
}

// WaitingSets implements placement.Store.
func (l *ledger) WaitingSets(context.Context) ([]postgres.WaitingSet, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	sets := map[string]postgres.WaitingSet{}
	for _, w := range l.queued {
		token := messages.LabelSetToken(w.Labels)
		s := sets[token]
		if s.Tasks == 0 || w.at.Before(s.Oldest) {
			s.Pool, s.Labels, s.Strategy, s.Oldest = l.pool, w.Labels, w.Strategy, w.at
		}
		s.Tasks++
		sets[token] = s
	}
	return slices.SortedFunc(maps.Values(sets), func(a, b postgres.WaitingSet) int { return a.Oldest.Compare(b.Oldest) }), nil
}
