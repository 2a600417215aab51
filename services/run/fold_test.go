package run_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gantry.example/messages"
	"gantry.example/services/run"
)

func eventTypes() []run.EventType {
	return []run.EventType{
		run.EventCreated, run.EventPlanQueued, run.EventClaimed, run.EventClaimExpired, run.EventStarted, run.EventBaseStale,
		run.EventProgress, run.EventPlanned, run.EventConfirmed, run.EventApplyQueued, run.EventApplied, run.EventErrored,
		run.EventCancelRequested, run.EventCanceled, run.EventDiscarded, run.EventRequeued, run.EventContactLost,
		run.EventContactRegained, run.EventOutcomeUnknown, "of_a_later_version",
	}
}

// TestFoldIsTotal folds events nobody would send, in any order: whatever is in the table, reading it must not panic.
func TestFoldIsTotal(t *testing.T) {
	t.Parallel()
	pick := func(rnd *rand.Rand, from ...string) string { return from[rnd.IntN(len(from))] }
	for seed := range uint64(800) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		var r run.Run
		for seq := range int64(30) {
			types := eventTypes()
			e := run.Event{Seq: seq + 1, Type: types[rnd.IntN(len(types))], At: time.Unix(seq, 0).UTC(), Data: run.Data{
				TaskID: pick(rnd, "", "task-1", "task-2"), AttemptID: pick(rnd, "", "att-1", "att-2"),
			}}
			before := asJSON(t, r)
			next := run.Fold(r, e)
			if got := asJSON(t, r); got != before {
				t.Fatalf("seed %d: folding %s changed the run it was given:\n%s", seed, e.Type, cmp.Diff(before, got))
			}
			if next.Seq != e.Seq {
				t.Fatalf("seed %d: got seq %d after %s, want %d", seed, next.Seq, e.Type, e.Seq)
			}
			r = next
		}
	}
}

func TestFoldOfAnUnknownTypeOnlyMovesSeq(t *testing.T) {
	t.Parallel()
	want := tell(run.Options{}).give(run.Queue{}).started().run
	got := run.Fold(want, run.Event{Seq: want.Seq + 1, Type: "of_a_later_version", At: time.Now(), Data: run.Data{TaskID: "task-1", AttemptID: "att-1"}})
	want.Seq++
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("folding an unknown type changed more than seq (-want +got):\n%s", diff)
	}
}

func TestFoldOfAnEventAgainChangesNothing(t *testing.T) {
	t.Parallel()
	s := tell(run.Options{}).give(run.Queue{}).applying()
	for _, e := range s.events {
		if diff := cmp.Diff(s.run, run.Fold(s.run, e)); diff != "" {
			t.Errorf("folding %s again changed the run (-want +got):\n%s", e.Type, diff)
		}
	}
}

func TestLateReportsOfAStageDoNotTurnItBack(t *testing.T) {
	t.Parallel()
	s := tell(run.Options{}).give(run.Queue{}).started()
	for _, step := range []struct{ give, want messages.Stage }{
		{messages.StagePlan, messages.StagePlan},
		{messages.StageInit, messages.StagePlan},
		{messages.StagePlan, messages.StagePlan},
		{"of_a_later_version", "of_a_later_version"},
		{messages.StageUpload, messages.StageUpload},
	} {
		s.give(run.Progress{AttemptID: "att-1", Stage: step.give})
		if got := s.attempt().Stage; got != step.want {
			t.Errorf("after a report of %s: got stage %s, want %s", step.give, got, step.want)
		}
	}
}
