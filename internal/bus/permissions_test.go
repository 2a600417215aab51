package bus_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gantry.example/internal/bus"
	"gantry.example/internal/bus/broker"
	"gantry.example/messages"
)

// refused does something the connection may not do and checks that the server says so. A refused publish is only reported
// asynchronously.
func refused(t *testing.T, nc *nats.Conn, errs <-chan error, what string, do func() error) {
	t.Helper()
	if err := do(); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	must(t, nc.FlushTimeout(10*time.Second))
	select {
	case err := <-errs:
		if !errors.Is(err, nats.ErrPermissionViolation) {
			t.Errorf("%s: got %v, want a permissions violation", what, err)
		}
	case <-time.After(5 * time.Second):
		t.Errorf("%s: allowed, want it refused", what)
	}
}

func TestForbidden(t *testing.T) {
	t.Parallel()
	f := start(t)
	me, other := f.runner(), f.runner()
	task := f.task()
	stream, leases := messages.TaskStream(f.pool), messages.LeaseStream(f.pool)

	both := []string{
		"pub task.agent." + f.pool + ".any." + task.WorkspaceID,
		"pub status.otherpool." + me.WorkspaceID + "." + me.RunID + "." + me.Name,
		"pub $JS.API.STREAM.CREATE.MINE", "pub $JS.API.STREAM.DELETE." + stream, "pub $JS.API.STREAM.PURGE." + leases,
		"pub $JS.API.CONSUMER.CREATE." + stream, "pub $JS.API.CONSUMER.CREATE." + leases + ".c.$KV.>",
		"pub $JS.API.CONSUMER.MSG.NEXT.TASKS_otherpool.q_any", "pub $JS.API.STREAM.INFO.TASKS_otherpool",
		"pub $JS.API.STREAM.MSG.GET." + stream, "pub $JS.API.DIRECT.GET." + leases + ".x",
		"pub $JS.ACK.TASKS_otherpool.q_any.1.1.1.1.1", "pub $KV.LOCKS_otherpool." + me.Key,
		"pub $JS.API.STREAM.MSG.GET.KV_LOCKS_otherpool", "pub $SYS.REQ.USER.AUTH", "pub _INBOX_other.x",
		"pub $JS.API.INFO", "pub $JS.API.STREAM.NAMES", "pub $JS.API.STREAM.LIST", "pub $JS.API.STREAM.UPDATE." + stream, "pub $JS.API.STREAM.SNAPSHOT." + stream,
		"pub $JS.API.STREAM.MSG.DELETE." + stream, "pub $JS.API.CONSUMER.DELETE." + stream + ".q_any", "pub $JS.API.CONSUMER.LIST." + stream,
		"pub $JS.API.CONSUMER.PAUSE." + stream + ".q_any", "pub $JS.API.CONSUMER.RESET." + stream + ".q_any", "pub $JS.API.CONSUMER.INFO.TASKS_otherpool.q_any",
		"pub $JS.API.META.LEADER.STEPDOWN", "pub $JS.API.ACCOUNT.PURGE.APP", "pub $SYS.REQ.SERVER.PING.CONNZ", "pub $SYS.REQ.SERVER.x.KICK", "pub $SYS.REQ.ACCOUNT.PING.CONNZ",
		"pub intake.run.org-x", "pub dead.task.agent.otherpool.any.x", "pub dead.intake.run.org-x", "pub cmd.otherpool." + me.Name, "pub hint.otherpool.w1", "pub load.otherpool.w1",
		"sub intake.>", "sub dead.>", "sub hint.otherpool.w1", "sub load.>", "sub $JS.EVENT.>",
		"sub >", "sub *", "sub _INBOX.>", "sub _INBOX_other.>", "sub task.>", "sub status.>", "sub logs.>", "sub $KV.>",
		"sub $SYS.>", "sub $JS.>", "sub cmd.>", "sub cmd.otherpool.*",
	}
	cases := map[string]struct {
		id        broker.Identity
		forbidden []string
	}{
		"worker": {f.worker("w1"), []string{
			"pub $KV.LOCKS_" + f.pool + "." + me.Key, "pub logs." + f.pool + "." + me.RunID + "." + me.Name,
			"pub cmd." + f.pool + "." + me.Name, "pub load." + f.pool + ".w2", "pub hint." + f.pool + ".w2", "sub load." + f.pool + ".*", "sub hint." + f.pool + ".w2", "sub hint." + f.pool + ".*",
		}},
		"runner": {me, []string{
			"pub status." + f.pool + "." + other.WorkspaceID + "." + other.RunID + "." + other.Name,
			"pub status." + f.pool + "." + me.WorkspaceID + "." + me.RunID + "." + other.Name,
			"pub logs." + f.pool + "." + me.RunID + "." + other.Name,
			"pub $KV.LOCKS_" + f.pool + "." + other.Key, "pub $JS.API.STREAM.INFO." + stream,
			"pub $JS.API.CONSUMER.MSG.NEXT." + stream + ".q_any", "pub $JS.ACK." + stream + ".q_any.1.1.1.1.1",
			"pub cmd." + f.pool + "." + me.Name, "sub cmd." + f.pool + ".*", "sub cmd." + f.pool + "." + other.Name,
		}},
	}
	cases["reader"] = struct {
		id        broker.Identity
		forbidden []string
	}{f.reader("org-mine"), []string{
		"pub " + messages.EventSubject("org-mine", "ws-x", "run-x"), "pub intake.run.org-mine", "pub _INBOX_org-mine.x", "pub anything",
		"sub events.>", "sub events.*.>", "sub " + messages.EventSubject("org-other", "*", "*"), "sub _INBOX_org-mine.>", "sub status." + f.pool + ".>",
		"sub logs." + f.pool + ".>", "sub cmd." + f.pool + ".*",
	}}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, nc := f.As(t, c.id)
			errs := asyncErrors(nc)
			for _, what := range append(both, c.forbidden...) {
				refused(t, nc, errs, what, func() error {
					if subject, ok := strings.CutPrefix(what, "sub "); ok {
						_, err := nc.SubscribeSync(subject)
						return err
					}
					return nc.Publish(strings.TrimPrefix(what, "pub "), nil)
				})
			}
		})
	}
}

