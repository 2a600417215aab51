package logs_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"gantry.example/internal/pgtest"
	"gantry.example/messages"
	"gantry.example/services/logs"
	"gantry.example/services/run"
	"gantry.example/services/servicestest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// TestEveryByteOnceAndInOrder: chunks come in any order and some twice; the stored log is what was printed.
func TestEveryByteOnceAndInOrder(t *testing.T) {
	t.Parallel()
	w := servicestest.New(t)
	w.Start(logs.New(w.DB, w.Bus, 1, logs.DefaultPatience, w.Log).Run)
	r := w.NewRun(run.Options{PlanOnly: true})
	_, a := w.Begin(r.ID)
	var want []byte
	var offsets []int
	for i := range 15 {
		offsets = append(offsets, len(want))
		want = append(want, bytes.Repeat([]byte{byte('a' + i%26)}, 1+i*37)...)
	}
	offsets = append(offsets, len(want))
	order := rand.Perm(14) // the last piece comes with the end
	for _, i := range append(order, order[:5]...) {
		publish(t, w, a.ID, r.ID, offsets[i], want[offsets[i]:offsets[i+1]])
	}
	if err := w.Bus.PublishLogEnd(t.Context(), messages.LocalPool, r.ID, a.ID, int64(offsets[14]), want[offsets[14]:], ""); err != nil {
		t.Fatal(err)
	}
	w.Result(a)
	if err := w.DB.Project(t.Context(), []messages.Event{w.Finished(a)}); err != nil {
		t.Fatal(err)
	}
	w.Until(r.ID, "with its whole log", func(run.Run) bool {
		part, err := w.DB.ReadLog(t.Context(), r.Plan.ID, 0, len(want)+1)
		return err == nil && part.Ended && bytes.Equal(part.Data, want)
	})
}

func publish(t *testing.T, w *servicestest.World, attempt, run string, at int, data []byte) {
	t.Helper()
	if err := w.Bus.EnsureLogs(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := w.Bus.PublishLogChunk(t.Context(), messages.LocalPool, run, attempt, int64(at), data); err != nil {
		t.Fatal(err)
	}
}

// TestTwoReaders: a log whose chunks go to either of two services is whole and in order, and not held up by that.
func TestTwoReaders(t *testing.T) {
	t.Parallel()
	w := servicestest.New(t)
	for range 2 {
		w.Start(logs.New(w.DB, w.Bus, 1, logs.DefaultPatience, w.Log).Run)
	}
	r := w.NewRun(run.Options{PlanOnly: true})
	_, a := w.Begin(r.ID)
	var want []byte
	for i := range 300 {
		chunk := []byte(fmt.Sprintf("line %d\n", i))
		publish(t, w, a.ID, r.ID, len(want), chunk)
		want = append(want, chunk...)
	}
	w.Until(r.ID, "with its whole log", func(run.Run) bool {
		part, err := w.DB.ReadLog(t.Context(), r.Plan.ID, 0, len(want)+1)
		return err == nil && bytes.Equal(part.Data, want)
	})
}

// TestLostChunk: a chunk that never comes costs its own bytes, said in the log, and nothing else.
func TestLostChunk(t *testing.T) {
	t.Parallel()
	w := servicestest.New(t)
	w.Start(logs.New(w.DB, w.Bus, 1, time.Second, w.Log).Run)
	r := w.NewRun(run.Options{PlanOnly: true})
	_, a := w.Begin(r.ID)
	publish(t, w, a.ID, r.ID, 0, []byte("before "))
	// The later chunk comes first: it must not skip the one that is only behind it.
	publish(t, w, a.ID, r.ID, 106, []byte("end"))
	publish(t, w, a.ID, r.ID, 100, []byte("after "))
	const want = "before \n[Gantry: 93 bytes of the log were lost]\nafter end"
	w.Until(r.ID, "with a log that goes on", func(run.Run) bool {
		part, err := w.DB.ReadLog(t.Context(), r.Plan.ID, 0, 1000)
		return err == nil && string(part.Data) == want
	})
}
