package dashboard_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"gantry.example/internal/bus"
	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// someNATS is a NATS with one dead letter, one stream and one lease. The real one is in test/browser and in internal/bus.
type someNATS struct {
	letters []messages.DeadLetter
	lease   messages.Lease
	did     []string
}

func (n *someNATS) List(_ context.Context, after uint64, _ int) ([]messages.DeadLetter, error) {
	var out []messages.DeadLetter
	for _, l := range n.letters {
		if l.ID > after {
			out = append(out, l)
		}
	}
	return out, nil
}

func (n *someNATS) Replay(_ context.Context, id uint64) (messages.DeadLetter, error) {
	n.did = append(n.did, "replay")
	return n.letters[id-1], nil
}

func (n *someNATS) Drop(context.Context, uint64) error {
	n.did = append(n.did, "drop")
	return nil
}

func (n *someNATS) Health(context.Context) ([]bus.StreamHealth, bool, error) {
	return []bus.StreamHealth{{Name: "STATUS", Messages: 12, Bytes: 3 << 20, MaxBytes: 256 << 20, Newest: time.Now(),
		Consumers: []bus.ConsumerHealth{{Name: "projector", Pending: 3}}}}, false, nil
}

func (n *someNATS) ReadLeases(context.Context, string) (map[string]messages.Lease, error) {
	if n.lease.RunID == "" {
		return nil, nil
	}
	return map[string]messages.Lease{"ws-1": n.lease}, nil
}

func TestStreamsAreForSiteAdmins(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	r := f.newRun("leased")
	f.nats.lease = messages.Lease{RunID: r.ID, Holder: "build-1 <b>", Epoch: 7}
	f.nats.letters = []messages.DeadLetter{{ID: 1, Subject: "intake.run.org-1", At: time.Now(), Size: 12, Failure: messages.Failure{Code: messages.CodeInvalid, Message: "<script>no</script>"}}}
	f.logIn(adminToken, "")
	f.get("/app/~streams").want(http.StatusOK, "STATUS", "projector", "3.0 MiB", "of 256.0 MiB", "build-1 &lt;b&gt;", r.ID, "intake.run.org-1", "&lt;script&gt;no").without("<script>no")
	f.post("/app/~streams", "replay", "1").leadsTo(http.StatusSeeOther, "/app/~streams#letters")
	f.post("/app/~streams", "drop", "1").leadsTo(http.StatusSeeOther, "/app/~streams#letters")
	if len(f.nats.did) != 2 || f.nats.did[0] != "replay" || f.nats.did[1] != "drop" {
		t.Errorf("got %v, want a replay and a drop", f.nats.did)
	}
	f.enter("adam", postgres.RoleAdmin)
	f.get("/app/~streams").want(http.StatusOK, "Statuses, live", "organization=default").without("Dead letters", "intake.run", "STATUS")
	f.post("/app/~streams", "replay", "1").want(http.StatusForbidden, "site admin")
}

func TestStatusesAreStreamedToMembers(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	r := f.newRun("streamed")
	f.enter("rita", postgres.RoleRead)
	in := f.open("/app/~events?organization=default&workspace=network")
	if m, ok := in.next(); !ok || m.event != "snapshot" {
		t.Fatalf("got %+v, want a snapshot", m)
	}
	f.give(r.ID, run.Cancel{})
	if m, ok := in.next(); !ok || m.event != "change" {
		t.Errorf("got %+v, want a change", m)
	}
	f.enter("otto", postgres.RoleNone)
	f.get("/app/~events?organization=default").want(http.StatusNotFound)
}
