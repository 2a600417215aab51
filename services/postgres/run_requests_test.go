package postgres_test

import (
	"sync"
	"testing"

	"gantry.example/messages"
	"gantry.example/services/postgres"
)

func TestRunIsCreatedOncePerKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ws := w.workspace("network")
	in := postgres.NewRun{WorkspaceID: ws.ID, OrganizationID: w.org.ID, CreatedBy: "a producer"}
	ask := func(key, request string) string {
		id, err := w.CreateRunOnce(t.Context(), key, []byte(request), in)
		w.ok(err)
		return id
	}
	first := ask("k", "a")
	if again := ask("k", "a"); again != first {
		t.Errorf("the same again: got %s, want %s", again, first)
	}
	if other := ask("l", "a"); other == first {
		t.Errorf("another key: got %s again, want a run of its own", other)
	}
	_, err := w.CreateRunOnce(t.Context(), "k", []byte("b"), in)
	w.refused(err, messages.CodeIdempotencyMismatch)

	// A refused request is not remembered, and leaves no run.
	foreign := in
	foreign.OrganizationID = messages.NewID("org-")
	_, err = w.CreateRunOnce(t.Context(), "m", []byte("a"), foreign)
	w.refused(err, messages.CodeNotFound)

	// At the same time: one run, whoever wins; who loses may be told to try again.
	var all sync.Map
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for {
				if id, err := w.CreateRunOnce(t.Context(), "n", []byte("a"), in); err == nil {
					all.Store(id, true)
					return
				}
			}
		})
	}
	group.Wait()
	n := 0
	all.Range(func(any, any) bool { n++; return true })
	if _, total, err := w.Runs(t.Context(), postgres.RunFilter{WorkspaceID: ws.ID}); err != nil || n != 1 || total != 3 {
		t.Errorf("at the same time: got %d answers and %d runs, %v, want 1 and 3", n, total, err)
	}
}
