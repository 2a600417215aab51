package bus_test

import (
	"testing"
	"time"

	"gantry.example/messages"
)

func TestHealthListsStreamsAndTheirReaders(t *testing.T) {
	t.Parallel()
	f := start(t)
	ctx := withTimeout(t)
	id := f.runner()
	must(t, f.bus.PublishEvent(ctx, f.pool, eventOf(id, 1)))
	r := f.bus.EventReader()
	got, err := r.FetchBatch(ctx, 1, 5*time.Second)
	must(t, err)
	streams, more, err := f.bus.Health(ctx)
	must(t, err)
	for _, s := range streams {
		if s.Name != messages.StatusStream {
			continue
		}
		if s.Messages != 1 || s.Newest.IsZero() || len(s.Consumers) != 1 || s.Consumers[0].Name != messages.ProjectorConsumer || s.Consumers[0].Unacked != len(got) {
			t.Errorf("got %+v, want one message, delivered to the projector and not acknowledged", s)
		}
		return
	}
	t.Errorf("got %+v (more: %v), want the status stream among them", streams, more)
}
