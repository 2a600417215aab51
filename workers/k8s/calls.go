package k8s

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/flowcontrol"
)

// calls are what the clients of a cluster ask of its API server. Whoever collects them adds the pool.
type calls struct {
	made      *prometheus.CounterVec
	throttled prometheus.Counter
}

func newCalls() *calls {
	return &calls{
		made: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gantry_dispatcher_api_calls_total", Help: "Calls of the cluster's API server, by method and status; 0 for no answer.",
		}, []string{"method", "code"}),
		throttled: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gantry_dispatcher_throttled_seconds_total", Help: "Time that calls of the cluster's API server waited for their turn in this dispatcher.",
		}),
	}
}

// count makes a client that is made of the configuration be counted.
func (c *calls) count(cfg *rest.Config) {
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper { return countedTransport{next, c} })
	if cfg.QPS > 0 {
		cfg.RateLimiter = countedLimiter{flowcontrol.NewTokenBucketRateLimiter(cfg.QPS, cfg.Burst), c}
	}
}

func (c *calls) all() []prometheus.Collector { return []prometheus.Collector{c.made, c.throttled} }

type countedTransport struct {
	http.RoundTripper
	calls *calls
}

// RoundTrip implements http.RoundTripper.
func (t countedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.RoundTripper.RoundTrip(req)
	code := 0
	if err == nil {
		code = resp.StatusCode
	}
	t.calls.made.WithLabelValues(req.Method, strconv.Itoa(code)).Inc()
	return resp, err
}

type countedLimiter struct {
	flowcontrol.RateLimiter
	calls *calls
}

// Wait implements flowcontrol.RateLimiter.
func (l countedLimiter) Wait(ctx context.Context) error {
	began := time.Now()
	err := l.RateLimiter.Wait(ctx)
	l.calls.throttled.Add(time.Since(began).Seconds())
	return err
}
