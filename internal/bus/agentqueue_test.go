package bus_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gantry.example/internal/bus"
	"gantry.example/messages"
)

// ears collects what a Hinter hears.
type ears struct {
	loads  chan messages.Load
	absent chan string
}

func (f *fixture) hinter(t *testing.T) (*bus.Hinter, ears) {
	t.Helper()
	e := ears{make(chan messages.Load, 1000), make(chan string, 100)}
	h, err := f.bus.Hinter(bus.HintEars{
		Load:   func(_, _ string, l messages.Load) { e.loads <- l },
		Absent: func(id string) { e.absent <- id },
	})
	must(t, err)
	t.Cleanup(func() { must(t, h.Close()) })
	return h, e
}

// heard waits for a word that is as wanted.
func (e ears) heard(t *testing.T, what string, holds func(messages.Load) bool) messages.Load {
	t.Helper()
	limit := time.After(20 * time.Second)
	for {
		select {
		case l := <-e.loads:
			if holds(l) {
				return l
			}
		case <-limit:
			t.Fatalf("waited in vain for a word that says %s", what)
		}
	}
}

// agent connects an agent with two slots.
func (f *fixture) agent(t *testing.T, name string, labels ...string) *bus.AgentQueue {
	t.Helper()
	b, nc := f.As(t, f.worker(name))
	q, err := b.AgentQueue(bus.AgentQueueConfig{Pool: f.pool, Name: name, Labels: labels, Slots: 2, Log: quiet()})
	must(t, err)
	t.Cleanup(func() { _ = q.Close() })
	must(t, nc.FlushTimeout(10*time.Second))
	return q
}

func (f *fixture) queue(t *testing.T, labels ...string) messages.Task {
	t.Helper()
	ctx := withTimeout(t)
	must(t, f.bus.EnsureTaskConsumer(ctx, messages.ModeAgent, f.pool, labels))
	task := f.task(labels...)
	must(t, f.bus.PublishTask(ctx, task, messages.NewID("m-"), nil))
	return task
}

func nextTask(t *testing.T, q *bus.AgentQueue) messages.Task {
	t.Helper()
	ctx := withTimeout(t)
	d, err := q.Next(ctx)
	must(t, err)
	must(t, d.Err)
	must(t, d.Ack(ctx))
	return d.Task
}

// nothing checks that the queue has nothing to give for a moment.
func (f *fixture) nothing(t *testing.T, q *bus.AgentQueue) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if d, err := q.Next(ctx); err == nil {
		t.Fatalf("got task %s, want none", d.Task.ID)
	}
}

func TestAnAgentLooksIntoItsSetsWhenItConnects(t *testing.T) {
	t.Parallel()
	f := start(t)
	want := map[string]bool{f.queue(t).ID: true, f.queue(t, "aws").ID: true, f.queue(t, "aws", "gpu").ID: true}
	f.queue(t, "azure")
	q := f.agent(t, "a1", "aws", "gpu", "fast")
	q.Offer([][]string{{}, {"aws"}, {"aws", "gpu"}, {"azure"}, {"unheard"}})
	got := map[string]bool{}
	for range want {
		got[nextTask(t, q).ID] = true
	}
	if !cmp.Equal(got, want) {
		t.Errorf("got tasks %v, want %v", got, want)
	}
	f.nothing(t, q)
}

// TestAnAgentIsSilentUntilItIsHinted: what is queued later is taken because of a hint, and of a set that was never offered.
func TestAnAgentIsSilentUntilItIsHinted(t *testing.T) {
	t.Parallel()
	f := start(t)
	h, e := f.hinter(t)
	q := f.agent(t, "a1", "aws")
	e.heard(t, "that the agent is there", func(l messages.Load) bool { return l.Slots == 2 && cmp.Equal(l.Labels, []string{"aws"}) })
	f.nothing(t, q)
	task := f.queue(t, "aws")
	f.nothing(t, q)

	must(t, h.Hint(f.pool, "a1", messages.Hint{V: 1, ID: "h1", Labels: []string{"gpu"}})) // not for it
	must(t, h.Hint(f.pool, "a1", messages.Hint{V: 1, ID: "h2", Labels: []string{"aws"}, Fresh: true}))
	if got := nextTask(t, q); got.ID != task.ID {
		t.Errorf("got task %s, want %s", got.ID, task.ID)
	}
	must(t, h.Hint(f.pool, "a1", messages.Hint{V: 1, ID: "h3", Labels: []string{"aws"}}))
	must(t, h.Hint(f.pool, "nobody", messages.Hint{V: 1, ID: "h4"}))
	f.nothing(t, q)
	if got := e.heard(t, "that a hint was followed", func(l messages.Load) bool { return l.Hint == "h3" }); got.Busy != 0 {
		t.Errorf("got %+v, want the answer to h3", got)
	}
	if got := <-e.absent; got != "h4" {
		t.Errorf("nobody was there for %s, want h4", got)
	}
}

