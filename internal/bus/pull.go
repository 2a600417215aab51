package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Receipt settles one delivered message. Exactly one of its methods is called, once; without one the message is delivered
// again after the consumer's AckWait.
type Receipt struct {
	bus *Bus
	msg delivered
}

// delivered is what is used of a jetstream.Msg.
type delivered interface {
	Subject() string
	Data() []byte
	Headers() nats.Header
	Metadata() (*jetstream.MsgMetadata, error)
	DoubleAck(ctx context.Context) error
	NakWithDelay(d time.Duration) error
	TermWithReason(reason string) error
}

// Ack says that the message is dealt with and waits until the server knows.
func (r Receipt) Ack(ctx context.Context) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	return r.msg.DoubleAck(ctx)
}

// NakWithDelay asks for the message again after d; at once for 0.
func (r Receipt) NakWithDelay(d time.Duration) error { return r.msg.NakWithDelay(d) }

// puller asks a durable consumer for messages, one request at a time. It forgets the consumer after any failure and binds
// or creates it anew, because stream and consumer may have been deleted or rebuilt. Not for concurrent use.
//
// It never uses Consume or Messages: with small batches those now and then forget to send the next pull and stall for half
// a minute (measured with nats.go 1.55).
type puller struct {
	bus    *Bus
	stream string
	name   string
	create *jetstream.ConsumerConfig // nil: only bind, the caller may not create
	cons   jetstream.Consumer

	forgets bool      // what was read is deleted from the stream
	forgot  time.Time // when that was done last
}

// forgetEvery is how long a message stays that its only reader is done with. A stream keeps something in memory for each of its
// subjects, of which there is one per attempt, so what nobody needs any more is not left to the stream's limits.
const forgetEvery = time.Minute

// forget deletes what is done with, up to the oldest message that is not.
func (p *puller) forget(ctx context.Context) error {
	if !p.forgets || time.Since(p.forgot) < forgetEvery {
		return nil
	}
	p.forgot = time.Now()
	ctx, cancel := bounded(ctx)
	defer cancel()
	info, err := p.cons.Info(ctx)
	if err != nil {
		return p.failed(err)
	}
	stream, err := p.bus.js.Stream(ctx, p.stream)
	if err == nil && info.AckFloor.Stream >= stream.CachedInfo().State.FirstSeq {
		err = stream.Purge(ctx, jetstream.WithPurgeSequence(info.AckFloor.Stream+1))
	}
	if err != nil {
		return p.failed(err)
	}
	return nil
}

// bind finds the consumer.
func (p *puller) bind(ctx context.Context) (err error) {
	// A pull that fails because the connection is down leaves its inbox subscription behind (nats.go 1.55), so while it is
	// down none is tried.
	if !p.bus.nc.IsConnected() {
		return ErrDisconnected
	}
	if p.cons != nil {
		return nil
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	if p.create != nil {
		p.cons, err = p.bus.js.CreateOrUpdateConsumer(ctx, p.stream, *p.create)
	} else {
		p.cons, err = p.bus.js.Consumer(ctx, p.stream, p.name)
	}
	if err != nil {
		p.cons = nil
		return fmt.Errorf("consumer %s of stream %s: %w", p.name, p.stream, noStream(err))
	}
	return nil
}

// one waits up to wait for a message. Neither message nor error means that none came.
func (p *puller) one(ctx context.Context, wait time.Duration) (jetstream.Msg, error) {
	if err := p.bind(ctx); err != nil {
		return nil, err
	}
	pull, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	msg, err := p.cons.Next(jetstream.FetchContext(pull))
	switch {
	case err == nil:
		return msg, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, nats.ErrTimeout), errors.Is(err, context.DeadlineExceeded), errors.Is(err, jetstream.ErrNoMessages):
		return nil, nil
	default:
		return nil, p.failed(err)
	}
}

// batch returns what is there, up to limit messages; if nothing is, it waits up to wait for the first.
func (p *puller) batch(ctx context.Context, limit int, wait time.Duration) ([]jetstream.Msg, error) {
	if err := p.bind(ctx); err != nil {
		return nil, err
	}
	if err := p.forget(ctx); err != nil {
		return nil, err
	}
	got, err := p.cons.FetchNoWait(limit)
	if err != nil {
		return nil, p.failed(err)
	}
	var msgs []jetstream.Msg
	for m := range got.Messages() {
		msgs = append(msgs, m)
	}
	if len(msgs) > 0 {
		return msgs, nil // an error after some messages comes again with the next pull
	}
	if err := got.Error(); err != nil {
		return nil, p.failed(err)
	}
	msg, err := p.one(ctx, wait)
	if msg == nil {
		return nil, err
	}
	return []jetstream.Msg{msg}, nil
}

func (p *puller) failed(err error) error {
	p.cons = nil
	return fmt.Errorf("pull from consumer %s of stream %s: %w", p.name, p.stream, noStream(err))
}

// sequence is the message's place in its stream; 0 if the message did not come from one.
func sequence(m delivered) uint64 {
	meta, err := m.Metadata()
	if err != nil {
		return 0
	}
	return meta.Sequence.Stream
}
