package api_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gantry.example/internal/bus/broker"
	"gantry.example/internal/natstest"
	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// Whoever waits for a notification of Postgres looks for itself now and then, so one that is lost costs time only: a test for each.
// Every change is made when the one before has arrived, which is when the reader has looked.

func TestALostNotificationRunEvents(t *testing.T) {
	t.Parallel()
	f := newDeafFixture(t)
	r := f.newRun(run.Options{PlanOnly: true})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var got []run.EventType
	f.follow(ctx, "/api/gantry/v1/runs/"+r.ID+"/events", "", func(e sent) bool {
		switch e.event {
		case "snapshot":
			f.claim(r.Plan.ID)
		case "change":
			var c change
			e.into(t, &c)
			if got = append(got, c.Event.Type); len(got) == 1 {
				f.transition(r.ID, run.Cancel{})
			}
		}
		return e.event != "end"
	})
	if want := []run.EventType{run.EventClaimed, run.EventCancelRequested, run.EventCanceled}; !cmp.Equal(got, want) {
		t.Errorf("got events %v, want %v", got, want)
	}
}

func TestALostNotificationEventsOfAnOrganization(t *testing.T) {
	t.Parallel()
	f := newDeafFixture(t)
	r := f.newRun(run.Options{PlanOnly: true})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var got []run.EventType
	f.follow(ctx, "/api/gantry/v1/events?organization=default", "", func(e sent) bool {
		if e.event == "snapshot" {
			f.claim(r.Plan.ID)
			return true
		}
		var b brief
		e.into(t, &b)
		if got = append(got, b.Event.Type); len(got) == 1 {
			f.transition(r.ID, run.Cancel{})
		}
		return b.Event.Type != run.EventCanceled
	})
	if want := []run.EventType{run.EventClaimed, run.EventCancelRequested, run.EventCanceled}; !cmp.Equal(got, want) {
		t.Errorf("got events %v, want %v", got, want)
	}
}

// TestALostNotificationAnnounce loses that somebody listens, too.
func TestALostNotificationAnnounce(t *testing.T) {
	t.Parallel()
	f := newDeafFixture(t)
	nats := natstest.Start(t)
	o, err := f.db.Organization(t.Context(), "default")
	must(t, err)
	_, nc := nats.As(t, broker.Identity{Kind: broker.KindReader, Name: o.ID})
	sub, err := nc.SubscribeSync(messages.OrganizationEventSubjects(o.ID))
	must(t, err)
	must(t, nc.FlushTimeout(10*time.Second))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.api.Announce(ctx, nats.Bus(t)) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error("Announce:", err)
		}
	})
	must(t, f.db.AddReader(t.Context(), o.ID, time.Now().Add(time.Hour)))
	r := f.newRun(run.Options{PlanOnly: true})
	for i, want := range []run.EventType{run.EventCreated, run.EventPlanQueued, run.EventClaimed} {
		if want == run.EventClaimed {
			f.claim(r.Plan.ID)
		}
		m, err := sub.NextMsg(30 * time.Second)
		if err != nil {
			t.Fatalf("event %d: %v", i, err)
		}
		var b brief
		must(t, json.Unmarshal(m.Data, &b))
		if b.Event.Type != want {
			t.Errorf("event %d: got %s, want %s", i, b.Event.Type, want)
		}
	}
}

// TestALostNotificationLog: a request that is held back has what came meanwhile. It has looked for it, in vain, before several runs are
// made; if a busy machine has it look later, there is nothing to lose.
func TestALostNotificationLog(t *testing.T) {
	t.Parallel()
	f := newDeafFixture(t)
	r := f.newRun(run.Options{PlanOnly: true})
	c := f.claim(r.Plan.ID)
	f.start(c)
	answers := make(chan answer, 1)
	go func() { answers <- f.get(f.logPath(r.ID, "plan")+"?offset=1&limit=100", "") }()
	for range 20 {
		f.newRun(run.Options{PlanOnly: true})
	}
	f.append(postgres.LogChunk{AttemptID: c.AttemptID, Data: []byte("unheard\n")})
	if a := <-answers; string(a.body) != "unheard\n" {
		t.Errorf("got %d %q, want what came while the request was held back", a.status, a.body)
	}
}
