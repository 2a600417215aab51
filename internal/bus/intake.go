package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gantry.example/messages"
)

// IntakeReader reads the run requests of all producers. Several processes may read: each request goes to one of them, again
// to any of them if it is not acknowledged within 30 s. Not for concurrent use.
type IntakeReader struct{ pull puller }

// IntakeReader returns the intake's reader; its durable consumer is created when needed.
func (b *Bus) IntakeReader() *IntakeReader {
	return &IntakeReader{b.reader(messages.IntakeStream, messages.IntakeConsumer)}
}

// IntakeDelivery is one message of a producer. Its body is whatever was sent.
type IntakeDelivery struct {
	OrganizationID string // of the producer: NATS let it publish on that organization's subject only
	Key            string // names the request, see messages.HeaderIdempotencyKey; never empty
	ReplyTo        string // where the answer goes; "": nobody waits for one
	Data           []byte
	Headers        map[string]string // trace context
	Deliveries     int               // how often this message came, this time included
	// Err tells that what is beside the body cannot be used: Bury the message. It is a *messages.Failure.
	Err error
	Receipt
}

// FetchBatch returns what is there, up to limit requests in their order, or waits up to wait for the first; none is no
// error. After an error (ErrNoStream: call EnsureIntake) the next call starts afresh; wait a little before it.
func (r *IntakeReader) FetchBatch(ctx context.Context, limit int, wait time.Duration) ([]IntakeDelivery, error) {
	msgs, err := r.pull.batch(ctx, limit, wait)
	out := make([]IntakeDelivery, 0, len(msgs))
	for _, m := range msgs {
		out = append(out, intakeDelivery(Receipt{r.pull.bus, m}))
	}
	return out, err
}

func intakeDelivery(r Receipt) IntakeDelivery {
	h := r.msg.Headers()
	d := IntakeDelivery{
		OrganizationID: strings.TrimPrefix(r.msg.Subject(), messages.IntakeSubject("")),
		Data:           r.msg.Data(), Headers: traceHeaders(h), ReplyTo: h.Get(messages.HeaderReplyTo), Receipt: r,
	}
	if meta, err := r.msg.Metadata(); err == nil {
		d.Deliveries = int(min(meta.NumDelivered, 1<<30))
	}
	if d.Key = h.Get(messages.HeaderIdempotencyKey); d.Key == "" {
		d.Key = h.Get(jetstream.MsgIDHeader)
	}
	if d.Key == "" {
		d.Key = r.place()
	}
	switch {
	case r.msg.Subject() != messages.IntakeSubject(d.OrganizationID) || !messages.ValidID(d.OrganizationID, "org-"):
		d.Err = &messages.Failure{Code: messages.CodeInvalid, Message: r.msg.Subject() + " is no subject of run requests"}
		d.ReplyTo = ""
	case d.ReplyTo != "" && !within(d.ReplyTo, messages.ProducerInboxPrefix(d.OrganizationID)):
		d.Err = &messages.Failure{Code: messages.CodeInvalid, Field: messages.HeaderReplyTo,
			Message: fmt.Sprintf("%.200q is not a subject below %s", d.ReplyTo, messages.ProducerInboxPrefix(d.OrganizationID))}
		d.ReplyTo = "" // it is sent with the server's permissions: never to where the producer itself may not listen
	case len(d.Key) > messages.MaxIdempotencyKey || strings.ContainsRune(d.Key, 0) || !utf8.ValidString(d.Key):
		d.Err = &messages.Failure{Code: messages.CodeInvalid, Field: messages.HeaderIdempotencyKey,
			Message: fmt.Sprintf("want a text of at most %d bytes", messages.MaxIdempotencyKey)}
	}
	return d
}

// within reports whether subject is one place below prefix.
func within(subject, prefix string) bool {
	rest, ok := strings.CutPrefix(subject, prefix+".")
	return ok && len(subject) <= 255 && !strings.ContainsAny(rest, "*> \t\r\n\x00") && !strings.Contains("."+rest+".", "..")
}

// Bury gives the request up, see Receipt.Bury. A replay of it is the same request, under the same key.
func (d IntakeDelivery) Bury(ctx context.Context, why messages.Failure) error {
	return d.bury(ctx, why, map[string]string{messages.HeaderIdempotencyKey: d.Key})
}

// Answer tells a producer what became of its request. It is not stored: a producer that does not listen misses it.
func (b *Bus) Answer(subject string, a messages.RunAnswer) error {
	body, err := json.Marshal(a)
	if err == nil {
		err = b.nc.PublishMsg(&nats.Msg{Subject: subject, Data: body})
	}
	if err != nil {
		return fmt.Errorf("answer to %s: %w", subject, err)
	}
	return nil
}
