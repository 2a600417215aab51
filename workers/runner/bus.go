package runner

import (
	"context"

	"gantry.example/internal/wire"
	"gantry.example/messages"
)

// Lease is held exclusivity. Lost is closed when it is gone for whatever reason, and stays closed; a Release after that is no
// error. Leave ends it without freeing it: somebody else has it by now, or will. Valid reports whether it is held now, perhaps again. All may be called from anywhere.
type Lease interface {
	Lost() <-chan struct{}
	Valid() bool
	Leave()
	Release(ctx context.Context) error
}

// Control is what a runner needs from the bus to work at all. Acquire waits until the key is free or its holder is
// superseded. Commands calls handle, from one goroutine, for every command to the attempt until stop is called.
type Control interface {
	Acquire(ctx context.Context, in wire.Inputs) (Lease, error)
	Commands(handle func(messages.Command)) (stop func(), err error)
}

// EventSink publishes status events. Publish returns when the event is stored; repeating an event is harmless.
type EventSink interface {
	Publish(ctx context.Context, e messages.Event) error
}

// LogSink stores the log of the attempt. Chunks come in order, one after the other; a call returns when its chunk is
// stored, and is repeated with the same arguments if it failed.
type LogSink interface {
	Chunk(ctx context.Context, offset int64, data []byte) error
	// End stores the last bytes, if any are left, and that nothing follows.
	End(ctx context.Context, offset int64, rest []byte, sha256 string) error
}

// Bus is the runner's side of NATS.
type Bus struct {
	Control Control
	Events  EventSink
	Logs    LogSink
	Close   func()
}

// Connect opens the bus with the attempt's own token.
type Connect func(ctx context.Context, a Assignment) (Bus, error)
