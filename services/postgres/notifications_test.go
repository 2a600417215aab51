package postgres_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// notification makes an enabled configuration of the workspace.
func (w *world) notification(ws postgres.Workspace, triggers ...string) postgres.NotificationConfiguration {
	w.t.Helper()
	name, destination, url, token, on := "ops", postgres.DestinationGeneric, "https://example.com/secret-hook", "secret-token", true
	c, err := postgres.NotificationConfiguration{}.Changed(ws.ID, postgres.NotificationChange{
		Name: &name, Destination: &destination, URL: &url, Token: &token, Enabled: &on, Triggers: triggers,
	})
	w.ok(err)
	c, err = w.CreateNotificationConfiguration(w.t.Context(), c, nil)
	w.ok(err)
	return c
}

// told takes all that waits and returns what it says.
func (w *world) told() []string {
	w.t.Helper()
	w.ok(w.NoteNotifications(w.t.Context()))
	w.ok(w.NoteNotifications(w.t.Context())) // changes nothing
	var out []string
	for {
		n, ok, err := w.NextNotification(w.t.Context())
		w.ok(err)
		if !ok {
			return out
		}
		out = append(out, n.Trigger+" "+string(n.RunStatus))
		_, err = w.Notified(w.t.Context(), n, postgres.DeliveryResponse{Code: 200, Successful: true})
		w.ok(err)
	}
}

// TestWhatRunsTell tells each kind of end by its trigger.
func TestWhatRunsTell(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ok(w.NoteNotifications(t.Context()))
	ws := w.workspace("network")
	w.notification(ws, postgres.Triggers()...)
	plan := func(o run.Options, r wire.Result) run.Run {
		made := w.newRun(ws, o)
		_, a := w.started(made.ID)
		r.V = 1
		w.result(a, r)
		return w.get(made.ID)
	}
	good := wire.Result{Outcome: wire.OutcomeSucceeded, HasChanges: true}
	for name, tc := range map[string]struct {
		do   func()
		want []string
	}{
		"plan only":     {func() { plan(run.Options{PlanOnly: true}, good) }, []string{"run:completed planned_and_finished"}},
		"nothing to do": {func() { plan(run.Options{}, wire.Result{Outcome: wire.OutcomeSucceeded}) }, []string{"run:completed planned_and_finished"}},
		"failed":        {func() { plan(run.Options{}, wire.Result{Outcome: wire.OutcomeFailed}) }, []string{"run:errored errored"}},
		"saved": {func() {
			r := plan(run.Options{SavePlan: true}, good)
			w.ok(w.judge(r.ID, run.Discard{}))
		}, []string{"run:needs_attention planned_and_saved"}},
		"discarded": {func() { w.ok(w.judge(plan(run.Options{}, good).ID, run.Discard{})) }, []string{"run:needs_attention planned"}},
	} {
		tc.do()
		if diff := cmp.Diff(append([]string{"run:created pending", "run:planning planning"}, tc.want...), w.told()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	w.cancel(w.newRun(ws, run.Options{}).ID)
	if diff := cmp.Diff([]string{"run:created pending", "run:errored canceled"}, w.told()); diff != "" {
		t.Errorf("canceled (-want +got):\n%s", diff)
	}
}

// TestNotificationsAreKeptUntilTheyAreTaken: those of one receiver come one at a time, and again while they are not taken.
func TestNotificationsAreKeptUntilTheyAreTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.ok(w.NoteNotifications(ctx))
	ws := w.workspace("network")
	c := w.notification(ws, postgres.TriggerCreated)
	w.cancel(w.newRun(ws, run.Options{}).ID)
	w.cancel(w.newRun(ws, run.Options{}).ID)
	w.ok(w.NoteNotifications(ctx))
	take := func() (postgres.Notification, bool) {
		n, ok, err := w.NextNotification(ctx)
		w.ok(err)
		return n, ok
	}
	soon := func() { w.exec(`UPDATE notification_configurations SET next_at = now() - interval '1 second'`) }
	first, ok := take()
	if !ok || first.Configuration.Token != "secret-token" {
		t.Fatalf("got %v with %+v, want the first notification and the secret", ok, first.Configuration)
	}
	if second, ok := take(); ok {
		t.Errorf("got %+v while the first is being sent, want nothing", second)
	}
	soon() // whoever sent it was killed
	for try := 1; ; try++ {
		again, ok := take()
		if !ok || again.ID != first.ID || again.Tries != try-1 {
			t.Fatalf("got %v %+v, want notification %d for the %d. time", ok, again, first.ID, try)
		}
		gone, err := w.Notified(ctx, again, postgres.DeliveryResponse{Code: 500, Body: "no \x00"})
		w.ok(err)
		if gone {
			if try < 5 {
				t.Errorf("given up after %d tries, want more", try)
			}
			break
		}
		if _, ok := take(); ok {
			t.Error("got a notification right after a failure, want a pause")
		}
		soon()
	}
	soon()
	second, ok := take()
	if !ok || second.ID == first.ID {
		t.Fatalf("got %v %+v, want the second notification", ok, second)
	}
	c, err := w.NotificationConfiguration(ctx, c.ID)
	w.ok(err)
	if len(c.Responses) != 5 || c.Failures < 5 || c.Responses[0].Code != 500 {
		t.Errorf("got %d responses, %d failures, want the newest five, and all counted", len(c.Responses), c.Failures)
	}
	off := false
	c, err = c.Changed("", postgres.NotificationChange{Enabled: &off})
	w.ok(err)
	_, err = w.UpdateNotificationConfiguration(ctx, c, nil)
	w.ok(err)
	if n := w.count(`SELECT count(*) FROM notifications`); n != 0 {
		t.Errorf("got %d notifications of a configuration that is off, want none", n)
	}
	_, err = w.Notified(ctx, second, postgres.DeliveryResponse{Successful: true, SentAt: time.Now()})
	w.ok(err)
	w.ok(w.DeleteNotificationConfiguration(ctx, c.ID))
	_, err = w.Notified(ctx, second, postgres.DeliveryResponse{})
	w.ok(err)
	w.refused(w.DeleteNotificationConfiguration(ctx, c.ID), messages.CodeNotFound)
}

func TestNotificationSecretsAreSealed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.notification(w.workspace("network"))
	var rows []string
	w.ok(w.raw.Select(&rows, `SELECT n::text || encode(sealed, 'escape') FROM notification_configurations n`))
	if len(rows) != 1 || strings.Contains(rows[0], "secret") {
		t.Errorf("got rows %q, want one without the URL and the token", rows)
	}
}
