package postgres_test

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// TestALogIsComparedWithWhatItsRunnerPrinted: also behind the log of an earlier attempt, and across a gap.
func TestALogIsComparedWithWhatItsRunnerPrinted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		say  func(w *world, a postgres.Attempt, end postgres.LogChunk)
		want string
	}{
		{"complete", func(w *world, a postgres.Attempt, end postgres.LogChunk) {
			w.says(a, 0, "hello ", nil)
			w.ok(w.AppendLog(w.t.Context(), end))
		}, "intact"},
		{"with a gap", func(w *world, a postgres.Attempt, end postgres.LogChunk) {
			w.ok(w.SkipLogGap(w.t.Context(), end))
		}, "damaged"},
		{"without a hash", func(w *world, a postgres.Attempt, end postgres.LogChunk) {
			w.says(a, 0, "hello ", nil)
			end.SHA256 = ""
			w.ok(w.AppendLog(w.t.Context(), end))
		}, "not known"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.newRun(w.workspace("net"), run.Options{})
			_, first := w.started(r.ID)
			w.says(first, 0, "an earlier attempt", nil)
			w.ok(w.judge(r.ID, run.Exit{AttemptID: first.ID, Detail: "killed"}))
			_, a := w.started(r.ID)
			sum := sha256.Sum256([]byte("hello world"))
			c.say(w, a, postgres.LogChunk{AttemptID: a.ID, Offset: 6, Data: []byte("world"), End: true, SHA256: hex.EncodeToString(sum[:])})
			checks, err := w.LogChecks(t.Context(), r.ID)
			w.ok(err)
			got := "not known"
			if len(checks) == 1 && checks[0].Intact != nil {
				got = map[bool]string{true: "intact", false: "damaged"}[*checks[0].Intact]
			}
			if got != c.want || len(checks) != 1 || !checks[0].Complete {
				t.Errorf("got %s of %+v, want %s", got, checks, c.want)
			}
		})
	}
}

// TestALogMayComeInOneChunk: its end with it, once or again, and also if nothing was printed.
func TestALogMayComeInOneChunk(t *testing.T) {
	t.Parallel()
	for text, intact := range map[string]bool{"hello world": true, "hello": false, "": false} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.newRun(w.workspace("net"), run.Options{})
			_, a := w.started(r.ID)
			sum := sha256.Sum256([]byte("hello world"))
			chunk := postgres.LogChunk{AttemptID: a.ID, End: true, SHA256: hex.EncodeToString(sum[:])}
			if text != "" {
				chunk.Data = []byte(text)
			}
			for range 2 {
				w.ok(w.AppendLog(t.Context(), chunk))
			}
			checks, err := w.LogChecks(t.Context(), r.ID)
			w.ok(err)
			if len(checks) != 1 || !checks[0].Complete || checks[0].Size != int64(len(text)) || checks[0].Intact == nil || *checks[0].Intact != intact {
				t.Errorf("got %+v, want a complete log of %d bytes, intact %t", checks, len(text), intact)
			}
		})
	}
}
