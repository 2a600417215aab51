package api

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics measures calls. A nil *metrics measures nothing.
type metrics struct {
	duration *prometheus.HistogramVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	if r == nil {
		return nil, nil
	}
	m := &metrics{duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "gantry_http_request_duration_seconds",
		Help:    "Time from the first byte of a call to its answer, without event streams.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	}, []string{"route", "method", "status"})}
	if err := r.Register(m.duration); err != nil {
		return nil, fmt.Errorf("register the HTTP metrics: %w", err)
	}
	return m, nil
}

// observe counts one call under its route, not its path: a path has ids in it, and there is no end of them. For the same
// reason calls of unknown paths share one label.
func (m *metrics) observe(rt route, status int, took time.Duration) {
	if m == nil {
		return
	}
	pattern, method := rt.pattern, rt.method
	if pattern == "" {
		pattern, method = "unknown", "any"
	}
	m.duration.WithLabelValues(pattern, method, fmt.Sprintf("%dxx", status/100)).Observe(took.Seconds())
}
