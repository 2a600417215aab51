// Package placement chooses which agents take a task. The queue is for durability, the hint is for choice: a task is on its
// stream already when the agents that suit it best are told, and whoever claims it carries it out.
//
//	relay ─ Published ─▶ rank the free agents ─ hint ─▶ the best
//	agents ─ load ─▶ how busy each is          nobody there: the next at once · no answer in 40 ms: the next, three in all
//	                                           still queued after a second: hint again, wider
//
// Nothing unsafe follows from a wrong hint, and a lost one costs a second. What is kept here is a guess about the moment, in
// memory: it begins with what Postgres knows of the agents and is corrected by every word of theirs, so that any number of
// processes may place tasks at the same time and a new one needs nothing of the old.
package placement

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"gantry.example/internal/bus"
	"gantry.example/messages"
	"gantry.example/services/postgres"
)

// Store is what Postgres knows. It is called from one goroutine.
type Store interface {
	// Roster lists the agents that were heard of a moment ago.
	Roster(ctx context.Context) ([]postgres.Present, error)
	// WaitingSets lists what is queued for agents, the oldest first.
	WaitingSets(ctx context.Context) ([]postgres.WaitingSet, error)
}

// Hinter carries hints. It is called while a lock is held, so it must not wait.
type Hinter interface {
	Hint(pool, worker string, h messages.Hint) error
}

const (
	// every is the time between two looks at what waits.
	every = time.Second
	// settled is how long a task must have waited to be hinted again: the first hints have had their time.
	settled = 500 * time.Millisecond
	// choices is how many agents hear of a new task at most, grace how long each has to answer before the next hears of it.
	// Nobody is told in advance: who looks for a task that another has taken finds, in every tenth case, a third one's.
	choices = 3
	grace   = 40 * time.Millisecond
	// promiseKeeps is how long a hinted agent is counted as if it had taken the task, until it says so itself.
	promiseKeeps = 500 * time.Millisecond
	// rosterAge is how old the roster may be while tasks wait, and rosterIdle else. It tells of agents that died silently.
	rosterAge  = 2 * time.Second
	rosterIdle = 10 * time.Second
	// storeLimit bounds a question to Postgres.
	storeLimit = 5 * time.Second
)

// Placer ranks agents and hints tasks to them.
type Placer struct {
	store Store
	bus   *bus.Bus
	log   *slog.Logger

	mu     sync.Mutex // guards the rest
	hinter Hinter     // nil: not running
	pools  map[string]*pool
	sent   map[string]promise // hints that were not answered yet, by id
	name   string             // of this placer, the beginning of the ids of its hints: agents' words are heard by all placers
	hints  uint64             // counts them
	turns  uint64             // counts what was given to agents, so that the order of turns is known
	rand   *rand.Rand
}

// promise is a task as good as given to an agent.
type promise struct {
	pool   string
	agent  string
	labels []string
	by     messages.Strategy
	until  time.Time
	asked  int // how many agents were before it
	late   *time.Timer
}

// New returns a placer that does nothing until it runs.
func New(store Store, b *bus.Bus, log *slog.Logger) *Placer {
	return &Placer{
		store: store, bus: b, log: log, pools: map[string]*pool{}, sent: map[string]promise{},
		name: strconv.FormatUint(rand.Uint64(), 36), rand: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
	}
}

