package observer_test

import (
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"gantry.example/internal/pgtest"
	"gantry.example/internal/telemetry"
	"gantry.example/internal/telemetry/otlp"
	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/observer"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
	"gantry.example/services/servicestest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// kept is a collector that keeps what it is offered.
type kept struct{ spans [][]otlp.Span }

func (k *kept) Offer(spans []otlp.Span) { k.spans = append(k.spans, spans) }

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// finish brings a run to its end with a result that says where the time went.
func finish(t *testing.T, w *servicestest.World, id string, result wire.Result) {
	t.Helper()
	_, a := w.Begin(id)
	_, err := w.DB.PutResult(t.Context(), a, result)
	ok(t, err)
}

func traced(t *testing.T, w *servicestest.World, caller string) run.Run {
	t.Helper()
	in := postgres.NewRun{WorkspaceID: w.Workspace.ID, Options: run.Options{AutoApply: true}, CreatedBy: "test"}
	in.Traceparent, in.TraceParentSpan = telemetry.NewRun(caller, true)
	r, err := w.DB.CreateRun(t.Context(), in)
	ok(t, err)
	return r
}

const caller = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// TestEnded: every run that ends is counted once, by whichever of several observers, with what its result says; labels
// that a runner makes up are not taken.
func TestEnded(t *testing.T) {
	t.Parallel()
	w := servicestest.New(t)
	one, other := observer.New(w.DB, nil, w.Log), observer.New(w.DB, nil, w.Log)
	ok(t, one.Round(t.Context())) // the first look ever is where counting begins
	applied := w.NewRun(run.Options{AutoApply: true})
	good := wire.Result{Outcome: wire.OutcomeSucceeded, HasChanges: true, Phases: map[messages.Stage]int64{messages.StagePlan: 1500, "made_up": 1}}
	finish(t, w, applied.ID, good)
	ok(t, one.Round(t.Context()))
	ok(t, other.Round(t.Context()))
	finish(t, w, applied.ID, wire.Result{Outcome: wire.OutcomeSucceeded})
	failed := w.NewRun(run.Options{PlanOnly: true})
	finish(t, w, failed.ID, wire.Result{Outcome: wire.OutcomeFailed, Code: "my.own", Message: "why"})
	ok(t, other.Round(t.Context()))
	ok(t, one.Round(t.Context()))
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(other)
	want := `
# HELP gantry_runs_ended_total Runs that ended, by kind, mode, final status ("outcome_unknown" is a status here) and the error code that says why.
# TYPE gantry_runs_ended_total counter
gantry_runs_ended_total{kind="plan_and_apply",mode="local",reason="",status="applied"} 1
gantry_runs_ended_total{kind="plan_only",mode="local",reason="other",status="errored"} 1
`
	ok(t, testutil.GatherAndCompare(registry, strings.NewReader(want), "gantry_runs_ended_total"))
	families, err := registry.Gather()
	ok(t, err)
	got := map[string]uint64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			got[f.GetName()] += m.GetHistogram().GetSampleCount()
		}
		if f.GetName() == "gantry_stage_duration_seconds" {
			if n, sum := len(f.GetMetric()), f.GetMetric()[0].GetHistogram().GetSampleSum(); n != 1 || sum != 1.5 {
				t.Errorf("got %d stages and %v s, want the plan's 1.5 s only", n, sum)
			}
		}
	}
	if diff := cmp.Diff(map[string]uint64{
		"gantry_runs_ended_total": 0, "gantry_run_duration_seconds": 2, "gantry_queue_wait_seconds": 3,
		"gantry_place_duration_seconds": 3, "gantry_phase_duration_seconds": 3, "gantry_stage_duration_seconds": 1,
	}, got); diff != "" {
		t.Errorf("samples (-want +got):\n%s", diff)
	}
	if n, err := testutil.GatherAndCount(gatherer(one)); err != nil || n != 0 {
		t.Errorf("got %d metrics of the other observer, %v, want none", n, err)
	}
}

