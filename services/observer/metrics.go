package observer

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// metrics are counted when a run ends. No label names a workspace, a run or a person: their number has no bound.
type metrics struct {
	ended *prometheus.CounterVec
	run   *prometheus.HistogramVec
	queue *prometheus.HistogramVec
	place *prometheus.HistogramVec
	phase *prometheus.HistogramVec
	stage *prometheus.HistogramVec
}

func newMetrics() *metrics {
	quick := []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600}
	long := []float64{.25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	}
	return &metrics{
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gantry_runs_ended_total",
			Help: `Runs that ended, by kind, mode, final status ("outcome_unknown" is a status here) and the error code that says why.`,
		}, []string{"kind", "mode", "status", "reason"}),
		run: histogram("gantry_run_duration_seconds", "From the creation of a run to its end, approval included.", long, "kind", "status"),
		queue: histogram("gantry_queue_wait_seconds", "From a task's last queuing to its claim by a worker.", quick,
			"pool", "mode", "phase"),
		place: histogram("gantry_place_duration_seconds", "From the claim of a task to the permission to execute terraform.", quick,
			"mode", "phase"),
		phase: histogram("gantry_phase_duration_seconds", "From the start of an attempt to its end.", long, "mode", "phase", "outcome"),
		stage: histogram("gantry_stage_duration_seconds", "Time an attempt spent in one stage, as its runner measured it.", quick,
			"phase", "stage"),
	}
}

func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.ended, m.run, m.queue, m.place, m.phase, m.stage}
}

func (m *metrics) describe(out chan<- *prometheus.Desc) {
	for _, c := range m.collectors() {
		c.Describe(out)
	}
}

func (m *metrics) collect(out chan<- prometheus.Metric) {
	for _, c := range m.collectors() {
		c.Collect(out)
	}
}

func (m *metrics) observe(e postgres.EndedRun) {
	r := e.Run
	mode := string(r.Execution.Mode)
	m.ended.WithLabelValues(kind(r), mode, status(r), reason(r.Code)).Inc()
	if end, ok := r.Timestamps[r.Status]; ok {
		m.run.WithLabelValues(kind(r), status(r)).Observe(seconds(r.CreatedAt, end))
	}
	for _, t := range r.Tasks() {
		phase := string(t.Phase)
		if last := t.Last(); last != nil && !last.ClaimedAt.Before(t.QueuedAt) {
			m.queue.WithLabelValues(r.Pool, mode, phase).Observe(seconds(t.QueuedAt, last.ClaimedAt))
		}
		for i, a := range t.Attempts {
			if a.StartedAt == nil {
				continue
			}
			m.place.WithLabelValues(mode, phase).Observe(seconds(a.ClaimedAt, *a.StartedAt))
			if a.ClosedAt != nil {
				outcome := "retried"
				if i == len(t.Attempts)-1 {
					outcome = t.Outcome
				}
				m.phase.WithLabelValues(mode, phase, outcome).Observe(seconds(*a.StartedAt, *a.ClosedAt))
			}
			for stage, ms := range e.Results[a.ID].Phases {
				if slices.Contains(stages(), stage) { // a runner says this, and there must be no end of labels by its word
					m.stage.WithLabelValues(phase, string(stage)).Observe(float64(ms) / 1000)
				}
			}
		}
	}
}

func seconds(from, to time.Time) float64 { return max(to.Sub(from), 0).Seconds() }

// kind is what a run was for.
func kind(r run.Run) string {
	switch {
	case r.Options.PlanOnly:
		return "plan_only"
	case r.Options.Destroy:
		return "destroy"
	case r.Options.RefreshOnly:
		return "refresh_only"
	}
	return "plan_and_apply"
}

// status is the final status, or that nobody knows how the apply ended.
func status(r run.Run) string {
	if r.OutcomeUnknown {
		return "outcome_unknown"
	}
	return string(r.Status)
}

// reason is the code of a run that did not go well; empty for one that did. Only codes that this version knows become
// labels.
func reason(c messages.Code) string {
	if c == "" || slices.Contains(messages.Codes(), c) {
		return string(c)
	}
	return "other"
}

// stages are all stages in their order; those before the start first.
func stages() []messages.Stage {
	return []messages.Stage{
		messages.StageFetch, wire.StageConnect, wire.StageLease, wire.StageStart,
		messages.StageInit, messages.StagePlan, messages.StageApply, messages.StageUpload,
	}
}