// A header must not let a runner reach beyond its own key.
func TestRunnerCannotWipeTheBucket(t *testing.T) {
	t.Parallel()
	f := start(t)
	ctx := withTimeout(t)
	me, other := f.runner(), f.runner()
	lease, err := f.bus.AcquireLease(ctx, bus.LeaseConfig{Pool: f.pool, Key: other.Key, Value: leaseOf(other, 1), TTL: 15 * time.Second})
	must(t, err)
	defer lease.Release(ctx)

	_, nc := f.As(t, me)
	m := nats.NewMsg(messages.LeaseSubject(f.pool, me.Key))
	m.Header.Set("Nats-Rollup", "all")
	answer, err := nc.RequestMsgWithContext(ctx, m)
	must(t, err)
	if !strings.Contains(string(answer.Data), "rollup not permitted") {
		t.Errorf("roll-up of the whole bucket: got answer %s, want it refused", answer.Data)
	}
	if leases, err := f.bus.ReadLeases(ctx, f.pool); err != nil || len(leases) != 1 {
		t.Errorf("leases afterwards: got %v, %v, want the one of %s", leases, err, other.Key)
	}
}

// TestReaderHearsItsOrganization and no other.
func TestReaderHearsItsOrganization(t *testing.T) {
	t.Parallel()
	f := start(t)
	_, nc := f.As(t, f.reader("org-mine"))
	errs := asyncErrors(nc)
	sub, err := nc.SubscribeSync(messages.OrganizationEventSubjects("org-mine"))
	must(t, err)
	must(t, nc.FlushTimeout(10*time.Second))
	must(t, f.bus.Announce("org-other", "ws-x", "run-x", []byte("not for me")))
	must(t, f.bus.Announce("org-mine", "ws-x", "run-x", []byte("for me")))
	must(t, f.bus.Flush(t.Context()))
	m, err := sub.NextMsg(10 * time.Second)
	must(t, err)
	if m.Subject != "events.org-mine.ws-x.run-x" || string(m.Data) != "for me" {
		t.Errorf("first message: got %s %q, want the one of the reader's organization", m.Subject, m.Data)
	}
	select {
	case err := <-errs:
		t.Errorf("the server complained: %v", err)
	default:
	}
}

