package placement

import (
	"cmp"
	"math/rand/v2"

	"gantry.example/messages"
)

// order compares two free agents as the strategy does: negative if the first is to be asked before the second.
func order(by messages.Strategy, r *rand.Rand) func(a, b *agent) int {
	switch by {
	case messages.LeastBusy:
		return leastBusy
	case messages.Random:
		drawn := map[*agent]uint64{}
		draw := func(a *agent) uint64 {
			if _, ok := drawn[a]; !ok {
				drawn[a] = r.Uint64()
			}
			return drawn[a]
		}
		return func(a, b *agent) int { return cmp.Compare(draw(a), draw(b)) }
	case messages.LabelMatch:
		// All offer what is required, so the one that offers the least fits closest, and special ones stay free for special tasks.
		return func(a, b *agent) int { return cmp.Or(cmp.Compare(len(a.labels), len(b.labels)), leastBusy(a, b)) }
	default:
		return roundRobin
	}
}

// roundRobin prefers the agent whose last turn is longest ago.
func roundRobin(a, b *agent) int {
	return cmp.Or(cmp.Compare(a.turn, b.turn), cmp.Compare(a.name, b.name))
}

// leastBusy prefers the agent with the fewest tasks; among equals it is round robin.
func leastBusy(a, b *agent) int { return cmp.Or(cmp.Compare(a.load(), b.load()), roundRobin(a, b)) }
