package bus_test

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gantry.example/internal/bus"
	"gantry.example/internal/natstest"
)

func TestRevokedTokenEndsItsConnections(t *testing.T) {
	t.Parallel()
	f := start(t)
	connect := func(name, tokenID string) (nc *nats.Conn, token string) {
		id := f.worker(name)
		id.TokenID = tokenID
		token = f.Authenticator.Grant(id)
		nc, err := bus.Connect(bus.ConnectConfig{URL: f.ClientURL(), Token: token, Name: name})
		must(t, err)
		t.Cleanup(nc.Close)
		must(t, nc.FlushTimeout(10*time.Second))
		return nc, token
	}
	bad, token := connect("w1", "at-1")
	good, _ := connect("w2", "at-2")
	gone := bad.StatusChanged(nats.RECONNECTING)
	if n := f.Revoke(t, token, "at-1"); n != 1 {
		t.Errorf("connections ended: got %d, want the one of the token", n)
	}
	select {
	case <-gone:
	case <-withTimeout(t).Done():
		t.Fatal("the client was not disconnected")
	}
	if err := refusal(f.ClientURL(), token, "w1"); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("connecting again: got %v, want an authorization violation", err)
	}
	if !good.IsConnected() || good.Stats().Reconnects != 0 {
		t.Error("the client of another token was disconnected too")
	}
}

func TestUserEndsWithItsToken(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	f := &fixture{Server: s, pool: "p"}
	id := f.worker("w1")
	id.Until = time.Now().Add(1500 * time.Millisecond)
	_, nc := s.As(t, id)
	select {
	case <-nc.StatusChanged(nats.RECONNECTING):
	case <-withTimeout(t).Done():
		t.Fatal("the connection outlived its token")
	}
}
