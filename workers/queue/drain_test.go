package queue_test

import (
	"testing"

	"gantry.example/messages"
	"gantry.example/workers/executor"
	"gantry.example/workers/executor/executortest"
)

func TestDrainWaitsForWhatRunsAndTakesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.run(t, 2)
	task := b.publish(t, messages.PhaseApply)
	a := b.started(t)
	b.worker.Drain()
	b.worker.Drain()
	next := b.publish(t, messages.PhaseApply)
	select {
	case err := <-b.done:
		t.Fatalf("Run returned %v while a task ran", err)
	default:
	}
	b.fake.Finish(a.AttemptID, 70)
	must(t, <-b.done)
	wantExit(t, b.nextEvent(t), task, 70) // it was told before the worker ended
	if !b.queued(t, next) || len(b.claimed()) != 1 {
		t.Errorf("a draining worker took a task: got %d claims, want 1", len(b.claimed()))
	}
}

func TestDrainOfAnIdleWorkerEndsItAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.run(t, 1)
	b.worker.Drain()
	must(t, <-b.done)
}

func TestOnceTakesOneTask(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.once = true
	b.run(t, 1)
	first := b.publish(t, messages.PhasePlan)
	a := b.started(t)
	b.waitGone(t, first)
	second := b.publish(t, messages.PhasePlan)
	b.fake.Finish(a.AttemptID, 0)
	must(t, <-b.done)
	if !b.queued(t, second) {
		t.Error("a worker for one task took another")
	}
}

func TestStopAsksWhatRunsToStop(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.run(t, 2)
	b.publish(t, messages.PhaseApply)
	a := b.started(t)
	must(t, b.worker.Stop(t.Context()))
	executortest.Wait(t, "the end of the runner", func() bool {
		s, err := b.fake.Status(t.Context(), a.AttemptID)
		return err == nil && s.State == executor.Exited
	})
	must(t, <-b.done)
}
