package reconciler

import (
	"github.com/prometheus/client_golang/prometheus"

	"gantry.example/services/run"
)

// metrics count what the reconciler had to do: in good times next to nothing.
type metrics struct {
	actions *prometheus.CounterVec
	failed  prometheus.Counter
}

func newMetrics() *metrics {
	return &metrics{
		actions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gantry_reconciler_actions_total",
			Help: "What the reconciler did because nobody else did: the verdict on an attempt, republish or repeat_stop.",
		}, []string{"action"}),
		failed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gantry_reconciler_rounds_failed_total",
			Help: "Rounds that could not be finished, because Postgres or NATS did not answer.",
		}),
	}
}

// acted counts a verdict that was stored.
func (m *metrics) acted(verdict run.Input) {
	action := "other"
	switch verdict.(type) {
	case run.ExpireClaim:
		action = "expire_claim"
	case run.LoseContact:
		action = "lose_contact"
	case run.RegainContact:
		action = "regain_contact"
	case run.GiveUp:
		action = "give_up"
	case run.Timeout:
		action = "time_out"
	}
	m.actions.WithLabelValues(action).Inc()
}

// Describe implements prometheus.Collector.
func (r *Reconciler) Describe(out chan<- *prometheus.Desc) {
	r.metrics.actions.Describe(out)
	r.metrics.failed.Describe(out)
}

// Collect implements prometheus.Collector.
func (r *Reconciler) Collect(out chan<- prometheus.Metric) {
	r.metrics.actions.Collect(out)
	r.metrics.failed.Collect(out)
}

var _ prometheus.Collector = (*Reconciler)(nil)
