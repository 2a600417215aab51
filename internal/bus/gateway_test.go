package bus_test

import (
	"encoding/pem"
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
