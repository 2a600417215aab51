package placement

import (
	"math/rand/v2"
	"slices"
	"time"

	"gantry.example/messages"
	"gantry.example/services/postgres"
)

// pool is what is known of an agent pool. The Placer's lock guards it.
type pool struct {
	id     string
	agents map[string]*agent // by name
	sets   map[string]*set   // by token: those that tasks wait for
}

// agent is one agent as it was heard of last.
type agent struct {
	name     string
	labels   []string
	slots    int
	busy     int
	refusing bool      // by its own word
	draining bool      // by Postgres: it is about to hear that it should take nothing
	gone     bool      // it is not connected
	promised int       // tasks hinted to it that it has not answered for
	asked    time.Time // when it was hinted the first of them; zero after any word of its own
	turn     uint64
	heard    time.Time // its own word
	seen     time.Time // the word that Postgres has, by the clock there
}

func (p *pool) agent(name string) *agent {
	if p.agents[name] == nil {
		p.agents[name] = &agent{name: name}
	}
	return p.agents[name]
}

// says takes in the agent's own word.
func (a *agent) says(l messages.Load, now time.Time) {
	a.slots, a.busy, a.labels, a.refusing = l.Slots, l.Busy, l.Labels, l.Refusing
	a.gone, a.asked, a.heard = false, time.Time{}, now
}

// isSeen takes in the agent's presence, which is older than its last word unless that was lost.
func (a *agent) isSeen(p postgres.Present, now time.Time) {
	news := !p.SeenAt.Equal(a.seen)
	a.seen, a.draining = p.SeenAt, p.Refusing
	if news && now.Sub(a.heard) > rosterAge {
		a.slots, a.busy, a.labels, a.refusing = p.Slots, p.Busy, p.Labels, p.Refusing
		a.gone, a.asked = false, time.Time{}
	}
}

// free is how many more tasks the agent would take.
func (a *agent) free() int {
	if a.refusing || a.draining || a.gone {
		return 0
	}
	return a.slots - a.load()
}

// load is how many tasks the agent has or is about to have.
func (a *agent) load() int { return a.busy + a.promised }

// silent reports whether the agent did not answer a hint, as one does that is frozen or cut off.
func (a *agent) silent(now time.Time) bool { return !a.asked.IsZero() && now.Sub(a.asked) >= grace }

// rank returns the n free agents that suit best, the best first. Silent ones come last.
func (p *pool) rank(required []string, by messages.Strategy, n int, now time.Time, r *rand.Rand) []*agent {
	var able []*agent
	for _, a := range p.agents {
		if a.free() > 0 && messages.LabelsSatisfied(required, a.labels) {
			able = append(able, a)
		}
	}
	prefer := order(by, r)
	slices.SortFunc(able, func(a, b *agent) int {
		switch x, y := a.silent(now), b.silent(now); {
		case x && !y:
			return 1
		case y && !x:
			return -1
		}
		return prefer(a, b)
	})
	return able[:min(n, len(able))]
}

// set are the tasks of a label set that nobody could be found for when they came.
type set struct {
	labels   []string
	strategy messages.Strategy // of the oldest
	waiting  int               // a guess: agents take tasks without a hint too
	oldest   time.Time
	rounds   int // how often they were hinted again
}

func (p *pool) set(labels []string) *set {
	token := messages.LabelSetToken(labels)
	if p.sets[token] == nil {
		p.sets[token] = &set{labels: labels}
	}
	return p.sets[token]
}

// wait adds a task.
func (s *set) wait(by messages.Strategy, since time.Time) {
	if s.waiting <= 0 {
		s.waiting, s.strategy, s.oldest = 0, by, since
	}
	s.waiting++
}

// oldestFor is the set that has waited for longest among those that the agent may take, or nil.
func (p *pool) oldestFor(a *agent) *set {
	var oldest *set
	for _, s := range p.sets {
		if s.waiting > 0 && messages.LabelsSatisfied(s.labels, a.labels) && (oldest == nil || s.oldest.Before(oldest.oldest)) {
			oldest = s
		}
	}
	return oldest
}
