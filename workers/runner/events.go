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

func newEvents(in wire.Inputs) *eventLine {
	return &eventLine{in: in, queue: make(chan messages.Event, 16), done: make(chan struct{})} // more than an attempt has
}

// start begins to publish what was added and what will be.
func (l *eventLine) start(ctx context.Context, sink EventSink, log *slog.Logger) {
	go func() {
		defer close(l.done)
		for e := range l.queue {
			if err := sink.Publish(ctx, e); err != nil {
				log.Warn("event not published", "type", e.Type, "seq", e.Seq, "error", err)
			}
		}
	}()
}

func (l *eventLine) add(kind messages.EventType, stage messages.Stage) {
	l.seq++
	l.queue <- messages.Event{
		V: messages.Version, Type: kind, AttemptID: l.in.AttemptID, RunID: l.in.RunID, WorkspaceID: l.in.WorkspaceID,
		Source: "runner", Seq: l.seq, At: time.Now().UTC(), Stage: stage,
	}
}

// close ends the line, which must have been started; it waits until every event is published or its publishing failed.
func (l *eventLine) close() {
	close(l.queue)
	<-l.done
}
