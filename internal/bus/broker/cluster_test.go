package broker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"gantry.example/internal/bus"
	"gantry.example/internal/bus/broker"
	"gantry.example/internal/pki"
)

// cluster is a NATS of one server, configured as we do it, and the broker for it.
func cluster(t *testing.T) (*broker.Cluster, []byte) {
	t.Helper()
	dir, creds := t.TempDir(), newCredentials(t)
	authority, err := pki.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	chain, key, err := authority.Issue("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "cert.pem"), chain)
	write(t, filepath.Join(dir, "key.pem"), key)
	conf, err := broker.ClusterConfig{Servers: []string{"127.0.0.1"}, Credentials: creds, RouteSecret: "hush", StoreDir: dir}.ServerConfig("127.0.0.1", dir)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "nats.conf"), conf)
	opts, err := server.ProcessConfigFile(filepath.Join(dir, "nats.conf"))
	if err != nil {
		t.Fatal(err)
	}
	opts.Port, opts.Websocket.Port, opts.HTTPPort, opts.NoSigs = server.RANDOM_PORT, server.RANDOM_PORT, 0, true
	ns, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	t.Cleanup(func() { ns.Shutdown(); ns.WaitForShutdown() })
	if !ns.ReadyForConnections(20 * time.Second) {
		t.Fatal("the NATS server did not become ready")
	}
	ca, err := os.ReadFile(filepath.Join(dir, pki.CAFile))
	if err != nil {
		t.Fatal(err)
	}
	url := fmt.Sprintf("tls://%s", ns.Addr())
	c, err := broker.NewCluster(url, []string{ns.WebsocketURL()}, creds, ca, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return c, ca
}

// one lets in whoever has its token.
type one struct {
	token   string
	id      broker.Identity
	revoked atomic.Bool
}

func (o *one) Authenticate(_ context.Context, token, _ string) (broker.Identity, error) {
	if token != o.token || o.revoked.Load() {
		return broker.Identity{}, errors.New("unknown token")
	}
	return o.id, nil
}

// TestClusterThroughTheAPI: an agent reaches a NATS elsewhere through an HTTP server of ours, and is disconnected when its token is
// revoked.
func TestClusterThroughTheAPI(t *testing.T) {
	t.Parallel()
	c, _ := cluster(t)
	who := &one{token: "t", id: broker.Identity{Kind: broker.KindWorker, Pool: "p", Name: "w1", TokenID: "at-1"}}
	callout, err := c.ServeCallout(t.Context(), who)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(callout.Close)
	front := httptest.NewServer(c.Gateway())
	t.Cleanup(front.Close)
	nc, err := bus.Connect(bus.ConnectConfig{URL: "ws" + strings.TrimPrefix(front.URL, "http") + "/nats", Token: "t", Name: "w1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if err := nc.FlushTimeout(20 * time.Second); err != nil {
		t.Fatal(err)
	}
	gone := nc.StatusChanged(nats.RECONNECTING)
	who.revoked.Store(true)
	if n, err := callout.Disconnect(t.Context(), []string{"at-1", "at-other"}); n != 1 || err != nil {
		t.Fatalf("connections ended: got %d and %v, want 1", n, err)
	}
	select {
	case <-gone:
	case <-time.After(20 * time.Second):
		t.Fatal("the client was not disconnected")
	}
}
