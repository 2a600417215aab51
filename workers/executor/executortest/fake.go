package executortest

import (
	"context"
	"fmt"
	"sync"

	"gantry.example/messages"
	"gantry.example/workers/executor"
)

// Fake is an executor in memory whose runners do nothing until they are told to finish. It is executor and place in one:
// closing it changes nothing. Make one with NewFake.
type Fake struct {
	exits *executor.Backlog

	mu       sync.Mutex // guards the rest
	started  chan executor.Attempt
	refuse   error
	attempts map[string]*fakeAttempt
}

type fakeAttempt struct {
	ref    executor.Ref
	status executor.Status
}

// NewFake returns an empty fake.
func NewFake() *Fake {
	return &Fake{
		exits: executor.NewBacklog(), started: make(chan executor.Attempt, 1000), attempts: map[string]*fakeAttempt{},
	}
}

// Started delivers every attempt that was really started, in order. Up to 1000 wait there.
func (f *Fake) Started() <-chan executor.Attempt { return f.started }

// Refuse makes every start fail with err from now on; nil ends that.
func (f *Fake) Refuse(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refuse = err
}

// Finish ends the runner of an attempt with the code.
func (f *Fake) Finish(attemptID string, code int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.attempts[attemptID]
	if a == nil || a.status.State != executor.Running {
		return
	}
	a.status = executor.Status{State: executor.Exited, Code: code}
	f.exits.Add(executor.Exit{Ref: a.ref, Code: code})
}

// StartPlan implements executor.Executor.
func (f *Fake) StartPlan(_ context.Context, a executor.Attempt) error {
	return f.start(a, messages.PhasePlan)
}

// StartApply implements executor.Executor.
func (f *Fake) StartApply(_ context.Context, a executor.Attempt) error {
	return f.start(a, messages.PhaseApply)
}

func (f *Fake) start(a executor.Attempt, phase messages.Phase) error {
	if a.Inputs.Phase != phase {
		return fmt.Errorf("attempt %s: is of phase %q, not %q", a.AttemptID, a.Inputs.Phase, phase)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse != nil {
		return f.refuse
	}
	if f.attempts[a.AttemptID] != nil {
		return nil
	}
	f.attempts[a.AttemptID] = &fakeAttempt{ref: a.Ref(), status: executor.Status{State: executor.Running}}
	f.started <- a
	return nil
}

// Status implements executor.Executor.
func (f *Fake) Status(_ context.Context, attemptID string) (executor.Status, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if a := f.attempts[attemptID]; a != nil {
		return a.status, nil
	}
	return executor.Status{State: executor.Unknown}, nil
}

// Cancel implements executor.Executor. The runner exits at once.
func (f *Fake) Cancel(_ context.Context, attemptID string, force bool) error {
	code := executor.CodeDelivered
	if force {
		code = executor.CodeUnknown
	}
	f.Finish(attemptID, code)
	return nil
}

// Running implements executor.Watcher.
func (f *Fake) Running(context.Context) ([]executor.Ref, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var refs []executor.Ref
	for _, a := range f.attempts {
		if a.status.State == executor.Running {
			refs = append(refs, a.ref)
		}
	}
	return refs, nil
}

// Watch implements executor.Watcher.
func (f *Fake) Watch(ctx context.Context, handle func(context.Context, executor.Exit) error) error {
	return f.exits.Watch(ctx, handle)
}

// Close does nothing.
func (f *Fake) Close() error { return nil }
