package k8s

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the numbers of one executor.
type metrics struct {
	placing   prometheus.Histogram
	starting  prometheus.Histogram
	adopted   prometheus.Counter
	strangers prometheus.Counter
	refused   *prometheus.CounterVec
	failures  *prometheus.CounterVec
	live      *prometheus.Desc
	waiting   *prometheus.Desc
	states    *prometheus.Desc
	overdue   *prometheus.Desc
	lag       *prometheus.Desc
	asked     []prometheus.Collector // of the cluster
}

func newMetrics(pool string, asked *calls) *metrics {
	labels := prometheus.Labels{"pool": pool}
	count := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels}
	}
	m := &metrics{
		placing: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "gantry_dispatcher_placing_seconds", ConstLabels: labels, Buckets: prometheus.ExponentialBuckets(0.01, 2, 14),
			Help: "From a granted claim to a Pod that may be scheduled.",
		}),
		starting: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "gantry_dispatcher_starting_seconds", ConstLabels: labels, Buckets: prometheus.ExponentialBuckets(1, 2, 12),
			Help: "From a Pod's creation until its runner began, in the cluster's whole seconds, seen by the dispatcher that leads.",
		}),
		adopted:   prometheus.NewCounter(count("gantry_dispatcher_adopted_total", "Starts that found their Pod there already.")),
		strangers: prometheus.NewCounter(count("gantry_dispatcher_strangers_total", "Pods that ran on although their attempt was over for the server.")),
		refused:   prometheus.NewCounterVec(count("gantry_dispatcher_refused_total", "Calls that the cluster refused for now, by its reason."), []string{"reason"}),
		failures:  prometheus.NewCounterVec(count("gantry_dispatcher_failures_total", "Pods that ended without a delivered result, by class."), []string{"class"}),
		live:      prometheus.NewDesc("gantry_dispatcher_pods", "Pods that are not over, of all dispatchers of the pool.", nil, labels),
		waiting:   prometheus.NewDesc("gantry_dispatcher_pods_waiting", "Pods that can't start now, for reasons that people read.", nil, labels),
		states:    prometheus.NewDesc("gantry_dispatcher_pod_states", "Pods of all dispatchers of the pool, those that are over included, by how far they are.", []string{"state"}, labels),
		overdue:   prometheus.NewDesc("gantry_dispatcher_unreported_seconds", "How long ago the Pod ended that waits for longest to be reported.", nil, labels),
		lag:       prometheus.NewDesc("gantry_dispatcher_watch_lag_seconds", "How long ago the Pod was made here that the cluster's watch does not show for longest.", nil, labels),
	}
	for _, c := range asked.all() {
		m.asked = append(m.asked, prometheus.WrapCollectorWith(labels, c))
	}
	return m
}

func (m *metrics) all() []prometheus.Collector {
	return append([]prometheus.Collector{m.placing, m.starting, m.adopted, m.strangers, m.refused, m.failures}, m.asked...)
}

// Describe implements prometheus.Collector.
func (e *Executor) Describe(out chan<- *prometheus.Desc) {
	for _, c := range e.metrics.all() {
		c.Describe(out)
	}
	out <- e.metrics.live
	out <- e.metrics.waiting
	out <- e.metrics.states
	out <- e.metrics.overdue
	out <- e.metrics.lag
}

// Collect implements prometheus.Collector.
func (e *Executor) Collect(out chan<- prometheus.Metric) {
	for _, c := range e.metrics.all() {
		c.Collect(out)
	}
	e.mu.Lock()
	waiting := len(e.waits)
	e.mu.Unlock()
	out <- prometheus.MustNewConstMetric(e.metrics.live, prometheus.GaugeValue, float64(len(e.live())))
	out <- prometheus.MustNewConstMetric(e.metrics.waiting, prometheus.GaugeValue, float64(waiting))
	states, unreported := census(e.pods.list(), time.Now())
	for _, s := range podStates() {
		out <- prometheus.MustNewConstMetric(e.metrics.states, prometheus.GaugeValue, float64(states[s]), string(s))
	}
	out <- prometheus.MustNewConstMetric(e.metrics.overdue, prometheus.GaugeValue, unreported.Seconds())
	out <- prometheus.MustNewConstMetric(e.metrics.lag, prometheus.GaugeValue, e.watchLag().Seconds())
}

// watchLag is how far the watch is behind what was made here: by how long ago, not by resource versions, which count what everybody
// changes and would take a call to ask for.
func (e *Executor) watchLag() (lag time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for id, m := range e.created {
		if e.pods.byAttempt(id) == nil {
			lag = max(lag, time.Since(m.at))
		}
	}
	return lag
}