func gatherer(c prometheus.Collector) *prometheus.Registry {
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(c)
	return r
}

// TestTrace: the spans of a run continue the caller's trace, lie within each other, and are the same when made again.
func TestTrace(t *testing.T) {
	t.Parallel()
	w := servicestest.New(t)
	out := &kept{}
	o := observer.New(w.DB, out, w.Log)
	ok(t, o.Round(t.Context()))
	finish(t, w, w.NewRun(run.Options{PlanOnly: true}).ID, wire.Result{Outcome: wire.OutcomeSucceeded}) // nobody traces it
	r := traced(t, w, caller)
	if task := r.Message(r.Plan); task.Traceparent != r.Traceparent {
		t.Errorf("got traceparent %q with the task, want %q", task.Traceparent, r.Traceparent)
	}
	phases := map[messages.Stage]int64{wire.StageLease: 2, wire.StageStart: 1, messages.StageInit: 3, messages.StagePlan: 60_000, messages.StageApply: 1}
	finish(t, w, r.ID, wire.Result{Outcome: wire.OutcomeSucceeded, HasChanges: true, Phases: phases})
	finish(t, w, r.ID, wire.Result{Outcome: wire.OutcomeSucceeded, Phases: phases})
	ok(t, o.Round(t.Context()))
	if len(out.spans) != 1 {
		t.Fatalf("got %d traces, want that of the run that is traced", len(out.spans))
	}
	byID, names := map[[8]byte]otlp.Span{}, map[string]int{}
	for _, s := range out.spans[0] {
		byID[s.ID] = s
		names[s.Name]++
		if got := hex.EncodeToString(s.TraceID[:]); got != "4bf92f3577b34da6a3ce929d0e0e4736" {
			t.Errorf("span %s: got trace %s, want the caller's", s.Name, got)
		}
	}
	want := map[string]int{"run": 1, "queue": 2, "plan": 2, "apply": 2, "place": 2, "lease": 2, "start": 2, "init": 2, "project": 2}
	delete(names, "approval") // an instant, where it is approved at once
	delete(names, "workspace")
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("spans (-want +got):\n%s", diff)
	}
	for _, s := range out.spans[0] {
		parent, inside := byID[s.Parent]
		if s.Name == "run" {
			if hex.EncodeToString(s.Parent[:]) != "00f067aa0ba902b7" || s.Attributes["gantry.run.id"] != r.ID || len(s.Events) == 0 {
				t.Errorf("got %+v, want the run below the caller's span, with its events", s)
			}
			continue
		}
		if !inside || s.Start.Before(parent.Start) || s.End.After(parent.End) || s.End.Before(s.Start) {
			t.Errorf("span %s: got %v to %v, want it within %s, %v to %v", s.Name, s.Start, s.End, parent.Name, parent.Start, parent.End)
		}
	}
	if len(byID) != len(out.spans[0]) {
		t.Errorf("got %d ids of %d spans, want one each", len(byID), len(out.spans[0]))
	}
}

// TestNotSampled: a caller that does not keep its trace gets no spans, and the decision travels on.
func TestNotSampled(t *testing.T) {
	t.Parallel()
	w := servicestest.New(t)
	out := &kept{}
	o := observer.New(w.DB, out, w.Log)
	ok(t, o.Round(t.Context()))
	r := traced(t, w, strings.TrimSuffix(caller, "01")+"00")
	_, err := w.DB.Transition(t.Context(), r.ID, run.Cancel{}, postgres.Cause{Actor: "test"})
	ok(t, err)
	ok(t, o.Round(t.Context()))
	if len(out.spans) != 0 || !strings.HasSuffix(r.Traceparent, "-00") {
		t.Errorf("got %d traces of %s, want none", len(out.spans), r.Traceparent)
	}
}

