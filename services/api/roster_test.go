package api

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"gantry.example/internal/wire"
	"gantry.example/services/postgres"
)

// TestWordsThatWaitAreWrittenTogether: while one statement is under way everybody else's words wait for the next one, and each gets
// its own answer.
func TestWordsThatWaitAreWrittenTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var sizes []int
		release := make(chan struct{})
		r := &roster{waiting: map[string][]*said{}, keep: func(_ context.Context, pool string, words []postgres.Word) ([]wire.WorkerOrders, error) {
			sizes = append(sizes, len(words))
			<-release
			out := make([]wire.WorkerOrders, len(words))
			for i, w := range words {
				out[i].Rival = pool + "/" + w.Name + w.Instance
			}
			return out, nil
		}}
		say := func(name, instance string) {
			go func() {
				got, err := r.tell(t.Context(), "pool-1", postgres.Word{WorkerStatus: wire.WorkerStatus{Name: name, Instance: instance}})
				if want := "pool-1/" + name + instance; err != nil || got.Rival != want {
					t.Errorf("told %q (%v), want %q", got.Rival, err, want)
				}
			}()
		}
		say("first", "")
		synctest.Wait() // its statement is under way
		for i := range 5 {
			say(fmt.Sprint("agent-", i), "")
		}
		say("agent-0", "-again") // of one name: not in the same statement
		synctest.Wait()
		close(release)
		synctest.Wait()
		if diff := cmp.Diff([]int{1, 5, 1}, sizes); diff != "" {
			t.Errorf("words per statement (-want +got):\n%s", diff)
		}
		if n := len(r.waiting); n != 0 {
			t.Errorf("%d pools are remembered although nobody waits", n)
		}
	})
}

func TestWordsThatCannotBeKept(t *testing.T) {
	t.Parallel()
	broken := errors.New("no database")
	r := &roster{waiting: map[string][]*said{}, keep: func(context.Context, string, []postgres.Word) ([]wire.WorkerOrders, error) { return nil, broken }}
	if _, err := r.tell(t.Context(), "pool-1", postgres.Word{}); !errors.Is(err, broken) {
		t.Errorf("error: got %v, want %v", err, broken)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	r.keep = func(ctx context.Context, _ string, w []postgres.Word) ([]wire.WorkerOrders, error) { // goes on for the others
		return make([]wire.WorkerOrders, len(w)), ctx.Err()
	}
	if _, err := r.tell(gone, "pool-1", postgres.Word{}); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("error: got %v, want none or %v", err, context.Canceled)
	}
}
