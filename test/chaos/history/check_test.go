package history_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gantry.example/test/chaos/history"
)

// record makes a history as Gantry writes it.
type record struct {
	history.History
	at  time.Time
	seq map[string]int64
}

func (r *record) tick() time.Time {
	r.at = r.at.Add(10 * time.Second)
	return r.at
}

func (r *record) event(run, kind, phase string, attempt string, epoch int64) {
	r.seq[run]++
	r.Events = append(r.Events, history.Event{
		Run: run, Workspace: "ws", Type: kind, Seq: r.seq[run], At: r.tick(), Task: run + "/" + phase, Attempt: attempt, Epoch: epoch,
	})
}

func (r *record) journal(e history.Entry) {
	e.Workspace, e.At = "ws", r.tick().UnixNano()
	r.Journal = append(r.Journal, e)
}

// phase is an attempt that is claimed, started and executed.
func (r *record) begin(run, phase, attempt string, epoch int64) {
	r.event(run, phase+"_queued", phase, "", 0)
	r.event(run, "claimed", phase, attempt, epoch)
	r.event(run, "started", phase, attempt, epoch)
	r.journal(history.Entry{Kind: history.Executed, Run: run, Phase: phase, Attempt: attempt})
}

func (r *record) result(run, attempt string) {
	r.Results = append(r.Results, history.Result{Attempt: attempt, Run: run, LogSize: 3, LogSHA256: "abc"})
	r.Logs = append(r.Logs, history.Log{Attempt: attempt, Complete: true, Size: 3, SHA256: "abc"})
}

// life is a run from its acceptance to its end.
func (r *record) life(n int64) {
	run, word := fmt.Sprintf("run-%d", n), fmt.Sprintf("word-%d", n)
	step := history.Step{Word: word, Name: "s0"}
	r.Accepted = append(r.Accepted, run)
	r.Runs = append(r.Runs, history.Run{ID: run, Workspace: "ws", Status: "applied", Word: word, Position: n, Exclusive: true})
	r.event(run, "created", "", "", 0)
	r.begin(run, history.Plan, run+"-p", 2*n)
	r.result(run, run+"-p")
	r.event(run, "planned", history.Plan, run+"-p", 0)
	r.begin(run, history.Apply, run+"-a", 2*n+1)
	r.journal(history.Entry{Kind: history.Began, Step: step})
	r.journal(history.Entry{Kind: history.Ended, Step: step})
	r.States = append(r.States, history.State{ID: "sv-" + run, Workspace: "ws", Run: run, Serial: n, Epoch: 2*n + 1, Lineage: "l", At: r.at, Steps: []history.Step{step}})
	r.result(run, run+"-a")
	r.event(run, "applied", history.Apply, run+"-a", 0)
	r.Tables = append(r.Tables, run+" applied")
	r.Refolded = append(r.Refolded, run+" applied")
}

func sound() *record {
	r := &record{seq: map[string]int64{}, at: time.Unix(1_700_000_000, 0)}
	r.life(1)
	r.life(2)
	return r
}

// index is where the first event is that fits.
func (r *record) index(run, kind, attempt string) int {
	return slices.IndexFunc(r.Events, func(e history.Event) bool { return e.Run == run && e.Type == kind && e.Attempt == attempt })
}

func TestASoundHistoryHasNoBreach(t *testing.T) {
	t.Parallel()
	if got := history.Check(sound().History); len(got) > 0 {
		t.Errorf("got %v, want no breach", got)
	}
}

// TestWhoWaitsBehindAPerson: a run may wait behind one that waits for approval, and behind no other for good.
func TestWhoWaitsBehindAPerson(t *testing.T) {
	t.Parallel()
	for waits, want := range map[string]int{"approval": 0, "no_agent": 2} {
		r := sound()
		r.Accepted = append(r.Accepted, "run-3", "run-4")
		r.Runs = append(r.Runs, history.Run{ID: "run-3", Workspace: "ws", Status: "planned", Position: 3, Exclusive: true, Waits: waits},
			history.Run{ID: "run-4", Workspace: "ws", Status: "pending", Position: 4, Exclusive: true, Waits: "behind_run"})
		if got := history.Check(r.History); len(got) != want {
			t.Errorf("behind one that waits for %s: got %v, want %d breaches", waits, got, want)
		}
	}
}

