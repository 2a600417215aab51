package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gantry.example/messages"
)

const (
	// maxBuried is how much of a body a dead letter keeps, so that in base64 it fits into a message of 1 MiB.
	maxBuried = 700 << 10
	// maxBuriedHeaders bounds the text of the headers a dead letter keeps. Larger ones are none of ours.
	maxBuriedHeaders = 32 << 10
	// maxReason bounds the reason, which may quote what was sent.
	maxReason = 2 << 10
)

// Bury gives the message up for good, because it can never be processed: it is kept as a dead letter with the reason and
// then taken from its reader. An error (ErrNoStream: call EnsureDeadLetters) leaves it with the reader: it comes again after
// the consumer's AckWait, and is kept once however often.
func (r Receipt) Bury(ctx context.Context, why messages.Failure) error { return r.bury(ctx, why, nil) }

// bury sets headers over those of the message.
func (r Receipt) bury(ctx context.Context, why messages.Failure, headers map[string]string) error {
	d := messages.DeadLetter{
		V: messages.Version, Subject: r.msg.Subject(), At: time.Now().UTC(), Failure: why,
		Headers: map[string][]string{}, Data: r.msg.Data(), Size: len(r.msg.Data()),
	}
	if meta, err := r.msg.Metadata(); err == nil {
		d.Stream, d.Sequence = meta.Stream, meta.Sequence.Stream
	}
	d.Failure.Message = strings.ToValidUTF8(d.Failure.Message[:min(len(d.Failure.Message), maxReason)], "")
	room := maxBuriedHeaders
	for name, values := range r.msg.Headers() {
		if room -= len(name) + len(strings.Join(values, "")); room >= 0 {
			d.Headers[name] = values
		}
	}
	for name, value := range headers {
		d.Headers[name] = []string{value}
	}
	d.Data = d.Data[:min(len(d.Data), maxBuried)]
	body, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("dead letter of %s: encode: %w", d.Subject, err)
	}
	m := &nats.Msg{Subject: messages.DeadLetterSubject(d.Subject), Data: body, Header: nats.Header{}}
	if err := r.bus.publish(ctx, m, "dead/"+r.place()); err != nil {
		return fmt.Errorf("dead letter of %s: %w", d.Subject, err)
	}
	if err := r.msg.TermWithReason(strings.Join(strings.Fields(d.Failure.Message), " ")); err != nil {
		return fmt.Errorf("give up message on %s: %w", d.Subject, err)
	}
	return nil
}

// place names the message for ever: its stream may be deleted and count from one again, but not at the same time of day.
func (r Receipt) place() string {
	meta, err := r.msg.Metadata()
	if err != nil {
		return r.msg.Subject()
	}
	return fmt.Sprintf("%s/%d/%d", meta.Stream, meta.Sequence.Stream, meta.Timestamp.UnixNano())
}

// DeadLetters is what there is of dead letters, over a Bus with every permission. Safe for concurrent use.
type DeadLetters struct{ bus *Bus }

// DeadLetters returns the dead letters.
func (b *Bus) DeadLetters() DeadLetters { return DeadLetters{b} }

// List returns up to limit dead letters with ids above after, oldest first. A stream that is missing has none.
func (l DeadLetters) List(ctx context.Context, after uint64, limit int) ([]messages.DeadLetter, error) {
	out := []messages.DeadLetter{}
	stream, err := l.stream(ctx)
	if errors.Is(err, ErrNoStream) {
		return out, nil
	}
	for err == nil && len(out) < limit {
		var m *jetstream.RawStreamMsg
		m, err = get(ctx, stream, after+1, jetstream.WithGetMsgSubject(messages.DeadLetterSubjects))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return out, nil
		}
		if err == nil {
			out, after = append(out, deadLetter(m)), m.Sequence
		}
	}
	if err != nil {
		return nil, fmt.Errorf("list dead letters: %w", err)
	}
	return out, nil
}

