package bus_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gantry.example/internal/bus"
	"gantry.example/internal/bus/broker"
	"gantry.example/internal/natstest"
)

func TestBusyListenAddress(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	addr := l.Addr().String()

	_, err = broker.Start(broker.Config{StoreDir: t.TempDir(), Listen: addr})
	var busy *broker.ListenError
	if !errors.As(err, &busy) || busy.Addr != addr || !strings.Contains(err.Error(), "in use") {
		t.Fatalf("start on a busy address: got %v, want a ListenError of %s that says it is in use", err, addr)
	}
}

func TestListensOnLoopbackOnly(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"0.0.0.0:0", ":0", "192.0.2.1:4222", "nonsense"} {
		_, err := broker.Start(broker.Config{StoreDir: t.TempDir(), Listen: addr})
		var refused *broker.ListenError
		if !errors.As(err, &refused) {
			t.Errorf("start on %q: got %v, want a ListenError", addr, err)
		}
	}
}

func TestServerWithoutListenerKeepsItsStreams(t *testing.T) {
	t.Parallel()
	ctx := withTimeout(t)
	config := broker.Config{StoreDir: filepath.Join(t.TempDir(), "nats")}
	id := (&fixture{pool: "p"}).runner()

	withServer := func(do func(b *bus.Bus)) {
		s, err := broker.Start(config)
		must(t, err)
		defer s.Shutdown()
		if got := s.ClientURL(); got != "" {
			t.Errorf("client URL without a listener: got %q, want none", got)
		}
		nc, err := s.Connect("test")
		must(t, err)
		defer nc.Close()
		b, err := bus.New(nc)
		must(t, err)
		do(b)
	}
	withServer(func(b *bus.Bus) {
		must(t, b.EnsureStatus(ctx, 1))
		must(t, b.PublishEvent(ctx, "p", eventOf(id, 1)))
	})
	withServer(func(b *bus.Bus) {
		must(t, b.EnsureStatus(ctx, 1))
		got, err := b.EventReader().FetchBatch(ctx, 10, 5*time.Second)
		if err != nil || len(got) != 1 || got[0].Event.ID() != eventOf(id, 1).ID() {
			t.Fatalf("events after a restart: got %v, %v, want the one published before", got, err)
		}
	})
}

// refusal connects once and returns why that was refused.
func refusal(url, token, name string) error {
	nc, err := nats.Connect(url, nats.Name(name), nats.Token(token))
	if err == nil {
		nc.Close()
	}
	return err
}

func TestConnectionsRefused(t *testing.T) {
	t.Parallel()
	f := start(t)
	good := f.Authenticator.Grant(f.worker("w1"))
	wide := f.Authenticator.Grant(broker.Identity{Kind: broker.KindWorker, Pool: "*", Name: "w1"})
	unknownKind := f.Authenticator.Grant(broker.Identity{Pool: f.pool, Name: "w1"})
	noRun := f.runner()
	noRun.RunID = ""

	for name, c := range map[string]struct{ token, client string }{
		"no token":             {"", "w1"},
		"unknown token":        {"guess", "w1"},
		"name with a dot":      {good, "w1.>"},
		"no name":              {good, ""},
		"identity too wide":    {wide, "w1"},
		"identity of no kind":  {unknownKind, "w1"},
		"runner without a run": {f.Authenticator.Grant(noRun), "w1"},
	} {
		if err := refusal(f.ClientURL(), c.token, c.client); !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("%s: got %v, want an authorization violation", name, err)
		}
	}
	if err := refusal(f.ClientURL(), good, "w1"); err != nil {
		t.Errorf("good token: got %v, want to be let in", err)
	}
}

func TestConnectRefusesUnusableName(t *testing.T) {
	t.Parallel()
	if _, err := bus.Connect(bus.ConnectConfig{URL: "nats://127.0.0.1:1", Name: "a.b"}); err == nil {
		t.Error("connect as a.b: got no error, want one")
	}
}

func TestConnectWaitsForTheServer(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	id := broker.Identity{Kind: broker.KindWorker, Pool: "p", Name: "w1"}
	token := s.Authenticator.Grant(id)
	url := s.ClientURL()
	s.Stop()

	nc, err := bus.Connect(bus.ConnectConfig{URL: url, Token: token, Name: id.Name})
	must(t, err)
	t.Cleanup(nc.Close)
	connected := nc.StatusChanged(nats.CONNECTED)
	b, err := bus.New(nc)
	must(t, err)
	err = b.PublishEvent(context.Background(), "p", eventOf((&fixture{pool: "p"}).runner(), 1))
	if !errors.Is(err, bus.ErrDisconnected) {
		t.Errorf("publish while disconnected: got %v, want ErrDisconnected", err)
	}
	if err := nc.Publish("x", nil); !errors.Is(err, nats.ErrReconnectBufExceeded) {
		t.Errorf("raw publish while disconnected: got %v, want nothing kept for later", err)
	}

	s.Restart(t)
	select {
	case <-connected:
	case <-withTimeout(t).Done():
		t.Fatal("the client did not connect after the server came")
	}
}
