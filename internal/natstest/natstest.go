// Package natstest gives a test a real embedded NATS server of its own, and connections with the permissions that real
// workers and runners have.
package natstest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gantry.example/internal/bus"
	"gantry.example/internal/bus/broker"
	"gantry.example/messages"
)

// Server is an embedded server that ends with the test.
type Server struct {
	*broker.Server
	Authenticator *Tokens // admits clients, unless another does
	admits        broker.Authenticator
	callout       *broker.Callout
	config        broker.Config
}

// Start starts a server with its streams in a temporary folder and a loopback listener on a free port. It takes some 20 ms.
// It does not flush to disk after every write, everything else is as in production.
func Start(t testing.TB) *Server {
	t.Helper()
	tokens := &Tokens{byToken: map[string]broker.Identity{}}
	return start(t, &Server{Authenticator: tokens, admits: tokens})
}

// StartFor starts a server for the clients that somebody else admits, as the program does.
func StartFor(t testing.TB, admits broker.Authenticator) *Server {
	t.Helper()
	return start(t, &Server{admits: admits})
}

func start(t testing.TB, s *Server) *Server {
	t.Helper()
	s.config = broker.Config{
		StoreDir: t.TempDir(),
		Listen:   "127.0.0.1:0",
		NoSync:   true,
	}
	s.start(t)
	s.config.Listen = strings.TrimPrefix(s.ClientURL(), "nats://")
	t.Cleanup(s.Stop)
	return s
}

func (s *Server) start(t testing.TB) {
	t.Helper()
	var err error
	if s.Server, err = broker.Start(s.config); err != nil {
		t.Fatalf("natstest: start: %v", err)
	}
	if s.callout, err = s.ServeCallout(context.Background(), s.admits); err != nil {
		t.Fatalf("natstest: serve callout: %v", err)
	}
}

// Stop stops the server; clients keep trying to reconnect. Start's cleanup calls it too.
func (s *Server) Stop() {
	s.callout.Close()
	s.Shutdown()
}

// Restart starts a stopped server again on the same port and store. Connections over TCP come back by themselves, the ones
// of Connect and Bus are in-process and must be made anew.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.start(t)
}

// Revoke makes the token worthless and ends the connections of the identities with its id. It returns how many there were.
func (s *Server) Revoke(t testing.TB, token, tokenID string) int {
	t.Helper()
	s.Authenticator.revoke(token)
	n, err := s.callout.Disconnect(t.Context(), []string{tokenID})
	if err != nil {
		t.Fatalf("natstest: %v", err)
	}
	return n
}

// Bus connects as the server itself, with every permission.
func (s *Server) Bus(t testing.TB) *bus.Bus {
	t.Helper()
	b, _ := s.open(t, func() (*nats.Conn, error) { return s.Connect("test") })
	return b
}

// DeleteStream deletes a stream as an operator would by mistake. One that does not exist is no error.
func (s *Server) DeleteStream(t testing.TB, name string) {
	t.Helper()
	_, nc := s.open(t, func() (*nats.Conn, error) { return s.Connect("operator") })
	js, err := jetstream.New(nc)
	if err == nil {
		err = js.DeleteStream(t.Context(), name)
	}
	if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Fatalf("natstest: delete stream %s: %v", name, err)
	}
}

// OccupyStream makes a stream of that name which is for something else, so that nobody can make the one that is meant, or a consumer.
func (s *Server) OccupyStream(t testing.TB, name string) {
	t.Helper()
	_, nc := s.open(t, func() (*nats.Conn, error) { return s.Connect("operator") })
	js, err := jetstream.New(nc)
	if err == nil {
		_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{"elsewhere." + name}, MaxConsumers: 1})
	}
	if err == nil {
		_, err = js.CreateConsumer(t.Context(), name, jetstream.ConsumerConfig{Durable: "the_only_one"})
	}
	if err != nil {
		t.Fatalf("natstest: occupy stream %s: %v", name, err)
	}
}

// OccupySubjects makes a stream of that name which takes these subjects, so that nobody can make the one that they are meant for.
func (s *Server) OccupySubjects(t testing.TB, name, subjects string) {
	t.Helper()
	_, nc := s.open(t, func() (*nats.Conn, error) { return s.Connect("operator") })
	js, err := jetstream.New(nc)
	if err == nil {
		_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{subjects}})
	}
	if err != nil {
		t.Fatalf("natstest: occupy %s: %v", subjects, err)
	}
}

// As connects over TCP with the permissions of id.
func (s *Server) As(t testing.TB, id broker.Identity) (*bus.Bus, *nats.Conn) {
	t.Helper()
	return s.open(t, func() (*nats.Conn, error) {
		return bus.Connect(bus.ConnectConfig{URL: s.ClientURL(), Token: s.Authenticator.Grant(id), Name: id.Name})
	})
}

func (s *Server) open(t testing.TB, connect func() (*nats.Conn, error)) (*bus.Bus, *nats.Conn) {
	t.Helper()
	nc, err := connect()
	if err != nil {
		t.Fatalf("natstest: %v", err)
	}
	t.Cleanup(nc.Close)
	if err := nc.FlushTimeout(10 * time.Second); err != nil {
		t.Fatalf("natstest: not connected: %v", err)
	}
	b, err := bus.New(nc)
	if err != nil {
		t.Fatalf("natstest: %v", err)
	}
	return b, nc
}

// Tokens is an Authenticator that knows the tokens it granted.
type Tokens struct {
	mu      sync.Mutex
	byToken map[string]broker.Identity
}

// Grant returns a new token of id.
func (a *Tokens) Grant(id broker.Identity) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	token := messages.NewID("token-")
	a.byToken[token] = id
	return token
}

func (a *Tokens) revoke(token string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.byToken, token)
}

// Authenticate implements broker.Authenticator.
func (a *Tokens) Authenticate(_ context.Context, token, clientName string) (broker.Identity, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	id, ok := a.byToken[token]
	if !ok {
		return broker.Identity{}, errors.New("unknown token")
	}
	if id.Kind != broker.KindProducer && clientName != id.Name {
		return broker.Identity{}, errors.New("the client's name is not that of the token")
	}
	return id, nil
}