// TestManyEnded: more runs than fit one look are all given out, each once.
func TestManyEnded(t *testing.T) {
	t.Parallel()
	w := servicestest.New(t)
	_, _, err := w.DB.EndedRuns(t.Context(), 2)
	ok(t, err)
	want := map[string]int{}
	for range 5 {
		r := w.NewRun(run.Options{PlanOnly: true})
		_, err := w.DB.Transition(t.Context(), r.ID, run.Cancel{}, postgres.Cause{Actor: "test"})
		ok(t, err)
		want[r.ID] = 1
	}
	got := map[string]int{}
	for more := true; more; {
		var ended []postgres.EndedRun
		ended, more, err = w.DB.EndedRuns(t.Context(), 2)
		ok(t, err)
		for _, e := range ended {
			got[e.Run.ID]++
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("runs given out (-want +got):\n%s", diff)
	}
}

// TestGauges: what waits is what there is; a dependency that is gone is said to be, and nothing hangs.
func TestGauges(t *testing.T) {
	t.Parallel()
	w := servicestest.New(t)
	ctx := t.Context()
	ok(t, errors.Join(w.Bus.EnsureStatus(ctx, 1), w.Bus.EnsureLogs(ctx, 1)))
	w.NewRun(run.Options{PlanOnly: true}) // queued
	started := w.NewRun(run.Options{})
	_, a := w.Begin(started.ID)
	w.NewRun(run.Options{}) // behind the one that has the workspace
	ok(t, w.Bus.PublishEvent(ctx, messages.LocalPool, w.Event(a, messages.EventProgress, 1)))
	got := gauges(t, observer.NewGauges(w.DB, w.Bus, w.Log))
	if got["gantry_projector_oldest_seconds"] <= 0 || got["gantry_outbox_oldest_seconds"] <= 0 || got["gantry_queue_oldest_seconds local local"] <= 0 {
		t.Errorf("got %v, want ages above 0", got)
	}
	for name, want := range map[string]float64{
		"gantry_up postgres": 1, "gantry_up nats": 1, "gantry_queue_tasks local local": 1, "gantry_attempts_open local plan local started": 1,
		"gantry_attempts_open local plan local claimed": 0, "gantry_runs_waiting workspace": 1, "gantry_runs_waiting approval": 0,
		"gantry_outbox_rows": 2, "gantry_projector_pending_events": 1, "gantry_logs_pending_chunks": 0, "gantry_leases_held local local": 0,
	} {
		if v, has := got[name]; !has || v != want {
			t.Errorf("%s: got %v (there: %v), want %v", name, v, has, want)
		}
	}
	w.NATS.Stop()
	ok(t, w.DB.Close())
	if diff := cmp.Diff(map[string]float64{"gantry_up postgres": 0, "gantry_up nats": 0}, gauges(t, observer.NewGauges(w.DB, w.Bus, slog.New(slog.DiscardHandler)))); diff != "" {
		t.Errorf("with neither Postgres nor NATS (-want +got):\n%s", diff)
	}
}

// gauges collects to a map from name and label values, in the order of their labels' names.
func gauges(t *testing.T, g *observer.Gauges) map[string]float64 {
	t.Helper()
	families, err := gatherer(g).Gather()
	ok(t, err)
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			key := []string{f.GetName()}
			for _, l := range m.GetLabel() {
				key = append(key, l.GetValue())
			}
			out[strings.Join(key, " ")] = m.GetGauge().GetValue()
		}
	}
	return out
}

// TestRun: the loop sees what ended before it is stopped, and outlives a database that is gone.
func TestRun(t *testing.T) {
	t.Parallel()
	w := servicestest.New(t)
	out := &kept{}
	o := observer.New(w.DB, out, w.Log)
	ok(t, o.Round(t.Context()))
	r := traced(t, w, "")
	_, err := w.DB.Transition(t.Context(), r.ID, run.Cancel{}, postgres.Cause{Actor: "test"})
	ok(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ok(t, o.Run(ctx))
	if len(out.spans) != 1 {
		t.Errorf("got %d traces, want the run's", len(out.spans))
	}
	ok(t, w.DB.Close())
	ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	ok(t, o.Run(ctx))
}
