package bus_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gantry.example/internal/bus"
	"gantry.example/messages"
)

func TestEventsAreStoredOnceAndReadInBatches(t *testing.T) {
	t.Parallel()
	f := start(t)
	ctx := withTimeout(t)
	id := f.runner()
	for range 2 {
		for seq := 1; seq <= 3; seq++ {
			must(t, f.bus.PublishEvent(ctx, f.pool, eventOf(id, seq)))
		}
	}
	r := f.bus.EventReader()
	got, err := r.FetchBatch(ctx, 2, 5*time.Second)
	must(t, err)
	rest, err := r.FetchBatch(ctx, 2, 5*time.Second)
	must(t, err)
	got = append(got, rest...)
	if len(got) != 3 {
		t.Fatalf("got %d events, want 3", len(got))
	}
	for i, d := range got {
		if diff := cmp.Diff(eventOf(id, i+1), d.Event); diff != "" || d.Err != nil || d.Pool != f.pool || d.Sequence != uint64(i+1) {
			t.Errorf("event %d: pool %s, sequence %d, error %v, -want +got:\n%s", i+1, d.Pool, d.Sequence, d.Err, diff)
		}
	}
	must(t, got[0].Ack(ctx))
	must(t, got[1].NakWithDelay(0))
	must(t, got[2].Bury(ctx, unusable(errors.New("test"))))
	again, err := r.FetchBatch(ctx, 10, 5*time.Second)
	must(t, err)
	if len(again) != 1 || again[0].Event.Seq != 2 {
		t.Fatalf("after ack, nak, burial: got %v, want event 2 alone", again)
	}
	must(t, again[0].Ack(ctx))
	if none, err := r.FetchBatch(ctx, 10, 100*time.Millisecond); err != nil || len(none) != 0 {
		t.Errorf("after all: got %v, %v, want nothing", none, err)
	}
}

// TestWhatWasReadLeavesTheStream, but not what is still to be done.
func TestWhatWasReadLeavesTheStream(t *testing.T) {
	t.Parallel()
	f := start(t)
	ctx := withTimeout(t)
	for range 5 { // each attempt is a subject of its own
		must(t, f.bus.PublishEvent(ctx, f.pool, eventOf(f.runner(), 1)))
	}
	got, err := f.bus.EventReader().FetchBatch(ctx, 5, 5*time.Second)
	must(t, err)
	for _, done := range []int{0, 1, 2, 4} {
		must(t, got[done].Ack(ctx))
	}
	_, err = f.bus.EventReader().FetchBatch(ctx, 5, 10*time.Millisecond)
	must(t, err)
	all, _, err := f.bus.Health(ctx)
	must(t, err)
	for _, s := range all {
		if s.Name == messages.StatusStream && s.Messages != 2 {
			t.Errorf("got %d messages on the stream, want the one that nobody is done with and the one after it", s.Messages)
		}
	}
	must(t, got[3].Ack(ctx))
	must(t, f.bus.PublishEvent(ctx, f.pool, eventOf(f.runner(), 1)))
	next, err := f.bus.EventReader().FetchBatch(ctx, 5, 5*time.Second)
	must(t, err)
	if len(next) != 1 || next[0].Sequence != 6 {
		t.Errorf("after all were done with: got %v, want the sixth event", next)
	}
}

func TestWaitingReaderGetsAnEventAtOnce(t *testing.T) {
	t.Parallel()
	f := start(t)
	ctx := withTimeout(t)
	got := make(chan int, 1)
	go func() {
		batch, _ := f.bus.EventReader().FetchBatch(ctx, 100, 25*time.Second)
		got <- len(batch)
	}()
	must(t, f.bus.PublishEvent(ctx, f.pool, eventOf(f.runner(), 1)))
	select {
	case n := <-got:
		if n != 1 {
			t.Errorf("got %d events, want 1", n)
		}
	case <-time.After(10 * time.Second):
		t.Error("the reader waits for more events, want the first one at once")
	}
}

// A runner may publish on its own subject only, so what it says there about others must not count.
func TestForgedEventIsUnusable(t *testing.T) {
	t.Parallel()
	f := start(t)
	ctx := withTimeout(t)
	me, other := f.runner(), f.runner()
	_, nc := f.As(t, me)
	subject := messages.StatusSubject(f.pool, me.WorkspaceID, me.RunID, me.Name)
	r := f.bus.EventReader()
	for want, body := range map[string]string{
		"belongs on": encode(t, eventOf(other, 1)), "not readable": "{", "attempt_id": "{}",
	} {
		must(t, nc.Publish(subject, []byte(body)))
		got, err := r.FetchBatch(ctx, 10, 5*time.Second)
		must(t, err)
		if len(got) != 1 || got[0].Err == nil || !strings.Contains(got[0].Err.Error(), want) {
			t.Fatalf("event %s: got %v, want one whose error says %q", body, got, want)
		}
		must(t, got[0].Bury(ctx, unusable(got[0].Err)))
	}
}

func TestReaderSurvivesARebuiltStream(t *testing.T) {
	t.Parallel()
	f := start(t)
	ctx := withTimeout(t)
	r := f.bus.EventReader()
	if _, err := r.FetchBatch(ctx, 1, 10*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	deleteStream(t, f, messages.StatusStream)
	if _, err := r.FetchBatch(ctx, 1, time.Second); !errors.Is(err, bus.ErrNoStream) {
		t.Errorf("read without a stream: got %v, want ErrNoStream", err)
	}
	must(t, f.bus.EnsureStatus(ctx, 1))
	must(t, f.bus.PublishEvent(ctx, f.pool, eventOf(f.runner(), 1)))
	got, err := r.FetchBatch(ctx, 1, 5*time.Second)
	if err != nil || len(got) != 1 {
		t.Errorf("after the stream was rebuilt: got %v, %v, want one event", got, err)
	}
}
