package runner

import (
	"context"
	"log/slog"
	"time"

	"gantry.example/internal/wire"
	"gantry.example/messages"
)

// eventLine publishes the attempt's events in order from a goroutine of its own, so that nothing waits for them. A lost
// event is no harm: the server knows the result from the API.
type eventLine struct {
	in    wire.Inputs
	seq   int
	queue chan messages.Event
	done  chan struct{}
}

func startEvents(ctx context.Context, in wire.Inputs, sink EventSink, log *slog.Logger) *eventLine {
	l := &eventLine{in: in, queue: make(chan messages.Event, 16), done: make(chan struct{})} // more than an attempt has
	go func() {
		defer close(l.done)
		for e := range l.queue {
			if err := sink.Publish(ctx, e); err != nil {
				log.Warn("event not published", "type", e.Type, "seq", e.Seq, "error", err)
			}
		}
	}()
	return l
}

func (l *eventLine) add(kind messages.EventType, stage messages.Stage) {
	l.seq++
	l.queue <- messages.Event{
		V: messages.Version, Type: kind, AttemptID: l.in.AttemptID, RunID: l.in.RunID, WorkspaceID: l.in.WorkspaceID,
		Source: "runner", Seq: l.seq, At: time.Now().UTC(), Stage: stage,
	}
}

// close waits until every event is published or its publishing failed.
func (l *eventLine) close() {
	close(l.queue)
	<-l.done
}
