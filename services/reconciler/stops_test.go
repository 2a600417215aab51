package reconciler_test

import (
	"context"
	"testing"
	"time"

	"gantry.example/internal/bus"
	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/placement"
	"gantry.example/services/postgres"
	"gantry.example/services/reconciler"
	"gantry.example/services/relay"
	"gantry.example/services/run"
	"gantry.example/services/servicestest"
)

// repeating never judges contact and tells an attempt again, ten times a second, that it was asked to stop.
func repeating() reconciler.Timing {
	t := hasty()
	t.Settle, t.RepeatStop = time.Hour, 100*time.Millisecond
	return t
}

// obey starts what carries commands, and listens for those of all attempts.
func obey(t *testing.T, w *servicestest.World, timing reconciler.Timing) *bus.Commands {
	t.Helper()
	ensureTasks(t, w)
	c, err := w.Bus.SubscribeCommands(messages.LocalPool, bus.AnyAttempt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	w.Start(w.Notifier.Run)
	w.Start(relay.New(w.DB, w.Bus, w.Notifier, placement.New(w.DB, w.Bus, w.Log), 1, nil, w.Log).Run)
	start(w, timing)
	return c
}

func next(t *testing.T, c *bus.Commands) messages.Command {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	got, err := c.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func canceled(t *testing.T, w *servicestest.World, a postgres.Attempt) {
	t.Helper()
	if _, err := w.DB.PutResult(t.Context(), a, wire.Result{V: 1, Outcome: wire.OutcomeCanceled}); err != nil {
		t.Fatal(err)
	}
}

func TestACancelIsRepeatedUntilTheAttemptEnds(t *testing.T) {
	t.Parallel()
	w := servicestest.New(t)
	commands := obey(t, w, repeating())
	id, _, a := w.Apply()
	began := time.Now()
	if _, err := w.DB.Transition(t.Context(), id, run.Cancel{}, postgres.Cause{Actor: "ada"}); err != nil {
		t.Fatal(err)
	}
	want := messages.Command{V: 1, AttemptID: a.ID, Cancel: true}
	for range 4 { // the first, and three that repeat it
		if got := next(t, commands); got != want {
			t.Fatalf("got command %+v, want %+v", got, want)
		}
	}
	if took := time.Since(began); took < 2*100*time.Millisecond {
		t.Errorf("got four commands within %s, want 100 ms between those that are repeated", took)
	}
	canceled(t, w, a)
	w.WaitFor(id, run.Canceled)
	for range 20 { // some may be on their way
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		_, err := commands.Next(ctx)
		cancel()
		if err != nil {
			return
		}
	}
	t.Error("commands go on after the attempt has ended")
}

func TestAnAttemptPastItsLimitIsStopped(t *testing.T) {
	t.Parallel()
	for _, phase := range []messages.Phase{messages.PhasePlan, messages.PhaseApply} {
		t.Run(string(phase), func(t *testing.T) {
			t.Parallel()
			w := servicestest.New(t)
			timing := repeating()
			timing.Limits = run.Patience{Plan: time.Hour, Apply: 50 * time.Millisecond}
			if phase == messages.PhasePlan {
				timing.Limits = run.Patience{Plan: 50 * time.Millisecond, Apply: time.Hour}
			}
			commands := obey(t, w, timing)
			var id string
			var a postgres.Attempt
			if phase == messages.PhasePlan {
				id = w.NewRun(run.Options{}).ID
				_, a = w.Begin(id)
			} else {
				id, _, a = w.Apply()
			}
			for range 2 {
				if got := next(t, commands); got.AttemptID != a.ID || !got.Cancel || got.Force {
					t.Fatalf("got command %+v, want a cancel of %s", got, a.ID)
				}
			}
			canceled(t, w, a)
			if r := w.WaitFor(id, run.Errored); r.Code != messages.CodeRunTimedOut || r.Overrun == nil || r.Overrun.Phase != phase {
				t.Errorf("got %q of %+v, want %s of the %s", r.Code, r.Overrun, messages.CodeRunTimedOut, phase)
			}
		})
	}
}
