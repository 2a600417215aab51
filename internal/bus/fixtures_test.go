package bus_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gantry.example/internal/bus"
	"gantry.example/internal/bus/broker"
	"gantry.example/internal/natstest"
	"gantry.example/messages"
)

// fixture is a server with every stream of one pool.
type fixture struct {
	*natstest.Server
	bus  *bus.Bus // the server's own
	pool string
}

func start(t *testing.T) *fixture {
	t.Helper()
	s := natstest.Start(t)
	f := &fixture{Server: s, bus: s.Bus(t), pool: messages.NewID("apool-")}
	ctx := withTimeout(t)
	must(t, f.bus.EnsureStatus(ctx, 1))
	must(t, f.bus.EnsureLogs(ctx, 1))
	must(t, f.bus.EnsureIntake(ctx, 1))
	must(t, f.bus.EnsureDeadLetters(ctx, 1))
	must(t, f.bus.EnsureTasks(ctx, messages.ModeAgent, f.pool, 1))
	must(t, f.bus.EnsureLeases(ctx, f.pool, 1))
	must(t, f.bus.EnsureTaskConsumer(ctx, messages.ModeAgent, f.pool, nil))
	return f
}

func (f *fixture) worker(name string) broker.Identity {
	return broker.Identity{Kind: broker.KindWorker, Pool: f.pool, Name: name}
}

func (f *fixture) reader(organization string) broker.Identity {
	return broker.Identity{Kind: broker.KindReader, Name: organization}
}

// runner makes the identity of a new attempt.
func (f *fixture) runner() broker.Identity {
	ws := messages.NewID("ws-")
	return broker.Identity{
		Kind: broker.KindRunner, Pool: f.pool, Name: messages.NewID("att-"),
		WorkspaceID: ws, RunID: messages.NewID("run-"), Key: ws,
	}
}

func (f *fixture) task(labels ...string) messages.Task {
	return messages.Task{
		V: messages.Version, ID: messages.NewID("task-"), RunID: messages.NewID("run-"), WorkspaceID: messages.NewID("ws-"),
		OrganizationID: messages.NewID("org-"), Phase: messages.PhasePlan, Mode: messages.ModeAgent, Pool: f.pool,
		Labels: labels, Exclusive: true, QueuedAt: time.Unix(1_700_000_000, 0).UTC(),
	}
}

func eventOf(id broker.Identity, seq int) messages.Event {
	return messages.Event{
		V: messages.Version, Type: messages.EventProgress, AttemptID: id.Name, RunID: id.RunID, WorkspaceID: id.WorkspaceID,
		Source: "runner", Seq: seq, At: time.Unix(1_700_000_000, 0).UTC(), Stage: messages.StagePlan,
	}
}

func leaseOf(id broker.Identity, epoch int64) messages.Lease {
	return messages.Lease{
		V: messages.Version, AttemptID: id.Name, RunID: id.RunID, Epoch: epoch, Holder: "testhost/1", Nonce: messages.NewID("n-"),
	}
}

func unusable(err error) messages.Failure {
	return messages.Failure{Code: messages.CodeInvalid, Message: err.Error()}
}

// withTimeout bounds everything a test waits for; nothing should take a fraction of it.
func withTimeout(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// asyncErrors returns the errors the server sends to the connection.
func asyncErrors(nc *nats.Conn) <-chan error {
	errs := make(chan error, 16)
	nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { errs <- err })
	return errs
}

// until polls for what nothing signals.
func until(t *testing.T, ctx context.Context, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func encode(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	must(t, err)
	return string(b)
}

// deleteStream and purge are what an operator might do by hand.
func deleteStream(t *testing.T, f *fixture, name string) {
	t.Helper()
	asOperator(t, f, func(js jetstream.JetStream) error { return js.DeleteStream(withTimeout(t), name) })
}

func purge(t *testing.T, f *fixture, name string) {
	t.Helper()
	asOperator(t, f, func(js jetstream.JetStream) error {
		stream, err := js.Stream(withTimeout(t), name)
		if err != nil {
			return err
		}
		return stream.Purge(withTimeout(t))
	})
}

func asOperator(t *testing.T, f *fixture, do func(jetstream.JetStream) error) {
	t.Helper()
	nc, err := f.Connect("operator")
	must(t, err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	must(t, err)
	must(t, do(js))
}
