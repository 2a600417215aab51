package reconciler_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/servicestest"
)

// TestWhatADeletedPoolLeaves: its queue and its leases go, those of the others stay.
func TestWhatADeletedPoolLeaves(t *testing.T) {
	t.Parallel()
	w := servicestest.New(t)
	ensureTasks(t, w)
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var pools []string
	for _, name := range []string{"kept", "deleted"} {
		p, err := w.DB.CreatePool(t.Context(), "default", postgres.PoolChange{Name: &name})
		ok(err)
		ok(w.Bus.EnsureTasks(t.Context(), messages.ModeAgent, p.ID, 1))
		ok(w.Bus.EnsureTaskConsumer(t.Context(), messages.ModeAgent, p.ID, []string{"gpu"}))
		ok(w.Bus.EnsureLeases(t.Context(), p.ID, 1))
		pools = append(pools, p.ID)
	}
	ok(w.Bus.EnsureStatus(t.Context(), 1))
	ok(w.DB.DeletePool(t.Context(), pools[1]))
	start(w, hasty())
	want := []string{messages.StatusStream}
	for _, pool := range []string{messages.LocalPool, pools[0]} {
		want = append(want, messages.TaskStream(pool), messages.LeaseStream(pool))
	}
	slices.Sort(want)
	var got []string
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		streams, _, err := w.Bus.Health(t.Context())
		ok(err)
		got = nil
		for _, s := range streams {
			got = append(got, s.Name)
		}
		if cmp.Equal(got, want) {
			return
		}
	}
	t.Errorf("streams: got %v, want %v", got, want)
}
