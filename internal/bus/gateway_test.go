package bus_test

import (
	"crypto/tls"
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gantry.example/internal/bus"
	"gantry.example/internal/bus/broker"
	"gantry.example/internal/natstest"
)

// TestThroughAnHTTPSServer: an agent reaches NATS through the API's own address, over TLS, longer than any limit of HTTP, and over
// a restart of NATS.
func TestThroughAnHTTPSServer(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	var to atomic.Pointer[broker.Gateway]
	to.Store(s.Gateway())
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { to.Load().ServeHTTP(w, r) }))
	front.Config.ReadTimeout, front.Config.WriteTimeout, front.Config.IdleTimeout = 50*time.Millisecond, 50*time.Millisecond, 50*time.Millisecond
	front.EnableHTTP2 = true
	front.StartTLS()
	t.Cleanup(front.Close)
	id := broker.Identity{Kind: broker.KindWorker, Pool: "p", Name: "w1"}
	nc, err := bus.Connect(bus.ConnectConfig{
		URL: "wss" + strings.TrimPrefix(front.URL, "https") + "/nats", Token: s.Authenticator.Grant(id), Name: id.Name, CACert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw}),
	})
	must(t, err)
	t.Cleanup(nc.Close)
	must(t, nc.FlushTimeout(20*time.Second))
	sub, err := nc.SubscribeSync("_INBOX_w1.x")
	must(t, err)
	must(t, nc.FlushTimeout(20*time.Second))
	own, err := s.Connect("test")
	must(t, err)
	must(t, own.Publish(sub.Subject, make([]byte, 100<<10)))
	must(t, own.FlushTimeout(20*time.Second))
	<-time.After(150 * time.Millisecond) // the limits of HTTP pass, which nothing signals
	must(t, own.Publish(sub.Subject, []byte("late")))
	must(t, own.FlushTimeout(20*time.Second))
	own.Close()
	for _, want := range []int{100 << 10, len("late")} {
		m, err := sub.NextMsg(20 * time.Second)
		must(t, err)
		if len(m.Data) != want {
			t.Errorf("message: got %d bytes, want %d", len(m.Data), want)
		}
	}
	back := nc.StatusChanged(nats.CONNECTED)
	s.Stop()
	s.Restart(t)
	to.Store(s.Gateway())
	select {
	case <-back:
	case <-withTimeout(t).Done():
		t.Fatal("the client did not come back after a restart of NATS")
	}
}

// TestAResumedSession: the second connection of a process that remembers the first is not shown the certificate again.
func TestAResumedSession(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	resumed := make(chan bool, 2)
	front := httptest.NewUnstartedServer(s.Gateway())
	front.TLS = &tls.Config{VerifyConnection: func(c tls.ConnectionState) error { resumed <- c.DidResume; return nil }}
	front.StartTLS()
	t.Cleanup(front.Close)
	id := broker.Identity{Kind: broker.KindWorker, Pool: "p", Name: "w1"}
	c := bus.ConnectConfig{
		URL: "wss" + strings.TrimPrefix(front.URL, "https") + "/nats", Token: s.Authenticator.Grant(id), Name: id.Name, CACert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw}),
		Sessions: tls.NewLRUClientSessionCache(1),
	}
	for _, want := range []bool{false, true} {
		nc, err := bus.Connect(c)
		must(t, err)
		must(t, nc.FlushTimeout(20*time.Second))
		nc.Close()
		if got := <-resumed; got != want {
			t.Errorf("resumed: got %t, want %t", got, want)
		}
	}
}

func TestGatewayRefusesWhatIsNoWebSocket(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	front := httptest.NewServer(s.Gateway())
	t.Cleanup(front.Close)
	resp, err := http.Get(front.URL + "/nats")
	must(t, err)
	must(t, resp.Body.Close())
	if resp.StatusCode != http.StatusUpgradeRequired {
		t.Errorf("got %s, want 426", resp.Status)
	}
}

// lines is a log whose lines can be waited for.
type lines chan string

func (l lines) Write(b []byte) (int, error) {
	select {
	case l <- string(b):
	default: // more than anybody reads
	}
	return len(b), nil
}

// TestARefusedClientIsKnownByItsAddress: NATS tells who refuses a client the gateway's address, so the gateway tells the client's.
func TestARefusedClientIsKnownByItsAddress(t *testing.T) {
	t.Parallel()
	said := make(lines, 1000)
	s, err := broker.Start(broker.Config{StoreDir: t.TempDir(), Listen: "127.0.0.1:0", NoSync: true, Log: slog.New(slog.NewTextHandler(said, nil))})
	must(t, err)
	t.Cleanup(s.Shutdown)
	callout, err := s.ServeCallout(t.Context(), &natstest.Tokens{})
	must(t, err)
	t.Cleanup(callout.Close)
	gateway := s.Gateway()
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RemoteAddr = "192.0.2.7:4711"
		gateway.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	nc, err := bus.Connect(bus.ConnectConfig{URL: "ws" + strings.TrimPrefix(front.URL, "http") + "/nats", Token: "wrong", Name: "w1"})
	must(t, err)
	t.Cleanup(nc.Close)
	want := map[string]bool{"gateway=127.0.0.1": true, "host=192.0.2.7": true}
	for ctx := withTimeout(t); len(want) > 0; {
		select {
		case line := <-said:
			for text := range want {
				if strings.Contains(line, text) {
					delete(want, text)
				}
			}
		case <-ctx.Done():
			t.Fatalf("the log does not say %v", want)
		}
	}
}
