package otlp

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

const (
	queued         = 1024 // traces that wait for a collector that does not answer; more are dropped
	batch          = 64   // traces in one request
	defaultTimeout = 10 * time.Second
	giveUp         = time.Minute // a batch that no collector took for this long is dropped
	firstPause     = 250 * time.Millisecond
	maxPause       = 10 * time.Second
	flushLimit     = 3 * time.Second // for what is left when the program stops
)

// Exporter sends spans in the background. Traces are a convenience: a collector that is down costs spans, never runs.
type Exporter struct {
	cfg   Config
	log   *slog.Logger
	queue chan []Span
	spans *prometheus.CounterVec
	down  bool // the failure was logged; Run's goroutine's own
}

// New returns an exporter; Run makes it work.
func New(cfg Config, log *slog.Logger) *Exporter {
	cfg.Timeout = cmp.Or(cfg.Timeout, defaultTimeout)
	if cfg.Client == nil {
		// A redirect would carry the headers, and with them a key, elsewhere.
		cfg.Client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	return &Exporter{
		cfg: cfg, log: log, queue: make(chan []Span, queued),
		spans: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gantry_trace_spans_total", Help: `Spans of ended runs, by whether a collector took them: "sent" or "dropped".`,
		}, []string{"result"}),
	}
}

// Describe implements prometheus.Collector.
func (e *Exporter) Describe(out chan<- *prometheus.Desc) { e.spans.Describe(out) }

// Collect implements prometheus.Collector.
func (e *Exporter) Collect(out chan<- prometheus.Metric) { e.spans.Collect(out) }

// Offer queues the spans of one trace. It never blocks: when too many wait already, these are dropped and counted. Safe for
// concurrent use.
func (e *Exporter) Offer(trace []Span) {
	select {
	case e.queue <- trace:
	default:
		e.spans.WithLabelValues("dropped").Add(float64(len(trace)))
	}
}

// Run sends until ctx ends, then what still waits, for a few seconds.
func (e *Exporter) Run(ctx context.Context) error {
	defer e.cfg.Client.CloseIdleConnections()
	for {
		select {
		case <-ctx.Done():
			e.flush(context.WithoutCancel(ctx))
			return nil
		case first := <-e.queue:
			e.deliver(ctx, e.more(first))
		}
	}
}

func (e *Exporter) flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, flushLimit)
	defer cancel()
	for len(e.queue) > 0 {
		e.deliver(ctx, e.more(<-e.queue))
	}
}

// more adds what waits already.
func (e *Exporter) more(spans []Span) []Span {
	for n := 1; n < batch; n++ {
		select {
		case next := <-e.queue:
			spans = append(spans, next...)
		default:
			return spans
		}
	}
	return spans
}

// deliver sends a batch, trying again while that may help. A batch that is underway when the program stops gets one more try.
func (e *Exporter) deliver(ctx context.Context, spans []Span) {
	body, err := proto.Marshal(e.request(spans))
	deadline := time.Now().Add(giveUp)
	for pause := firstPause; err == nil; pause = min(2*pause, maxPause) {
		var again bool
		if again, err = e.post(context.WithoutCancel(ctx), body); err == nil || !again || ctx.Err() != nil || time.Now().After(deadline) {
			break
		}
		e.complain(err, "traces: not sent, trying again")
		err = nil
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	if err != nil {
		e.spans.WithLabelValues("dropped").Add(float64(len(spans)))
		e.complain(err, "traces: dropped, the collector did not take them")
		return
	}
	e.spans.WithLabelValues("sent").Add(float64(len(spans)))
	if e.down {
		e.down = false
		e.log.Info("traces: the collector takes them again")
	}
}

// complain logs the first failure of an outage.
func (e *Exporter) complain(err error, what string) {
	if !e.down {
		e.down = true
		e.log.Warn(what, "endpoint", e.cfg.shown(), "error", err)
	}
}

// request is an ExportTraceServiceRequest, whose encoding is that of TracesData; its own type would link gRPC.
func (e *Exporter) request(spans []Span) *tracepb.TracesData {
	out := make([]*tracepb.Span, len(spans))
	for i, s := range spans {
		out[i] = s.message()
	}
	return &tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource:   &resourcepb.Resource{Attributes: attributes(e.cfg.Resource)},
		ScopeSpans: []*tracepb.ScopeSpans{{Scope: &commonpb.InstrumentationScope{Name: "gantry"}, Spans: out}},
	}}}
}

// post sends one request. again tells that the same may be taken later.
func (e *Exporter) post(ctx context.Context, body []byte) (again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, e.cfg.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.cfg.Endpoint, bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	for k, v := range e.cfg.Headers {
		req.Header.Set(k, v)
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	resp, err := e.cfg.Client.Do(req)
	if err != nil {
		return true, err
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be used again
	switch resp.StatusCode {
	case http.StatusOK, http.StatusAccepted, http.StatusNoContent:
		return false, nil
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		again = true
	}
	return again, fmt.Errorf("the collector answered %s", resp.Status)
}

var _ prometheus.Collector = (*Exporter)(nil)