// TestAFreeSlotLooksAround: what came while the agent was full was hinted to others.
func TestAFreeSlotLooksAround(t *testing.T) {
	t.Parallel()
	f := start(t)
	_, e := f.hinter(t)
	q := f.agent(t, "a1")
	f.nothing(t, q)
	q.Occupied(1, true)
	task := f.queue(t)
	q.Occupied(0, true)
	f.nothing(t, q) // it had a free slot all the time
	q.Occupied(2, true)
	q.Occupied(1, true)
	if got := nextTask(t, q); got.ID != task.ID {
		t.Errorf("got task %s, want %s", got.ID, task.ID)
	}
	q.Occupied(1, false)
	e.heard(t, "that it takes nothing", func(l messages.Load) bool { return l.Busy == 1 && l.Refusing })
	task = f.queue(t)
	q.Occupied(1, true)
	if got := nextTask(t, q); got.ID != task.ID {
		t.Errorf("got task %s, want %s", got.ID, task.ID)
	}
}

// TestAnAgentTakesTurns: no set is starved by one that always has tasks.
func TestAnAgentTakesTurns(t *testing.T) {
	t.Parallel()
	f := start(t)
	sets := [][]string{{"a"}, {"b"}, {"c"}}
	for range 6 {
		f.queue(t, "a")
	}
	f.queue(t, "b")
	f.queue(t, "c")
	q := f.agent(t, "a1", "a", "b", "c")
	q.Offer(sets)
	seen := map[string]int{}
	for i := range 4 {
		if l := nextTask(t, q).Labels[0]; seen[l] == 0 {
			seen[l] = i + 1
		}
	}
	if len(seen) != 3 {
		t.Errorf("the first four tasks were of %v, want all three sets", seen)
	}
}

// TestManyAgentsLeaveNoSetBehind: where many come to a long queue, and each takes little, all sets get their share at once.
func TestManyAgentsLeaveNoSetBehind(t *testing.T) {
	t.Parallel()
	f := start(t)
	const agents = 60
	sets := [][]string{{"a"}, {"b"}, {"c"}}
	for range agents {
		for _, s := range sets {
			f.queue(t, s...)
		}
	}
	got := map[string]int{}
	for i := range agents {
		q := f.agent(t, fmt.Sprintf("agent-%d", i), "a", "b", "c")
		q.Offer(sets)
		got[nextTask(t, q).Labels[0]]++
	}
	if len(got) != len(sets) {
		t.Errorf("first tasks of %d agents: got %v, want some of each set", agents, got)
	}
}

// TestAnAgentComesBack: it looks around again after the server was away, and settles what it had.
func TestAnAgentComesBack(t *testing.T) {
	t.Parallel()
	f := start(t)
	q := f.agent(t, "a1")
	first := f.queue(t)
	d, err := q.Next(withTimeout(t))
	must(t, err)
	must(t, d.NakWithDelay(time.Hour))
	f.nothing(t, q)
	second := f.queue(t) // nobody hints it
	got := make(chan messages.Task, 1)
	go func() {
		if d, err := q.Next(context.Background()); err == nil {
			_ = d.Bury(context.Background(), unusable(context.Canceled))
			got <- d.Task
		}
	}()
	f.Stop()
	f.Restart(t)
	f.bus = f.Bus(t)
	select {
	case task := <-got:
		if task.ID != second.ID {
			t.Errorf("got task %s, want %s and not %s", task.ID, second.ID, first.ID)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the agent took nothing after the restart")
	}
	ctx := withTimeout(t)
	until(t, ctx, "the dead letter", func() bool {
		all, err := f.bus.DeadLetters().List(ctx, 0, 10)
		return err == nil && len(all) == 1 && all[0].Stream == messages.TaskStream(f.pool)
	})
}

// TestConsumersOfUnusedSetsGo: a message that comes for one waits until the consumer is made again.
func TestConsumersOfUnusedSetsGo(t *testing.T) {
	t.Parallel()
	f := start(t)
	ctx := withTimeout(t)
	for _, set := range []string{"a", "b", "c"} {
		must(t, f.bus.EnsureTaskConsumer(ctx, messages.ModeAgent, f.pool, []string{set}))
	}
	keep := func(context.Context) ([][]string, error) { return [][]string{{"b"}, {"new"}}, nil }
	for _, want := range []int{2, 0} {
		if got, err := f.bus.KeepTaskConsumers(ctx, f.pool, keep); err != nil || got != want {
			t.Errorf("deleted %d consumers, %v, want %d", got, err, want)
		}
	}
	task := f.task("a")
	must(t, f.bus.PublishTask(ctx, task, "1", nil))
	q := f.agent(t, "a1", "a")
	q.Offer([][]string{{"a"}})
	f.nothing(t, q)
	must(t, f.bus.EnsureTaskConsumer(ctx, messages.ModeAgent, f.pool, []string{"a"}))
	held, err := f.bus.TaskSubjects(ctx, f.pool)
	must(t, err)
	if want := map[string]uint64{task.Subject(): 1}; !cmp.Equal(held, want) {
		t.Errorf("the queue holds %v, want %v", held, want)
	}
	q = f.agent(t, "a2", "a")
	q.Offer([][]string{{"a"}})
	if got := nextTask(t, q); got.ID != task.ID {
		t.Errorf("got task %s, want %s", got.ID, task.ID)
	}
}
