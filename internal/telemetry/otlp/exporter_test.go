package otlp_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"gantry.example/internal/telemetry/otlp"
)

// received is a request that the collector took.
type received struct {
	header http.Header
	data   *tracepb.TracesData
}

// collector is an OTLP/HTTP collector that answers with the statuses in turn, the last one from then on.
func collector(t *testing.T, statuses ...int) (address string, requests <-chan received) {
	t.Helper()
	out := make(chan received, 100)
	var calls atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		data := &tracepb.TracesData{}
		if err != nil || proto.Unmarshal(body, data) != nil || r.URL.Path != "/v1/traces" || r.Method != http.MethodPost {
			http.Error(w, "not OTLP", http.StatusBadRequest)
			return
		}
		status := statuses[min(int(calls.Add(1)), len(statuses))-1]
		w.WriteHeader(status)
		if status == http.StatusOK {
			out <- received{r.Header, data}
		}
	}))
	t.Cleanup(s.Close)
	return s.URL, out
}

func start(t *testing.T, env map[string]string) (*otlp.Exporter, func()) {
	t.Helper()
	cfg, err := otlp.FromEnv(func(k string) string { return env[k] }, "", "1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	e := otlp.New(cfg, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	stop := func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("got %v, want an orderly end", err)
		}
	}
	return e, stop
}

func take(t *testing.T, requests <-chan received) received {
	t.Helper()
	select {
	case r := <-requests:
		return r
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was sent, want a request")
		return received{}
	}
}

func span() otlp.Span {
	at := time.Unix(1_700_000_000, 0)
	return otlp.Span{
		TraceID: [16]byte{1}, ID: [8]byte{2}, Parent: [8]byte{3}, Name: "run", Start: at, End: at.Add(time.Second),
		Attributes: map[string]any{"a": "text", "n": int64(7), "b": true}, Failed: true, Message: "why",
		Events: []otlp.Event{{Name: "created", At: at}},
	}
}

// TestSend: what arrives is what was offered, again after the collector was down, with the headers and resource that the
// variables give.
func TestSend(t *testing.T) {
	t.Parallel()
	address, requests := collector(t, http.StatusServiceUnavailable, http.StatusOK)
	e, stop := start(t, map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": address + "/", "OTEL_EXPORTER_OTLP_HEADERS": "x-key=a%20b, x-other=c",
		"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=test", "OTEL_SERVICE_NAME": "mine",
	})
	defer stop()
	e.Offer([]otlp.Span{span()})
	got := take(t, requests)
	if k, o := got.header.Get("X-Key"), got.header.Get("X-Other"); k != "a b" || o != "c" {
		t.Errorf("got headers %q and %q, want those of the variable", k, o)
	}
	resource := map[string]string{}
	for _, a := range got.data.ResourceSpans[0].Resource.Attributes {
		resource[a.Key] = a.Value.GetStringValue()
	}
	if resource["service.name"] != "mine" || resource["service.version"] != "1.2.3" || resource["deployment.environment"] != "test" {
		t.Errorf("got resource %v, want name, version and environment", resource)
	}
	s := got.data.ResourceSpans[0].ScopeSpans[0].Spans[0]
	type flat struct {
		Name, Message string
		Nanos         uint64
		Parent        byte
		Events        int
		Text          string
		Number        int64
		Flag          bool
	}
	want := flat{"run", "why", uint64(time.Second), 3, 1, "text", 7, true}
	if diff := cmp.Diff(want, flat{
		s.Name, s.Status.Message, s.EndTimeUnixNano - s.StartTimeUnixNano, s.ParentSpanId[0], len(s.Events),
		s.Attributes[0].Value.GetStringValue(), s.Attributes[2].Value.GetIntValue(), s.Attributes[1].Value.GetBoolValue(),
	}); diff != "" {
		t.Errorf("span (-want +got):\n%s", diff)
	}
}

// TestStop: what waits when the program stops is still sent.
func TestStop(t *testing.T) {
	t.Parallel()
	address, requests := collector(t, http.StatusOK)
	e, stop := start(t, map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": address + "/v1/traces"})
	for range 70 {
		e.Offer([]otlp.Span{span()})
	}
	stop()
	sent := 0
	for len(requests) > 0 {
		sent += len((<-requests).data.ResourceSpans[0].ScopeSpans[0].Spans)
	}
	if sent != 70 {
		t.Errorf("got %d spans, want all 70", sent)
	}
}

// TestRefused: spans that the collector will never take are dropped and counted, and so are those that find no place.
func TestRefused(t *testing.T) {
	t.Parallel()
	address, _ := collector(t, http.StatusUnauthorized)
	e, stop := start(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": address})
	e.Offer([]otlp.Span{span(), span()})
	stop()
	for range 2000 { // nobody takes them any more
		e.Offer([]otlp.Span{span()})
	}
	want := "# HELP gantry_trace_spans_total Spans of ended runs, by whether a collector took them: \"sent\" or \"dropped\".\n" +
		"# TYPE gantry_trace_spans_total counter\n" + "gantry_trace_spans_total{result=\"dropped\"} 978\n"
	if err := testutil.CollectAndCompare(e, strings.NewReader(want)); err != nil {
		t.Errorf("2 refused and 976 beyond the queue: %v", err)
	}
}

func TestFromEnv(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		flag string
		env  map[string]string
		want string
		err  string
	}{
		"nothing":   {},
		"base":      {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, want: "http://c:4318/v1/traces"},
		"own":       {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://t/x"}, want: "https://t/x"},
		"flag":      {flag: "http://f:1", env: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://t/x"}, want: "http://f:1/v1/traces"},
		"disabled":  {flag: "http://f:1", env: map[string]string{"OTEL_SDK_DISABLED": "true"}},
		"no scheme": {flag: "localhost:4318", err: "--otlp-endpoint"},
		"grpc":      {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "unix:/x"}, err: "OTEL_EXPORTER_OTLP_ENDPOINT"},
		"headers":   {flag: "http://f", env: map[string]string{"OTEL_EXPORTER_OTLP_HEADERS": "secret"}, err: "OTEL_EXPORTER_OTLP_HEADERS"},
	} {
		cfg, err := otlp.FromEnv(func(k string) string { return tt.env[k] }, tt.flag, "v")
		if cfg.Endpoint != tt.want || (err == nil) != (tt.err == "") || (err != nil && !strings.HasPrefix(err.Error(), tt.err)) {
			t.Errorf("%s: got %q, %v, want %q, %q", name, cfg.Endpoint, err, tt.want, tt.err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v, which tells the secret", name, err)
		}
	}
}