// Replay publishes the message again where it was published at first, and removes the dead letter. Doing it twice, also at
// the same time, delivers the message once: the second finds no dead letter, or its copy is recognized. If the message still
// cannot be used, it becomes a new dead letter. Errors: *messages.Failure with not_found or conflict.
func (l DeadLetters) Replay(ctx context.Context, id uint64) (messages.DeadLetter, error) {
	stream, d, raw, err := l.find(ctx, id)
	if err != nil {
		return d, err
	}
	if len(d.Data) < d.Size {
		return d, refuse(messages.CodeConflict, "dead letter %d cannot be replayed: only the first %d of its %d bytes were kept", id, len(d.Data), d.Size)
	}
	m := &nats.Msg{Subject: d.Subject, Data: d.Data, Header: nats.Header{}}
	for name, values := range d.Headers {
		if !strings.HasPrefix(strings.ToLower(name), "nats-") { // orders to the stream, obeyed with the server's permissions
			m.Header[name] = values
		}
	}
	opts := []jetstream.PublishOpt{jetstream.WithMsgID(fmt.Sprintf("replay/%d/%d", id, raw.Time.UnixNano()))}
	if strings.HasPrefix(d.Subject, "task.") { // never in the place of a task that waits
		opts = append(opts, jetstream.WithExpectLastSequencePerSubject(0))
	}
	pub, cancel := bounded(ctx)
	defer cancel()
	var api *jetstream.APIError
	switch _, err = l.bus.js.PublishMsg(pub, m, opts...); {
	case errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence:
		return d, refuse(messages.CodeConflict, "dead letter %d cannot be replayed now: a task waits on %s, and it would take its place", id, d.Subject)
	case errors.Is(noStream(err), ErrNoStream):
		return d, refuse(messages.CodeConflict, "dead letter %d cannot be replayed: no stream takes messages on %s any more", id, d.Subject)
	case err != nil:
		return d, fmt.Errorf("replay dead letter %d to %s: %w", id, d.Subject, err)
	}
	return d, l.remove(ctx, stream, id)
}

// Drop removes the dead letter. Errors: *messages.Failure with not_found.
func (l DeadLetters) Drop(ctx context.Context, id uint64) error {
	stream, _, _, err := l.find(ctx, id)
	if err != nil {
		return err
	}
	return l.remove(ctx, stream, id)
}

func (l DeadLetters) find(ctx context.Context, id uint64) (jetstream.Stream, messages.DeadLetter, *jetstream.RawStreamMsg, error) {
	stream, err := l.stream(ctx)
	var m *jetstream.RawStreamMsg
	if err == nil {
		m, err = get(ctx, stream, id)
	}
	switch {
	case errors.Is(err, ErrNoStream), errors.Is(err, jetstream.ErrMsgNotFound):
		return nil, messages.DeadLetter{}, nil, refuse(messages.CodeNotFound, "dead letter %d does not exist, or not any more", id)
	case err != nil:
		return nil, messages.DeadLetter{}, nil, fmt.Errorf("dead letter %d: %w", id, err)
	}
	return stream, deadLetter(m), m, nil
}

func (l DeadLetters) remove(ctx context.Context, stream jetstream.Stream, id uint64) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	if err := stream.DeleteMsg(ctx, id); err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		return fmt.Errorf("remove dead letter %d: %w", id, err)
	}
	return nil
}

func (l DeadLetters) stream(ctx context.Context) (jetstream.Stream, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	stream, err := l.bus.js.Stream(ctx, messages.DeadLetterStream)
	return stream, noStream(err)
}

func get(ctx context.Context, stream jetstream.Stream, id uint64, opts ...jetstream.GetMsgOpt) (*jetstream.RawStreamMsg, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	return stream.GetMsg(ctx, id, opts...)
}

// deadLetter reads what is stored. What its writer says of the subject does not count: it could be anyone who may write
// dead letters at all, and a replay is published with the server's permissions.
func deadLetter(m *jetstream.RawStreamMsg) messages.DeadLetter {
	var d messages.DeadLetter
	if json.Unmarshal(m.Data, &d) != nil {
		d = messages.DeadLetter{Failure: messages.Failure{Code: messages.CodeInternal, Message: "the dead letter itself is not readable"}, At: m.Time, Size: len(m.Data)}
	}
	d.ID, d.Subject = m.Sequence, strings.TrimPrefix(m.Subject, messages.DeadLetterSubject(""))
	return d
}

func refuse(code messages.Code, format string, args ...any) error {
	return &messages.Failure{Code: code, Message: fmt.Sprintf(format, args...)}
}