// TestPlantedBugs gives the checker what each of these bugs of Gantry would leave behind.
func TestPlantedBugs(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		plant func(*record)
		want  string
	}{
		"lease ignored": {func(r *record) { // two runners of a workspace at once: the second is faster
			r.journal(history.Entry{Kind: history.Overlapped, Run: "run-2", Phase: history.Plan, OtherRun: "run-1", OtherPhase: history.Apply})
		}, "never overlap"},
		"lease ignored, seen by the steps": {func(r *record) {
			steps := slices.Clone(r.Journal)
			slices.SortStableFunc(steps, func(a, b history.Entry) int { return strings.Compare(a.Kind, b.Kind) })
			for i := range steps {
				steps[i].At = int64(i)
			}
			r.Journal = steps
		}, "never overlap"},
		"start not compared": {func(r *record) {
			r.event("run-2", "claimed", history.Apply, "run-2-b", 9)
			r.event("run-2", "started", history.Apply, "run-2-b", 9)
		}, "starts at most once"},
		"start not compared, same attempt executed twice": {func(r *record) {
			r.journal(history.Entry{Kind: history.Executed, Run: "run-2", Phase: history.Apply, Attempt: "run-2-a"})
		}, "starts at most once"},
		"start not compared, the attempt was closed": {func(r *record) {
			r.journal(history.Entry{Kind: history.Executed, Run: "run-2", Phase: history.Plan, Attempt: "run-2-x"})
		}, "never started"},
		"lease ignored by a plan": {func(r *record) { // nothing kept it from noticing that it was given up
			r.event("run-2", "requeued", history.Plan, "run-2-x", 0)
			r.journal(history.Entry{Kind: history.Overlapped, Run: "run-2", Phase: history.Plan, OtherRun: "run-2", OtherPhase: history.Plan})
		}, "never overlap"},
		"ack before commit": {func(r *record) { // the result is there, its message gone, the run never ends
			r.Events = slices.Delete(r.Events, len(r.Events)-1, len(r.Events))
			r.Runs[1].Status = "applying"
		}, "changed nothing"},
		"lost outbox row": {func(r *record) {
			r.Accepted = append(r.Accepted, "run-3")
			r.Runs = append(r.Runs, history.Run{ID: "run-3", Workspace: "ws", Status: "plan_queued", Position: 3, Exclusive: true, Waits: "queued"})
			r.event("run-3", "created", "", "", 0)
			r.event("run-3", "plan_queued", history.Plan, "", 0)
		}, "every accepted run ends"},
		"stale epoch's state accepted": {func(r *record) {
			r.States = append(r.States, history.State{ID: "sv-late", Workspace: "ws", Run: "run-1", Serial: 3, Epoch: 3, Lineage: "l", At: r.at})
		}, "states are one line"},
		"duplicate event applied": {func(r *record) {
			r.event("run-2", "applied", history.Apply, "run-2-a", 0)
		}, "counts once"},
		"duplicate event of a stage applied": {func(r *record) {
			for range 2 {
				r.event("run-2", "progress", history.Apply, "run-2-a", 0)
				r.Events[len(r.Events)-1].Stage = "init"
			}
		}, "twice"},
		"duplicate event applied to the tables only": {func(r *record) {
			r.Tables[1] = "run-2 applied, twice"
		}, "fold of their events"},

		"order":              {func(r *record) { r.Runs[0].Position = 7 }, "first come"},
		"run forgotten":      {func(r *record) { r.Accepted = append(r.Accepted, "run-9") }, "not in the database"},
		"outbox stuck":       {func(r *record) { r.Outbox = 1 }, "never sent"},
		"serial goes back":   {func(r *record) { r.States[1].Serial = 1 }, "one line"},
		"lineage changes":    {func(r *record) { r.States[1].Lineage = "other" }, "one line"},
		"state lost":         {func(r *record) { r.States = r.States[:1] }, "in no state"},
		"log cut":            {func(r *record) { r.Logs[3].Size = 2 }, "logs are"},
		"log without an end": {func(r *record) { r.Logs[3].Complete = false }, "logs are"},
		"log with a gap":     {func(r *record) { r.Logs[3].Lost = true }, "logs are"},
		"event missing": {func(r *record) {
			i := r.index("run-1", "planned", "run-1-p")
			r.Events = slices.Delete(r.Events, i, i+1)
		}, "counts once"},
		"second start too soon": {func(r *record) {
			i := r.index("run-1", "applied", "run-1-a")
			r.Events = append(slices.Delete(slices.Clone(r.Events), i, i+1), r.Events[i])
		}, "never overlap"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := sound()
			tt.plant(r)
			got := history.Check(r.History)
			if !slices.ContainsFunc(got, func(b history.Breach) bool { return strings.Contains(b.String(), tt.want) }) {
				t.Errorf("got %v, want a breach with %q", got, tt.want)
			}
		})
	}
}

// TestWhatIsAllowed are histories that look odd and are right.
func TestWhatIsAllowed(t *testing.T) {
	t.Parallel()
	for name, plant := range map[string]func(*record){
		"a plan that was given up is still there": func(r *record) {
			r.event("run-2", "requeued", history.Plan, "run-2-x", 0)
			r.Broken = map[string]bool{"run-2-x": true}
			r.journal(history.Entry{Kind: history.Overlapped, Run: "run-2", Phase: history.Apply, OtherRun: "run-2", OtherPhase: history.Plan})
		},
		"waits for approval":     func(r *record) { r.Runs[1].Status, r.Runs[1].Waits = "planned", "approval" },
		"a state was kept aside": func(r *record) { r.States = append(r.States, history.State{Workspace: "ws", Superseded: true}) },
		"a late result resolves an unknown outcome": func(r *record) {
			i := r.index("run-2", "applied", "run-2-a")
			r.Events[i].Type = "outcome_unknown"
			r.event("run-2", "applied", history.Apply, "run-2-a", 0)
		},
		"the state of an unknown outcome is lost": func(r *record) {
			r.Events[r.index("run-2", "applied", "run-2-a")].Type = "outcome_unknown"
			r.States = r.States[:1]
		},
		"logs were deleted, and the log says so": func(r *record) { r.LogsDeleted, r.Logs[0].Lost = true, true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := sound()
			plant(r)
			if got := history.Check(r.History); len(got) > 0 {
				t.Errorf("got %v, want no breach", got)
			}
		})
	}
}