func TestWorkerDoesItsWork(t *testing.T) {
	t.Parallel()
	f := start(t)
	ctx := withTimeout(t)
	task, attempt := f.task(), f.runner()
	must(t, f.bus.PublishTask(ctx, task, "1", nil))

	b, nc := f.As(t, f.worker("w1"))
	errs := asyncErrors(nc)
	d, err := b.TaskQueue(f.pool, nil, quiet()).Next(ctx)
	must(t, err)
	must(t, d.Err)
	must(t, d.Ack(ctx))
	if has, err := f.bus.HasTask(ctx, f.pool, task.Subject()); err != nil || has {
		t.Errorf("task after its ack: got %t, %v, want gone", has, err)
	}
	exited := eventOf(attempt, 1)
	exited.Source, exited.Type, exited.ExitCode = "worker", messages.EventExited, -1
	must(t, b.PublishEvent(ctx, f.pool, exited))

	commands, err := b.SubscribeCommands(f.pool, bus.AnyAttempt)
	must(t, err)
	must(t, nc.FlushTimeout(10*time.Second))
	must(t, f.bus.PublishCommand(ctx, f.pool, messages.Command{AttemptID: attempt.Name, Cancel: true}))
	if got, err := commands.Next(ctx); err != nil || got.AttemptID != attempt.Name {
		t.Errorf("command: got %v, %v, want the one for %s", got, err, attempt.Name)
	}
	select {
	case err := <-errs:
		t.Errorf("the server complained: %v", err)
	default:
	}
}

func TestRunnerDoesItsWork(t *testing.T) {
	t.Parallel()
	f := start(t)
	ctx := withTimeout(t)
	me := f.runner()
	b, nc := f.As(t, me)
	errs := asyncErrors(nc)

	lease, err := b.AcquireLease(ctx, bus.LeaseConfig{Pool: f.pool, Key: me.Key, Value: leaseOf(me, 1), TTL: 2 * time.Second})
	must(t, err)
	before := lease.Deadline()
	commands, err := b.SubscribeCommands(f.pool, me.Name)
	must(t, err)
	must(t, b.PublishEvent(ctx, f.pool, eventOf(me, 1)))
	must(t, b.PublishLogChunk(ctx, f.pool, me.RunID, me.Name, 0, []byte("hello")))
	must(t, b.PublishLogEnd(ctx, f.pool, me.RunID, me.Name, 5, nil, "digest"))
	must(t, f.bus.PublishCommand(ctx, f.pool, messages.Command{AttemptID: me.Name, Force: true}))
	if got, err := commands.Next(ctx); err != nil || !got.Force {
		t.Errorf("command: got %v, %v, want force", got, err)
	}
	until(t, ctx, "the lease to be renewed", func() bool { return lease.Deadline().After(before) })
	must(t, lease.Release(ctx))
	if leases, err := f.bus.ReadLeases(ctx, f.pool); err != nil || len(leases) != 0 {
		t.Errorf("leases after the release: got %v, %v, want none", leases, err)
	}
	select {
	case err := <-errs:
		t.Errorf("the server complained: %v", err)
	default:
	}
}

// TestRunnerThatIsOver still delivers its log and events, and can hold no lease: it would lock out who comes after it.
func TestRunnerThatIsOver(t *testing.T) {
	t.Parallel()
	f := start(t)
	ctx := withTimeout(t)
	me := f.runner()
	key := me.Key
	me.Key = ""
	b, nc := f.As(t, me)
	errs := asyncErrors(nc)
	must(t, b.PublishEvent(ctx, f.pool, eventOf(me, 1)))
	must(t, b.PublishLogEnd(ctx, f.pool, me.RunID, me.Name, 0, nil, ""))
	refused(t, nc, errs, "a lease", func() error { return nc.Publish(messages.LeaseSubject(f.pool, key), []byte("{}")) })
}
