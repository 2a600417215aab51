package lifecycle_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gantry.example/internal/lifecycle"
)

// recorder is appended to by one goroutine at a time: lifecycle starts and stops parts one after the other.
type recorder struct{ seen []string }

func (r *recorder) part(name string) lifecycle.Part {
	return lifecycle.Part{
		Name:  name,
		Start: func(context.Context) error { r.seen = append(r.seen, "start "+name); return nil },
		Run:   func(ctx context.Context) error { <-ctx.Done(); return nil },
		Stop:  func(context.Context) error { r.seen = append(r.seen, "stop "+name); return nil },
	}
}

func TestStopsInOppositeOrder(t *testing.T) {
	t.Parallel()
	var r recorder
	ctx, cancel := context.WithCancel(t.Context())
	if err := lifecycle.Run(ctx, slog.New(slog.DiscardHandler), cancel, r.part("a"), r.part("b")); err != nil {
		t.Errorf("got %v, want no error", err)
	}
	want := []string{"start a", "start b", "stop b", "stop a"}
	if diff := cmp.Diff(want, r.seen); diff != "" {
		t.Errorf("order differs (-want +got):\n%s", diff)
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	for name, tt := range map[string]struct {
		broken lifecycle.Part
		want   []string
	}{
		"start":                {lifecycle.Part{Name: "broken", Start: func(context.Context) error { return boom }}, []string{"start a", "stop a"}},
		"run":                  {lifecycle.Part{Name: "broken", Run: func(context.Context) error { return boom }}, []string{"start a", "stop a"}},
		"run ending by itself": {lifecycle.Part{Name: "broken", Run: func(context.Context) error { return nil }}, []string{"start a", "stop a"}},
		"stop":                 {lifecycle.Part{Name: "broken", Stop: func(context.Context) error { return boom }}, []string{"start a", "stop a"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var r recorder
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ready := func() {}
			if name == "stop" {
				ready = cancel
			}
			err := lifecycle.Run(ctx, slog.New(slog.DiscardHandler), ready, r.part("a"), tt.broken)
			if err == nil || !strings.Contains(err.Error(), "broken") {
				t.Errorf("got error %v, want one that names the part", err)
			}
			if diff := cmp.Diff(tt.want, r.seen); diff != "" {
				t.Errorf("order differs (-want +got):\n%s", diff)
			}
		})
	}
}

// TestStopDuringStart: a start that ends because the program was asked to stop is no failure.
func TestStopDuringStart(t *testing.T) {
	t.Parallel()
	var r recorder
	ctx, cancel := context.WithCancel(t.Context())
	slow := lifecycle.Part{Name: "slow", Start: func(ctx context.Context) error { cancel(); return ctx.Err() }}
	if err := lifecycle.Run(ctx, slog.New(slog.DiscardHandler), func() { t.Error("told ready") }, r.part("a"), slow); err != nil {
		t.Errorf("got %v, want no error", err)
	}
	if diff := cmp.Diff([]string{"start a", "stop a"}, r.seen); diff != "" {
		t.Errorf("order differs (-want +got):\n%s", diff)
	}
}
