package process

import (
	"context"
	"sync"
	"time"

	"gantry.example/workers/executor"
	"gantry.example/workers/runner"
)

const (
	// describeAfter is how long an apply may take before its runner describes the plan beside it.
	describeAfter = 2 * time.Second
	// describeWithin is how long a plan waits at most to be described while something runs here all the time.
	describeWithin = time.Minute
	// describeTries is how often it is tried.
	describeTries = 3
	// describeLook is how often it is looked whether something still runs here.
	describeLook = 250 * time.Millisecond
	// maxBacklog is how many plans may wait. Beyond that runners describe their own, so that no load lets the backlog grow.
	maxBacklog = 200
)

// backlog holds the plans that runners left to be described, oldest first.
type backlog struct {
	mu    sync.Mutex // guards plans
	plans []owed
}

type owed struct {
	ref   executor.Ref
	since time.Time
	tries int
}

func (b *backlog) add(ref executor.Ref) { b.put(owed{ref: ref, since: time.Now()}) }

func (b *backlog) put(o owed) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.plans = append(b.plans, o)
}

// take returns the oldest plan, if there is one and any may be described, or this one has waited for long enough.
func (b *backlog) take(any bool) (owed, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.plans) == 0 || !any && time.Since(b.plans[0].since) < describeWithin {
		return owed{}, false
	}
	o := b.plans[0]
	b.plans = b.plans[1:]
	return o, true
}

// room reports whether more may be left here.
func (b *backlog) room() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.plans) < maxBacklog
}

// describePlans makes the JSON forms that runners left undone, one at a time, when nothing else runs here or when they are old,
// until the executor is closed. The next one goes on.
func (e *Executor) describePlans() {
	tick := time.NewTicker(describeLook)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-e.ctx.Done():
			return
		}
		for e.ctx.Err() == nil && e.describeOne(e.ctx, e.quiet()) {
		}
	}
}

// Describe makes at once what describePlans would do in its time. It is for an executor that does not come back to its folder, and
// stops when ctx ends.
func (e *Executor) Describe(ctx context.Context) {
	for ctx.Err() == nil && e.describeOne(ctx, true) {
	}
}

// quiet reports whether nothing runs here.
func (e *Executor) quiet() bool {
	running, _ := e.Running(e.ctx) // its error is always nil
	return len(running) == 0
}

// describeOne describes the oldest plan, if it may, and reports whether it did.
func (e *Executor) describeOne(ctx context.Context, any bool) bool {
	o, ok := e.plans.take(any)
	if !ok {
		return false
	}
	f := e.folder.attempt(o.ref.AttemptID)
	if assignment, owes := runner.Owes(f.dir); owes { // else it was removed meanwhile, to make room, or just described
		code, exited := e.describe(ctx, f, assignment)
		if !exited {
			return false
		}
		if o.tries++; code != executor.CodeDelivered && o.tries < describeTries {
			o.since = time.Now()
			e.plans.put(o)
			return false
		}
		if code != executor.CodeDelivered {
			e.passOn(&attempt{ref: o.ref, folder: f})
			e.log.Warn("the JSON form of a plan could not be made, there will be none", append(o.ref.LogAttrs(), "exit_code", code)...)
		}
	}
	if a, known := e.find(o.ref.AttemptID); known && !f.undelivered() {
		e.forget(a)
	}
	return true
}

// describe runs a runner for it. Where the server is may have changed.
func (e *Executor) describe(ctx context.Context, f folder, a runner.Assignment) (code int, exited bool) {
	now := e.cfg.Assignment
	now.Claim, now.Dir, now.Work, now.Describe = a.Claim, f.dir, a.Work, true
	e.starting.Lock()
	c, err := e.handOver(f, now)
	e.starting.Unlock()
	if err != nil {
		e.log.Warn("no runner for a plan's JSON form", "attempt", a.Claim.AttemptID, "error", err)
		return executor.CodeUnknown, e.ctx.Err() == nil
	}
	return c.wait(ctx)
}
