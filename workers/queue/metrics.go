package queue

import "github.com/prometheus/client_golang/prometheus"

// metrics are the worker's own numbers; every worker has a set of its own.
type metrics struct {
	claims  *prometheus.CounterVec
	running *prometheus.Desc
	slots   *prometheus.Desc
	paused  *prometheus.Desc
}

func newMetrics(pool string) *metrics {
	labels := prometheus.Labels{"pool": pool}
	return &metrics{
		claims: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gantry_worker_claims_total", ConstLabels: labels,
			Help: `Task messages received, by the answer to their claim: "claimed", "unreadable", "unready" (not asked: no room here), "unavailable" or an error code.`,
		}, []string{"answer"}),
		running: prometheus.NewDesc("gantry_worker_attempts_running", "Runners that live, adopted ones included.", nil, labels),
		paused:  prometheus.NewDesc("gantry_worker_paused", "1 while the worker takes nothing new because its host has no room, as its log says.", nil, labels),
		slots:   prometheus.NewDesc("gantry_worker_slots", "Runners that may live at the same time.", nil, labels),
	}
}

// Describe implements prometheus.Collector.
func (w *Worker) Describe(out chan<- *prometheus.Desc) {
	w.metrics.claims.Describe(out)
	out <- w.metrics.running
	out <- w.metrics.slots
	out <- w.metrics.paused
}

// Collect implements prometheus.Collector.
func (w *Worker) Collect(out chan<- prometheus.Metric) {
	w.metrics.claims.Collect(out)
	out <- prometheus.MustNewConstMetric(w.metrics.running, prometheus.GaugeValue, float64(w.slots.running()))
	out <- prometheus.MustNewConstMetric(w.metrics.slots, prometheus.GaugeValue, float64(w.cfg.Slots))
	paused := 0.0
	if w.paused.Load() {
		paused = 1
	}
	out <- prometheus.MustNewConstMetric(w.metrics.paused, prometheus.GaugeValue, paused)
}