// Run keeps up with the agents and hints what waits again, until ctx ends.
func (p *Placer) Run(ctx context.Context) error {
	h, err := p.bus.Hinter(bus.HintEars{Load: p.heard, Absent: p.absent})
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.hinter = h
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.hinter = nil
		for id := range p.sent {
			p.redeem(id)
		}
		p.mu.Unlock()
		_ = h.Close() // fails where the connection is closed, which ends it too
	}()
	tick := time.NewTicker(every)
	defer tick.Stop()
	var roster time.Time // when it was read
	failing := false
	for {
		err := p.look(ctx, &roster)
		if err != nil && ctx.Err() == nil && !failing {
			p.log.Warn("placement: agents are hinted by what was known before", "error", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// look reads what waits and, if it is too old, the roster, and hints what has waited for long enough.
func (p *Placer) look(ctx context.Context, roster *time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, storeLimit)
	defer cancel()
	sets, err := p.store.WaitingSets(ctx)
	if err != nil {
		return fmt.Errorf("what waits: %w", err)
	}
	age := rosterIdle
	if len(sets) > 0 {
		age = rosterAge
	}
	if time.Since(*roster) >= age {
		agents, err := p.store.Roster(ctx)
		if err != nil {
			return fmt.Errorf("roster: %w", err)
		}
		*roster = time.Now()
		p.enroll(agents, *roster)
	}
	p.rehint(sets, time.Now())
	return nil
}

// Published is called when a task's message is stored. It does not wait.
func (p *Placer) Published(t messages.Task) {
	if t.Mode != messages.ModeAgent {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hinter == nil {
		return
	}
	at := p.pool(t.Pool)
	if !p.place(at, t.Labels, t.Strategy, 0) {
		at.set(t.Labels).wait(t.Strategy, t.QueuedAt)
	}
}

// place hints a new task of the set to the agent that suits it best. It reports whether there was one.
func (p *Placer) place(at *pool, labels []string, by messages.Strategy, asked int) bool {
	best := at.rank(labels, by, 1, time.Now(), p.rand)
	if len(best) > 0 {
		p.give(at, best[0], promise{pool: at.id, agent: best[0].name, labels: labels, by: by, asked: asked})
	}
	return len(best) > 0
}

// give hints a task to an agent and counts the agent as having it. A hint that cannot be sent is a lost one.
func (p *Placer) give(at *pool, a *agent, s promise) {
	p.hints++
	p.turns++
	id := p.name + "-" + strconv.FormatUint(p.hints, 36)
	now := time.Now()
	a.turn = p.turns
	a.promised++
	if a.asked.IsZero() {
		a.asked = now
	}
	s.until = now.Add(promiseKeeps)
	if s.asked < choices-1 {
		s.late = time.AfterFunc(grace, func() { p.unanswered(id) })
	}
	p.sent[id] = s
	_ = p.hinter.Hint(at.id, a.name, messages.Hint{V: messages.Version, ID: id, Labels: s.labels, Fresh: s.asked < choices})
}

// unanswered hints the task of a hint that was not answered to the next agent.
func (p *Placer) unanswered(hintID string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s, ok := p.sent[hintID]; ok && p.hinter != nil {
		p.place(p.pool(s.pool), s.labels, s.by, s.asked+1)
	}
}

// redeem ends a promise. It returns the agent that it was about, or nil.
func (p *Placer) redeem(id string) (promise, *agent) {
	s, ok := p.sent[id]
	if !ok {
		return s, nil
	}
	delete(p.sent, id)
	if s.late != nil {
		s.late.Stop()
	}
	a := p.pool(s.pool).agents[s.agent]
	if a != nil && a.promised > 0 {
		a.promised--
	}
	return s, a
}

// expire ends the promises that were not kept.
func (p *Placer) expire(now time.Time) {
	for id, s := range p.sent {
		if now.After(s.until) {
			p.redeem(id)
		}
	}
}

// heard takes in what an agent says, and gives it work that waits if it has room.
func (p *Placer) heard(poolID, name string, l messages.Load) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.pool(poolID)
	a := at.agent(name)
	if l.Busy > a.busy && l.Hint == "" { // it took a task that was not hinted to it
		p.turns++
		a.turn = p.turns
	}
	a.says(l, now)
	p.redeem(l.Hint)
	for p.hinter != nil && a.free() > 0 {
		s := at.oldestFor(a)
		if s == nil {
			return
		}
		p.again(at, a, s)
	}
}

// absent is told of hints that found nobody: their tasks go to the next at once.
func (p *Placer) absent(hintID string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, a := p.redeem(hintID)
	if a == nil || p.hinter == nil {
		return // not the first choice, or late
	}
	a.gone = true
	at := p.pool(s.pool)
	if !p.place(at, s.labels, s.by, s.asked) {
		at.set(s.labels).wait(s.by, time.Now())
	}
}

// enroll takes in the roster.
func (p *Placer) enroll(agents []postgres.Present, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	present := map[string]map[string]bool{}
	for _, a := range agents {
		if present[a.Pool] == nil {
			present[a.Pool] = map[string]bool{}
		}
		present[a.Pool][a.Name] = true
		p.pool(a.Pool).agent(a.Name).isSeen(a, now)
	}
	for id, at := range p.pools {
		for name, a := range at.agents {
			if !present[id][name] && now.Sub(a.heard) > rosterIdle {
				delete(at.agents, name)
			}
		}
	}
}

// rehint corrects what is taken to be waiting, and hints it once more to more agents each time.
func (p *Placer) rehint(sets []postgres.WaitingSet, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expire(now)
	waits := map[*set]bool{}
	for _, w := range sets {
		at := p.pool(w.Pool)
		s := at.set(w.Labels)
		waits[s] = true
		if now.Sub(w.Oldest) < settled {
			s.waiting = min(s.waiting, w.Tasks) // the others are being hinted right now
			continue
		}
		s.waiting, s.oldest, s.strategy = w.Tasks, w.Oldest, w.Strategy
		s.rounds++
		if p.hinter == nil {
			continue
		}
		for _, a := range at.rank(w.Labels, w.Strategy, min(w.Tasks, choices<<min(s.rounds, 10)), now, p.rand) {
			p.again(at, a, s)
		}
	}
	for _, at := range p.pools {
		maps.DeleteFunc(at.sets, func(_ string, s *set) bool { return !waits[s] })
	}
}

// again hints a task that waits to an agent.
func (p *Placer) again(at *pool, a *agent, s *set) {
	s.waiting--
	p.give(at, a, promise{pool: at.id, agent: a.name, labels: s.labels, by: s.strategy, asked: choices})
}

func (p *Placer) pool(id string) *pool {
	if p.pools[id] == nil {
		p.pools[id] = &pool{id: id, agents: map[string]*agent{}, sets: map[string]*set{}}
	}
	return p.pools[id]
}
