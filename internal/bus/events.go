package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gantry.example/messages"
)

const (
	// readerAckWait is how long a reader of events or logs has to store a batch.
	readerAckWait = 30 * time.Second
	// readerMaxAckPending bounds the messages handed out and not acknowledged. There is room for the log of one run that waits
	// at a gap beside everybody else's.
	readerMaxAckPending = 10_000
)

// PublishEvent reports an event and returns when it is stored. Publishing the same event again, by the same or another
// process, stores it once (within half a minute; after that the event's id tells readers).
func (b *Bus) PublishEvent(ctx context.Context, pool string, e messages.Event) error {
	if err := e.Validate(); err != nil {
		return err
	}
	body, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("event %s: encode: %w", e.ID(), err)
	}
	m := &nats.Msg{Subject: messages.StatusSubject(pool, e.WorkspaceID, e.RunID, e.AttemptID), Data: body, Header: nats.Header{}}
	if err := b.publish(ctx, m, e.ID()); err != nil {
		return fmt.Errorf("event %s: publish: %w", e.ID(), err)
	}
	return nil
}

// EventReader reads all events for the projector. Several processes may read: each event goes to one of them, again to any
// of them if it is not acknowledged within 30 s, so the order is not guaranteed. What all are done with leaves the stream
// within a minute or two. Not for concurrent use.
type EventReader struct{ pull puller }

// EventReader returns the projector's reader. Its durable consumer is created by the first FetchBatch and again whenever it
// is missing; a consumer created anew starts at the oldest stored event.
func (b *Bus) EventReader() *EventReader {
	r := &EventReader{b.reader(messages.StatusStream, messages.ProjectorConsumer)}
	r.pull.forgets = true
	return r
}

// reader makes the puller of a durable consumer over a whole stream.
func (b *Bus) reader(stream, durable string) puller {
	return puller{bus: b, stream: stream, name: durable, create: &jetstream.ConsumerConfig{
		Durable:       durable,
		DeliverPolicy: jetstream.DeliverAllPolicy,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       readerAckWait,
		MaxDeliver:    -1,
		MaxAckPending: readerMaxAckPending,
	}}
}

// EventDelivery is one event. If Err is not nil the message is not a usable event: Bury it.
type EventDelivery struct {
	Event    messages.Event
	Pool     string
	Sequence uint64 // place in the stream; restarts when the stream is rebuilt
	Err      error
	Receipt
}

// FetchBatch returns what is there, up to limit events, or waits up to wait for the first; none is no error. After an
// error (ErrNoStream: call EnsureStatus) the next call starts afresh; wait a little before it.
func (r *EventReader) FetchBatch(ctx context.Context, limit int, wait time.Duration) ([]EventDelivery, error) {
	msgs, err := r.pull.batch(ctx, limit, wait)
	out := make([]EventDelivery, 0, len(msgs))
	for _, m := range msgs {
		out = append(out, eventDelivery(Receipt{r.pull.bus, m}))
	}
	return out, err
}

func eventDelivery(r Receipt) EventDelivery {
	m := r.msg
	d := EventDelivery{Sequence: sequence(m), Receipt: r}
	if tokens := strings.Split(m.Subject(), "."); len(tokens) > 1 {
		d.Pool = tokens[1]
	}
	if err := json.Unmarshal(m.Data(), &d.Event); err != nil {
		d.Err = fmt.Errorf("event message on %s: not readable: %w", m.Subject(), err)
		return d
	}
	if d.Err = d.Event.Validate(); d.Err != nil {
		return d
	}
	// A runner may publish on its own subject only, so the subject is the truth about who speaks.
	e := d.Event
	if s := messages.StatusSubject(d.Pool, e.WorkspaceID, e.RunID, e.AttemptID); s != m.Subject() {
		d.Err = fmt.Errorf("event message on %s: its content belongs on %s", m.Subject(), s)
	}
	return d
}
