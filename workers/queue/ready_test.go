package queue_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gantry.example/messages"
)

// paused is the worker's metric of that name.
func paused(t *testing.T, c prometheus.Collector) float64 {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	must(t, r.Register(c))
	families, err := r.Gather()
	must(t, err)
	for _, f := range families {
		if f.GetName() == "gantry_worker_paused" {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Error("no gantry_worker_paused")
	return -1
}

func TestAWorkerWithoutRoomTakesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	asked := make(chan struct{}, 100)
	var full atomic.Bool
	full.Store(true)
	b.ready = func() error {
		asked <- struct{}{}
		if full.Load() {
			return errors.New("the disk is full")
		}
		return nil
	}
	b.run(t, 1)
	task := b.publish(t, messages.PhasePlan)
	<-asked
	<-asked // it looked a second time, so the first had its effect
	if got := len(b.claimed()); got != 0 {
		t.Errorf("got %d claims without room, want none", got)
	}
	if got := paused(t, b.worker); got != 1 {
		t.Errorf("gantry_worker_paused without room: got %v, want 1", got)
	}
	full.Store(false)
	if got, want := b.started(t).AttemptID, attemptOf(task); got != want {
		t.Errorf("started: got %s, want %s", got, want)
	}
	if got := paused(t, b.worker); got != 0 {
		t.Errorf("gantry_worker_paused with room: got %v, want 0", got)
	}
}

// TestWhatIsFreedIsLookedAt: a worker that has no room asks again as soon as some may have become free. Twenty times; by itself it would
// ask every two seconds.
func TestWhatIsFreedIsLookedAt(t *testing.T) {
	t.Parallel()
	const times = 20
	b := newBench(t)
	b.freed = make(chan struct{})
	asked := make(chan struct{}, 100)
	b.ready = func() error {
		asked <- struct{}{}
		return errors.New("as many Pods as are allowed")
	}
	b.run(t, 1)
	began := time.Now()
	for range times {
		<-asked
		b.freed <- struct{}{}
	}
	if took := time.Since(began); took > times*time.Second {
		t.Errorf("%d looks took %s", times, took)
	}
}

// TestRoomThatIsGoneBeforeTheClaim: the message goes back, for others or for later.
func TestRoomThatIsGoneBeforeTheClaim(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var calls atomic.Int32
	b.ready = func() error {
		if calls.Add(1) == 2 {
			return errors.New("the disk is full")
		}
		return nil
	}
	b.run(t, 1)
	task := b.publish(t, messages.PhasePlan)
	if got, want := b.started(t).AttemptID, attemptOf(task); got != want {
		t.Errorf("started: got %s, want %s", got, want)
	}
	b.waitGone(t, task)
	if got := claimMetrics(t, b.worker)["unready"]; got != 1 {
		t.Errorf("messages that came without room: got %v, want 1", got)
	}
}
