package dispatcher_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"gantry.example/workers/dispatcher"
)

// patient is a dispatcher that gets ready when it is told to.
type patient struct {
	prometheus.Counter
	ready atomic.Bool
}

func (p *patient) Ready(context.Context) error {
	if !p.ready.Load() {
		return errors.New("the cluster did not list its Pods yet")
	}
	return nil
}

func TestObserve(t *testing.T) {
	t.Parallel()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &patient{Counter: prometheus.NewCounter(prometheus.CounterOpts{Name: "gantry_test_total", Help: "A test."})}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- dispatcher.Observe(ctx, ln, d) }()
	get := func(path string, status int, text string) {
		t.Helper()
		resp, err := http.Get("http://" + ln.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != status || !strings.Contains(string(body), text) {
			t.Errorf("%s: got %d %.200s (%v), want %d with %q", path, resp.StatusCode, body, err, status, text)
		}
	}
	get("/healthz", http.StatusOK, "ok")
	get("/readyz", http.StatusServiceUnavailable, "did not list its Pods")
	d.ready.Store(true)
	get("/readyz", http.StatusOK, "ok")
	get("/metrics", http.StatusOK, "gantry_test_total 0")
	stop()
	if err := <-done; err != nil {
		t.Errorf("got %v, want no error", err)
	}
}
