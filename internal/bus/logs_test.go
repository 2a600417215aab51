package bus_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go"

	"gantry.example/internal/bus"
	"gantry.example/messages"
)

func TestLogChunks(t *testing.T) {
	t.Parallel()
	f := start(t)
	ctx := withTimeout(t)
	id := f.runner()
	for range 2 { // a runner repeats what was not acknowledged
		must(t, f.bus.PublishLogChunk(ctx, f.pool, id.RunID, id.Name, 0, []byte("first\n")))
		must(t, f.bus.PublishLogChunk(ctx, f.pool, id.RunID, id.Name, 6, []byte("second\n")))
		must(t, f.bus.PublishLogEnd(ctx, f.pool, id.RunID, id.Name, 13, []byte("third"), "digest"))
	}
	got, err := f.bus.LogReader().FetchBatch(ctx, 10, 5*time.Second)
	must(t, err)
	chunk := bus.LogDelivery{Pool: f.pool, RunID: id.RunID, AttemptID: id.Name}
	first, second, end := chunk, chunk, chunk
	first.Data, first.Sequence = []byte("first\n"), 1
	second.Data, second.Offset, second.Sequence = []byte("second\n"), 6, 2
	end.Offset, end.Data, end.End, end.SHA256, end.Sequence = 13, []byte("third"), true, "digest", 3
	want := []bus.LogDelivery{first, second, end}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(bus.LogDelivery{}, "Receipt"), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("log, -want +got:\n%s", diff)
	}
	for _, d := range got {
		must(t, d.Ack(ctx))
	}
}

func TestUnusableLogMessages(t *testing.T) {
	t.Parallel()
	f := start(t)
	ctx := withTimeout(t)
	id := f.runner()
	if err := f.bus.PublishLogChunk(ctx, f.pool, id.RunID, id.Name, 0, make([]byte, messages.MaxLogChunk+1)); err == nil {
		t.Error("publish of a chunk that is too large: got no error, want one")
	}
	nc, err := f.Connect("raw")
	must(t, err)
	t.Cleanup(nc.Close)
	r := f.bus.LogReader()
	for subject, offset := range map[string]string{
		messages.LogSubject(f.pool, id.RunID, id.Name): "-1", "logs.a.b.c": "", "logs.short": "0",
	} {
		m := nats.NewMsg(subject)
		m.Header.Set(messages.HeaderOffset, offset)
		must(t, nc.PublishMsg(m))
		got, err := r.FetchBatch(ctx, 1, 5*time.Second)
		must(t, err)
		if len(got) != 1 || got[0].Err == nil {
			t.Fatalf("log message on %s with offset %q: got %v, want one with an error", subject, offset, got)
		}
		must(t, got[0].Bury(ctx, unusable(got[0].Err)))
	}
}

func TestCommandsEnd(t *testing.T) {
	t.Parallel()
	f := start(t)
	b, nc := f.As(t, f.runner())
	commands, err := b.SubscribeCommands(f.pool, "att-not-mine")
	must(t, err)
	must(t, nc.FlushTimeout(10*time.Second))
	if _, err := commands.Next(withTimeout(t)); !errors.Is(err, nats.ErrPermissionViolation) {
		t.Errorf("commands of another attempt: got %v, want a permissions violation", err)
	}

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	own, err := f.bus.SubscribeCommands(f.pool, bus.AnyAttempt)
	must(t, err)
	if _, err := own.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("commands under an ended context: got %v, want its error", err)
	}
	must(t, own.Close())
	if _, err := own.Next(withTimeout(t)); err == nil {
		t.Error("commands after Close: got no error, want one")
	}
}
