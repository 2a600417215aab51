package observer

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"gantry.example/internal/telemetry"
	"gantry.example/internal/telemetry/otlp"
	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// wanted reports whether the run belongs to a trace that is kept.
func wanted(r run.Run) bool {
	c, ok := telemetry.Parse(r.Traceparent)
	return ok && c.Sampled
}

// spans are the life of a run, from what was stored of it:
//
//	run                       from its creation to its end; every event of the run is an event of this span
//	├ workspace               waiting for the workspace: another run, or a lock
//	├ queue                   a task waiting for a worker, once for each time it was queued
//	├ plan | apply            one attempt, from its claim to its end
//	│ ├ place                 until its runner is at work
//	│ ├ connect, lease, start the runner gets ready and asks for the start
//	│ ├ init, plan | apply, upload
//	│ └ project               from the result to its consequences
//	└ approval                waiting for a person
//
// The stages within an attempt are as long as its runner measured, one after the other from the start: clocks of hosts
// differ, so no time of another host's is taken as it is. Ids follow from the run's, so that spans sent twice are the same.
func spans(e postgres.EndedRun, events []run.Event) []otlp.Span {
	root, ok := telemetry.Parse(e.Run.Traceparent)
	if !ok || len(events) == 0 {
		return nil
	}
	t := &tracer{ended: e, root: root, queued: map[string]time.Time{}, end: events[len(events)-1].At}
	for _, event := range events {
		t.events = append(t.events, otlp.Event{Name: string(event.Type), At: event.At})
		t.wait(event)
	}
	for _, task := range e.Run.Tasks() {
		for _, a := range task.Attempts {
			t.attempt(task, a)
		}
	}
	return append(t.out, t.run())
}

type tracer struct {
	ended  postgres.EndedRun
	root   telemetry.SpanContext
	end    time.Time
	events []otlp.Event
	out    []otlp.Span

	queued  map[string]time.Time // since when a task waits
	planned time.Time            // since when a person is waited for
}

// wait makes spans of what lies between two events.
func (t *tracer) wait(e run.Event) {
	switch e.Type {
	case run.EventPlanQueued:
		t.add("workspace", "", t.root.SpanID, t.ended.Run.CreatedAt, e.At, nil)
		t.queued[e.Data.TaskID] = e.At
	case run.EventApplyQueued:
		if !t.planned.IsZero() {
			t.add("approval", "", t.root.SpanID, t.planned, e.At, map[string]any{"gantry.confirmed_by": t.ended.Run.ConfirmedBy})
			t.planned = time.Time{}
		}
		t.queued[e.Data.TaskID] = e.At
	case run.EventRequeued:
		t.queued[e.Data.TaskID] = e.At
	case run.EventPlanned:
		t.planned = e.At
	case run.EventClaimed:
		if since, ok := t.queued[e.Data.TaskID]; ok {
			delete(t.queued, e.Data.TaskID)
			t.add("queue", e.Data.AttemptID, t.root.SpanID, since, e.At, map[string]any{"gantry.task.id": e.Data.TaskID, "gantry.pool": t.ended.Run.Pool})
		}
	}
}

// attempt makes the spans of one attempt.
func (t *tracer) attempt(task *run.Task, a run.Attempt) {
	closed := t.end
	if a.ClosedAt != nil {
		closed = *a.ClosedAt
	}
	own := t.add(string(task.Phase), a.ID, t.root.SpanID, a.ClaimedAt, closed, map[string]any{
		"gantry.task.id": task.ID, "gantry.attempt.id": a.ID, "gantry.attempt.number": int64(a.Number), "gantry.attempt.epoch": a.Epoch,
		"gantry.worker": a.Worker, "gantry.close_reason": a.CloseReason,
	})
	if a.StartedAt == nil {
		return
	}
	result, has := t.ended.Results[a.ID]
	took := func(s messages.Stage) time.Duration {
		return time.Duration(max(result.Phases[s], 0)) * time.Millisecond
	}
	within := func(at time.Time) time.Time { // what hosts measure must not leave the attempt
		if at.Before(a.ClaimedAt) {
			return a.ClaimedAt
		}
		if at.After(closed) {
			return closed
		}
		return at
	}
	before := []messages.Stage{wire.StageConnect, wire.StageLease, wire.StageStart}
	at := *a.StartedAt
	for _, s := range before {
		at = at.Add(-took(s))
	}
	t.add("place", a.ID, own, a.ClaimedAt, within(at), nil)
	if !has {
		return
	}
	for _, s := range append(before, messages.StageInit, messages.Stage(task.Phase), messages.StageUpload) {
		if d := took(s); d > 0 {
			t.add(string(s), a.ID+"/stage", own, within(at), within(at.Add(d)), nil)
			at = at.Add(d)
		}
	}
	if a.ClosedAt != nil {
		t.add("project", a.ID, own, within(result.ReceivedAt), closed, nil)
	}
}

// run makes the span of the run itself.
func (t *tracer) run() otlp.Span {
	r := t.ended.Run
	s := otlp.Span{
		TraceID: t.root.TraceID, ID: t.root.SpanID, Name: "run", Start: r.CreatedAt, End: t.end, Events: t.events,
		Failed: r.Status == run.Errored, Message: r.Failure,
		Attributes: map[string]any{
			"gantry.run.id": r.ID, "gantry.workspace.id": r.WorkspaceID, "gantry.organization.id": r.OrganizationID,
			"gantry.run.kind": kind(r), "gantry.run.status": status(r), "gantry.run.source": r.Source,
			"gantry.execution.mode": string(r.Execution.Mode), "gantry.pool": r.Pool, "gantry.has_changes": r.HasChanges,
		},
	}
	if r.Code != "" {
		s.Attributes["gantry.run.code"] = string(r.Code)
	}
	if parent, err := hex.DecodeString(r.TraceParentSpan); err == nil && len(parent) == len(s.Parent) {
		s.Parent = [8]byte(parent)
	}
	return s
}

// add appends a span and returns its id.
func (t *tracer) add(name, of string, parent [8]byte, start, end time.Time, attributes map[string]any) [8]byte {
	sum := sha256.Sum256(fmt.Appendf(nil, "%x/%s/%s", t.root.SpanID, name, of))
	id := [8]byte(sum[:8])
	t.out = append(t.out, otlp.Span{
		TraceID: t.root.TraceID, ID: id, Parent: parent, Name: name, Start: start, End: end, Attributes: attributes,
	})
	return id
}
