package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gantry.example/internal/bus/broker"
	"gantry.example/internal/natstest"
	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// TestAnnounce: whoever listens on NATS to an organization gets every change of its runs, once and in order, however many servers
// there are, and nothing of others.
func TestAnnounce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	nats := natstest.Start(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	for range cap(ended) {
		go func() { ended <- f.api.Announce(ctx, nats.Bus(t)) }()
	}
	t.Cleanup(func() {
		stop()
		for range cap(ended) {
			if err := <-ended; err != nil {
				t.Error("Announce:", err)
			}
		}
	})
	o, err := f.db.Organization(t.Context(), "default")
	must(t, err)
	before := f.newRun(run.Options{PlanOnly: true}) // nobody listens yet
	_, nc := nats.As(t, broker.Identity{Kind: broker.KindReader, Name: o.ID})
	sub, err := nc.SubscribeSync(messages.OrganizationEventSubjects(o.ID))
	must(t, err)
	must(t, nc.FlushTimeout(10*time.Second))
	must(t, f.db.AddReader(t.Context(), o.ID, time.Now().Add(time.Hour)))

	r := f.newRun(run.Options{PlanOnly: true})
	f.transition(r.ID, run.Cancel{})
	f.transition(before.ID, run.Cancel{})
	var got []string
	for range 6 {
		m, err := sub.NextMsg(30 * time.Second)
		if err != nil {
			t.Fatalf("after %v: %v", got, err)
		}
		if want := messages.EventSubject(o.ID, r.WorkspaceID, r.ID); m.Subject != want && m.Subject != messages.EventSubject(o.ID, r.WorkspaceID, before.ID) {
			t.Errorf("subject: got %s, want like %s", m.Subject, want)
		}
		var b brief
		must(t, json.Unmarshal(m.Data, &b))
		got = append(got, fmt.Sprint(b.Run.ID == r.ID, " ", b.Event.Seq, " ", b.Event.Type, " ", b.Run.Status))
		if b.Event.Type == run.EventCanceled && b.Run.ID == before.ID {
			break
		}
	}
	want := []string{
		"true 1 created pending", "true 2 plan_queued plan_queued", "true 3 cancel_requested plan_queued", "true 4 canceled canceled",
		"false 3 cancel_requested plan_queued", "false 4 canceled canceled",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if m, err := sub.NextMsg(300 * time.Millisecond); err == nil {
		t.Errorf("got %s once more", m.Data)
	}
}

// TestAnnounceEndsWithItsReaders: what is said to nobody is not read either.
func TestAnnounceEndsWithItsReaders(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	o, err := f.db.Organization(t.Context(), "default")
	must(t, err)
	told := 0
	tell := func(_ context.Context, _ string, events []postgres.FeedEvent) error {
		told += len(events)
		return nil
	}
	must(t, f.db.AddReader(t.Context(), o.ID, time.Now().Add(-time.Minute)))
	f.newRun(run.Options{PlanOnly: true})
	if readers, _, err := f.db.Announce(t.Context(), tell); err != nil || readers != 0 || told != 0 {
		t.Errorf("a reader of before: got %d organizations with readers and %d events told, %v, want none", readers, told, err)
	}
	must(t, f.db.AddReader(t.Context(), o.ID, time.Now().Add(time.Hour)))
	if readers, _, err := f.db.Announce(t.Context(), tell); err != nil || readers != 1 || told != 0 {
		t.Errorf("a reader since a moment ago: got %d organizations with readers and %d events of before told, %v, want 1 and none", readers, told, err)
	}
	f.newRun(run.Options{PlanOnly: true})
	if _, _, err := f.db.Announce(t.Context(), tell); err != nil || told == 0 {
		t.Errorf("told: got %d events, %v, want those of a run", told, err)
	}
}
