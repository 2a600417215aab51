package k8s_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"gantry.example/messages"
	"gantry.example/workers/executor/executortest"
)

// TestATaskBecomesAPod: claimed with the pool's token, its configuration asked for with the attempt's, acknowledged, and its end reported.
func TestATaskBecomesAPod(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.dispatch(t, "one", 10, nil)
	task := b.publish(t, messages.PhasePlan)
	b.waitGone(t, task)
	pod := b.pod(t, task)
	if got, want := pod.Labels["gantry.example/task"], task.ID; got != want {
		t.Errorf("got the Pod of task %s, want %s", got, want)
	}
	executortest.Wait(t, "the gate's removal", func() bool { return len(b.pod(t, task).Spec.SchedulingGates) == 0 })
	b.finish(t, task, 70)
	event := b.nextEvent(t)
	if event.Type != messages.EventExited || event.AttemptID != attemptOf(task) || event.ExitCode != 70 || event.Source != "worker" {
		t.Errorf("got %+v, want the exit of the attempt with code 70", event)
	}
	executortest.Wait(t, "the note that it was reported", func() bool { return b.pod(t, task).Annotations["gantry.example/reported"] != "" })
}

// TestTwoDispatchersAndAMessageThatComesAgain: each message is delivered to whoever pulls it, and again, even after it was acknowledged;
// one claim is granted, one Pod is made.
func TestTwoDispatchersAndAMessageThatComesAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.dispatch(t, "one", 10, nil)
	b.dispatch(t, "two", 10, nil)
	var tasks []messages.Task
	for range 6 {
		tasks = append(tasks, b.publish(t, messages.PhaseApply))
	}
	for range 3 { // the first may overtake the delivery before it
		for _, task := range tasks {
			b.again(t, task)
		}
	}
	for _, task := range tasks {
		b.waitGone(t, task)
		b.pod(t, task)
		b.again(t, task)
	}
	for _, task := range tasks {
		b.waitGone(t, task)
		b.finish(t, task, 1)
	}
	exits := map[string]int{}
	for range tasks {
		exits[b.nextEvent(t).AttemptID]++
	}
	for _, task := range tasks {
		if got := b.made(attemptOf(task)); got != 1 {
			t.Errorf("task %s: %d Pods were made, want one", task.ID, got)
		}
		if got := exits[attemptOf(task)]; got != 1 {
			t.Errorf("task %s: %d exits were reported, want one", task.ID, got)
		}
	}
}

// TestAStalledDispatcher: while one holds a message for longer than it may, the other is given it and carries it out; the first,
// when it goes on, is refused and makes nothing.
func TestAStalledDispatcher(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	stalled, held := make(chan struct{}), make(chan struct{})
	first := sync.OnceFunc(func() {
		close(stalled)
		<-held
	})
	b.dispatch(t, "stalled", 1, func(point string) { // with one Pod at most it pulls one message only
		if point == "worker.pulled" {
			first()
		}
	})
	release := sync.OnceFunc(func() { close(held) })
	t.Cleanup(release) // before the dispatcher is waited for
	task := b.publish(t, messages.PhaseApply)
	<-stalled
	b.dispatch(t, "other", 10, nil)
	executortest.Wait(t, "the Pod of the other", func() bool { return b.made(attemptOf(task)) > 0 })
	b.waitGone(t, task)
	release()
	executortest.Wait(t, "the claim of the first", func() bool { return len(b.claimed()) > 1 })
	b.finish(t, task, 1)
	b.nextEvent(t)
	if got := b.claimed(); len(got) != 2 || got[0].Worker != "other" || got[1].Worker != "stalled" {
		t.Errorf("got claims %+v, want that of the other, then that of the stalled one", got)
	}
	if got := b.made(attemptOf(task)); got != 1 {
		t.Errorf("%d Pods were made, want one", got)
	}
}

// TestAsManyPodsAsAreAllowed: what is more stays in the queue, and the server hears why.
func TestAsManyPodsAsAreAllowed(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{1, 2} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.dispatch(t, "one", limit, nil)
			var taken []messages.Task
			for range limit {
				taken = append(taken, b.publish(t, messages.PhasePlan))
			}
			for _, task := range taken {
				b.waitGone(t, task)
				b.pod(t, task)
			}
			more := b.publish(t, messages.PhasePlan)
			executortest.Wait(t, "the word that no more Pods are allowed", func() bool {
				return b.refusing(fmt.Sprintf("%d Pods are there, as many as k8s config", limit))
			})
			if !b.queued(t, more) || b.made(attemptOf(more)) != 0 {
				t.Error("one task more was taken, want it left in the queue")
			}
			b.finish(t, taken[0], 1)
			b.waitGone(t, more)
			b.pod(t, more)
		})
	}
}

// TestNoConfiguration: a task whose configuration the server refuses is given back for good, and leaves no Pod.
func TestNoConfiguration(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.configuration = func(w http.ResponseWriter) { refuse(w, http.StatusNotFound, messages.CodeNotFound) }
	b.dispatch(t, "one", 10, nil)
	task := b.publish(t, messages.PhasePlan)
	event := b.nextEvent(t)
	if event.AttemptID != attemptOf(task) || !event.Final || event.Message == "" {
		t.Errorf("got %+v, want an exit that is final, with the reason", event)
	}
	if got := b.made(attemptOf(task)); got != 0 {
		t.Errorf("%d Pods were made, want none", got)
	}
}

// TestReady: a dispatcher is ready when NATS has it and the cluster has listed its Pods.
func TestReady(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := b.dispatch(t, "one", 10, nil)
	executortest.Wait(t, "readiness", func() bool { return d.Ready(t.Context()) == nil })
	b.nats.Stop()
	executortest.Wait(t, "the loss of NATS", func() bool { return d.Ready(t.Context()) != nil })
	b.nats.Restart(t)
	executortest.Wait(t, "readiness", func() bool { return d.Ready(t.Context()) == nil })
	b.bus = b.nats.Bus(t)
	task := b.publish(t, messages.PhasePlan)
	executortest.Wait(t, "the Pod of a task after NATS came back", func() bool { return b.made(attemptOf(task)) == 1 })
}
