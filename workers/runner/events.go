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
	queue chan messages.Event
	done  chan struct{}
}

func newEvents(in wire.Inputs) *eventLine {
	return &eventLine{in: in, queue: make(chan messages.Event, 16), done: make(chan struct{})} // more than an attempt has
}

// stagePatience is how long a stage must last before it is told: nobody can look at a shorter one, and how long each took
// comes with the result.
const stagePatience = 250 * time.Millisecond

// start begins to publish what was added and what will be.
func (l *eventLine) start(ctx context.Context, sink EventSink, log *slog.Logger) {
	seq := 0
	publish := func(e messages.Event) {
		seq++
		e.Seq = seq
		if err := sink.Publish(ctx, e); err != nil {
			log.Warn("event not published", "type", e.Type, "seq", e.Seq, "error", err)
		}
	}
	go func() {
		defer close(l.done)
		patience := time.NewTimer(stagePatience)
		defer patience.Stop()
		var stage *messages.Event // that lasts
		for {
			select {
			case e, open := <-l.queue:
				stage = nil
				switch {
				case !open:
					return
				case e.Type == messages.EventProgress:
					stage = &e
					patience.Reset(stagePatience)
				default:
					publish(e)
				}
			case <-patience.C:
				if stage != nil {
					publish(*stage)
				}
				stage = nil
			}
		}
	}()
}

func (l *eventLine) add(kind messages.EventType, stage messages.Stage) {
	l.queue <- messages.Event{
		V: messages.Version, Type: kind, AttemptID: l.in.AttemptID, RunID: l.in.RunID, WorkspaceID: l.in.WorkspaceID,
		Source: "runner", At: time.Now().UTC(), Stage: stage,
	}
}

// close ends the line, which must have been started; it waits until every event is published or its publishing failed.
func (l *eventLine) close() {
	close(l.queue)
	<-l.done
}
