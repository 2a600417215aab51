// Package bus is Gantry's NATS as a client: every stream, queue and lease built on it. No other package imports JetStream.
// The server, and who may say what to whom, are in package broker.
//
//	connect.go      client connections           streams.go                  the streams and their settings
//	tasks.go        publishing tasks             queue.go                    a worker's view of the tasks of one label set
//	hints.go        who should take a task       agentqueue.go               an agent's view of the tasks of many
//	events.go       what attempts report         logs.go                     what terraform printed
//	commands.go     what the server tells them   lease.go, leasekey.go       who works on a key now
//
// Everything here may be lost and rebuilt: Postgres decides, streams deliver.
package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrNoStream tells that the stream behind the call is missing (or, in a cluster, has no leader right now). Call the
// matching Ensure function and try again.
var ErrNoStream = errors.New("the stream is missing")

// ErrDisconnected tells that nothing was sent because the connection is down. It reconnects by itself: try again later.
var ErrDisconnected = errors.New("not connected to nats")

// requestTimeout bounds every exchange with the server, because an answer that is lost with a connection never comes,
// however long the caller's context lasts.
const requestTimeout = 5 * time.Second

func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, requestTimeout)
}

// Bus is JetStream as Gantry uses it, over one connection. It is safe for concurrent use. It holds nothing that must be
// closed; the connection stays the caller's.
type Bus struct {
	nc *nats.Conn
	js jetstream.JetStream
}

// New wraps a connection made by Connect or by a broker. What the Bus may do is what the connection's user may do.
func New(nc *nats.Conn) (*Bus, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	return &Bus{nc: nc, js: js}, nil
}

// publish stores a message in the stream of its subject and returns when the stream has it. An error does not say that it
// has not: id makes trying again harmless.
func (b *Bus) publish(ctx context.Context, m *nats.Msg, id string) error {
	if !b.nc.IsConnected() { // nats.go would speak of headers before the first connection
		return ErrDisconnected
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	_, err := b.js.PublishMsg(ctx, m, jetstream.WithMsgID(id))
	return noStream(err)
}

// noStream marks the errors that mean a missing stream with ErrNoStream and leaves the others alone.
func noStream(err error) error {
	if errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrNoStreamResponse) ||
		errors.Is(err, nats.ErrNoResponders) {
		return fmt.Errorf("%w: %w", ErrNoStream, err)
	}
	return err
}
