package runner

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"time"

	"gantry.example/internal/bus"
	"gantry.example/internal/wire"
	"gantry.example/messages"
)

// defaultLeaseTTL is used when the server does not say.
const defaultLeaseTTL = 15 * time.Second

// ConnectNATS is the Connect of production. It returns before NATS answers if it has to; the lease then waits for it.
func ConnectNATS(log *slog.Logger) Connect {
	sessions := tls.NewLRUClientSessionCache(1) // an apply's connection resumes its plan's
	return func(_ context.Context, a Assignment) (Bus, error) {
		id := a.Claim.AttemptID
		conn, err := bus.Connect(bus.ConnectConfig{
			URL: a.NATSURL, Token: a.Claim.Token, Name: id, CACert: []byte(a.CACert), Log: log, Sessions: sessions,
		})
		if err != nil {
			return Bus{}, err
		}
		b, err := bus.New(conn)
		if err != nil {
			conn.Close()
			return Bus{}, err
		}
		n := &natsBus{bus: b, in: a.Claim.Inputs}
		return Bus{Control: n, Events: n, Logs: n, Close: conn.Close}, nil
	}
}

// natsBus speaks for one attempt. It implements Control, EventSink and LogSink.
type natsBus struct {
	bus *bus.Bus
	in  wire.Inputs
}

func (n *natsBus) Acquire(ctx context.Context, in wire.Inputs) (Lease, error) {
	ttl := time.Duration(in.LeaseTTLSeconds) * time.Second
	if ttl == 0 {
		ttl = defaultLeaseTTL
	}
	host, _ := os.Hostname() // for people; an empty one is fine
	return n.bus.AcquireLease(ctx, bus.LeaseConfig{
		Pool: in.Pool, Key: in.Key(), TTL: ttl,
		Value: messages.Lease{
			V: messages.Version, AttemptID: in.AttemptID, RunID: in.RunID, Epoch: in.Epoch,
			Holder: fmt.Sprintf("%s/%d", host, os.Getpid()), Nonce: messages.NewID("n-"),
		},
	})
}

func (n *natsBus) Commands(handle func(messages.Command)) (stop func(), err error) {
	sub, err := n.bus.SubscribeCommands(n.in.Pool, n.in.AttemptID)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := sub.Next(ctx)
			if err != nil {
				return
			}
			handle(c)
		}
	}()
	return func() {
		cancel()
		<-done
		_ = sub.Close()
	}, nil
}

func (n *natsBus) Publish(ctx context.Context, e messages.Event) error {
	return n.bus.PublishEvent(ctx, n.in.Pool, e)
}

func (n *natsBus) Chunk(ctx context.Context, offset int64, data []byte) error {
	return n.bus.PublishLogChunk(ctx, n.in.Pool, n.in.RunID, n.in.AttemptID, offset, data)
}

func (n *natsBus) End(ctx context.Context, offset int64, rest []byte, sha256 string) error {
	return n.bus.PublishLogEnd(ctx, n.in.Pool, n.in.RunID, n.in.AttemptID, offset, rest, sha256)
}
