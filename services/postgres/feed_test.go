package postgres_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

func TestParseCursorRejectsJunk(t *testing.T) {
	t.Parallel()
	for _, junk := range []string{
		"", "/", "//", "1", "1:1:/1:1:", "1:1:/1:1:/", "1:1:/1:1:/x", "1:1:/1:1:/-1", "::/::/0", "1:1/1:1:/0", "0:1:/1:1:/0", "2:1:/1:1:/0",
		"1:9:5,/1:1:/0", "1:9:5,4/1:1:/0", "1:9:9/1:1:/0", "3:9:2/1:1:/0", "1:1:/1:1:/0/0", "1:1:'/1:1:/0", "99999999999999999999:1:/1:1:/0",
	} {
		if c, err := postgres.ParseCursor(junk); codeOf(err) != messages.CodeInvalid {
			t.Errorf("%q: got %+v, %v; want code %s", junk, c, err, messages.CodeInvalid)
		}
	}
	w := newWorld(t)
	for _, good := range []string{"1:1:/1:1:/0", "10:20:10,15,19/10:30:/9223372036854775807"} {
		c, err := postgres.ParseCursor(good)
		if err != nil || c.String() != good {
			t.Errorf("%q: got %q, %v", good, c, err)
		}
		if _, _, err := w.Follow(t.Context(), w.org.ID, c); err != nil {
			t.Errorf("Postgres refuses %q: %v", good, err)
		}
	}
}

// TestFollowMissesNothing has writers that commit in any order, and a reader that loses its connection in the middle of
// what it reads: it must see every event once, and those of a run in their order, from a snapshot on.
func TestFollowMissesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := w.within(2 * time.Minute)
	for _, name := range []string{"a", "b", "c", "d"} {
		w.newRun(w.workspace(name), run.Options{}) // the snapshot is not empty
	}
	stranger, err := w.CreateOrganization(ctx, "stranger")
	w.ok(err)

	done := make(chan struct{})
	var writers sync.WaitGroup
	for n := range 6 {
		writers.Go(func() { w.write(ctx, n, 25) })
	}
	go func() { writers.Wait(); close(done) }()

	const seed = 7
	rnd := rand.New(rand.NewPCG(seed, 3))
	runs, cursor, err := w.Snapshot(ctx, w.org.ID, 1000)
	w.ok(err)
	seen := map[string]int64{}
	for _, r := range runs {
		seen[r.ID] = r.Seq
	}
	for last := false; !last; {
		select {
		case <-done:
			last = true
		default:
		}
		cursor = w.follow(ctx, cursor, rnd, seen)
	}
	cursor = w.follow(ctx, cursor, nil, seen) // without an interruption: the rest
	want := map[string]int64{}
	rows, err := w.raw.QueryContext(ctx, `SELECT run_id, max(seq) FROM run_events GROUP BY run_id`)
	w.ok(err)
	defer rows.Close()
	for rows.Next() {
		var id string
		var seq int64
		w.ok(rows.Scan(&id, &seq))
		want[id] = seq
	}
	w.ok(rows.Err())
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("seed %d: last event seen of each run (-want +got):\n%s", seed, diff)
	}
	if more, _, err := w.Follow(ctx, stranger.ID, cursor); err != nil || len(more) != 0 {
		t.Errorf("another organization: got %d events, %v; want none", len(more), err)
	}
}

// follow reads on from the cursor and stops at a random event, as a browser that goes away does.
func (w *world) follow(ctx context.Context, c postgres.Cursor, rnd *rand.Rand, seen map[string]int64) postgres.Cursor {
	w.t.Helper()
	parsed, err := postgres.ParseCursor(c.String())
	w.ok(err)
	events, next, err := w.Follow(ctx, w.org.ID, parsed)
	w.ok(err)
	for _, e := range events {
		if got, want := e.Event.Seq, seen[e.Event.RunID]+1; got != want {
			w.t.Fatalf("run %s: got event %d (%s) at %s, want %d", e.Event.RunID, got, e.Event.Type, e.Cursor, want)
		}
		seen[e.Event.RunID]++
		if rnd != nil && rnd.IntN(4) == 0 {
			return e.Cursor
		}
	}
	return next
}

// write changes runs in transactions that stay open for a random while, each with changes of other writers in between.
func (w *world) write(ctx context.Context, n, times int) {
	rnd := rand.New(rand.NewPCG(uint64(n), 4))
	ws, err := w.CreateWorkspace(ctx, postgres.NewWorkspace{Organization: w.org.ID, Name: fmt.Sprint("writer-", n)})
	if err != nil {
		w.t.Error(err)
		return
	}
	cv, err := w.CreateConfigurationVersion(ctx, postgres.NewConfigurationVersion{WorkspaceID: ws.ID})
	if err == nil {
		_, err = w.UploadConfiguration(ctx, cv.ID, postgres.InMemory([]byte("x")))
	}
	if err != nil {
		w.t.Error(err)
		return
	}
	for i := range times {
		// An idempotent request is a transaction that the test can hold open.
		_, err := w.Idempotent(ctx, fmt.Sprint("at-", n), fmt.Sprint(i), nil, func(ctx context.Context) (postgres.Answer, error) {
			r, err := w.CreateRun(ctx, postgres.NewRun{WorkspaceID: ws.ID})
			if err != nil {
				return postgres.Answer{}, err
			}
			select {
			case <-time.After(time.Duration(rnd.IntN(12)) * time.Millisecond):
			case <-ctx.Done():
			}
			if rnd.IntN(3) > 0 {
				_, err = w.Transition(ctx, r.ID, run.Cancel{}, postgres.Cause{Actor: "ada"})
			}
			return postgres.Answer{Status: 201, Body: []byte(r.ID)}, err
		})
		if err != nil {
			w.t.Error(err)
			return
		}
	}
}
