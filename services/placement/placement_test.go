package placement_test

import (
	"testing"
	"time"

	"gantry.example/messages"
	"gantry.example/services/run"
)

func TestRoundRobinTakesTurns(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	agents := []*agent{w.agent("a", 9), w.agent("b", 9), w.agent("c", 9)}
	got := map[string]int{}
	for range 9 {
		got[w.took(w.run(messages.RoundRobin), agents...).name]++
	}
	for _, a := range agents {
		if got[a.name] != 3 {
			t.Errorf("9 tasks in turn: got %v, want 3 each", got)
		}
	}
}

func TestTheLeastBusyAgentTakesIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	a, b := w.agent("a", 9), w.agent("b", 9)
	first := w.took(w.run(messages.LeastBusy), a, b)
	other := map[*agent]*agent{a: b, b: a}[first]
	for i := range 4 { // whoever ends his task has fewer than the other
		if got := w.took(w.run(messages.LeastBusy), a, b); got != other {
			t.Errorf("task %d: agent %s took it, want %s, which has none", i, got.name, other.name)
		}
		other.done()
	}
}

func TestTheClosestFitTakesIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	plain, gpu, both := w.agent("plain", 2, "aws"), w.agent("gpu", 1, "aws", "gpu"), w.agent("all", 1, "aws", "fast", "gpu")
	for _, c := range []struct {
		labels []string
		want   *agent
	}{{[]string{"gpu"}, gpu}, {nil, plain}, {[]string{"gpu"}, both}, {[]string{"aws"}, plain}} {
		if got := w.took(w.run(messages.LabelMatch, c.labels...), plain, gpu, both); got != c.want {
			t.Errorf("labels %v: agent %s took it, want %s", c.labels, got.name, c.want.name)
		}
	}
}

// TestAFullPoolTakesItLater: an agent hears of what waits as soon as it has a free slot, also of a set that was not known when
// it connected.
func TestAFullPoolTakesItLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	a := w.agent("a", 1, "gpu")
	w.took(w.run(messages.LeastBusy), a)
	r := w.run(messages.Random, "gpu")
	w.Until(r.ID, "on the queue", func(r run.Run) bool {
		has, err := w.Bus.HasTask(t.Context(), w.pool.ID, r.Message(r.Plan).Subject())
		return err == nil && has
	})
	a.done()
	w.took(r, a)
}

// TestADeadAgentIsPassedOver: one that is gone but was present a moment ago is the first choice, and costs next to nothing.
func TestADeadAgentIsPassedOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	dead, alive := w.agent("dead", 9, "x"), w.agent("alive", 9, "x", "y")
	w.took(w.run(messages.LabelMatch, "x"), dead)
	dead.stop()
	w.present("dead", 9, "x")
	for range 3 {
		start := time.Now()
		w.took(w.run(messages.LabelMatch, "x"), alive)
		t.Logf("taken after %v", time.Since(start))
	}
}

// TestLostHintsCostASecond: what nobody was told of is hinted later, by a placer that knows nothing of before.
func TestLostHintsCostASecond(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	a := w.agent("a", 1, "gpu")
	a.queue.Offer(nil)
	r := w.run(messages.LeastBusy, "gpu")
	w.Until(r.ID, "on the queue", func(r run.Run) bool {
		has, err := w.Bus.HasTask(t.Context(), w.pool.ID, r.Message(r.Plan).Subject())
		return err == nil && has
	})
	w.relay(true)
	w.took(r, a)
}

// TestTheStrategyMayChange: each run has the strategy of when it was created, and none is lost. Two servers place at once.
func TestTheStrategyMayChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	w.relay(true)
	agents := []*agent{w.agent("a", 2, "x"), w.agent("b", 2, "x", "y"), w.agent("c", 2, "x", "y", "z")}
	strategies := []messages.Strategy{messages.RoundRobin, messages.LeastBusy, messages.Random, messages.LabelMatch, ""}
	want := map[string]bool{}
	for i := range 40 {
		want[w.run(strategies[i%len(strategies)], [][]string{nil, {"x"}, {"y"}, {"z"}}[i%4]...).ID] = true
	}
	deadline := time.After(30 * time.Second)
	for len(want) > 0 {
		for _, a := range agents {
			select {
			case id := <-a.taken:
				if !want[id] {
					t.Errorf("run %s was taken twice", id)
				}
				delete(want, id)
				a.done()
			case <-time.After(time.Millisecond):
			case <-deadline:
				t.Fatalf("%d tasks were not taken", len(want))
			}
		}
	}
}
