package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/run"
)

// TestPlacing: a worker that takes its time to place an attempt says so, learns what became of it, and people read why it waits.
func TestPlacing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := f.newRun(run.Options{})
	c := f.claim(r.Plan.ID)
	ask := func() wire.PlacingAnswer {
		var out wire.PlacingAnswer
		f.post("/api/gantry/v1/placing", poolToken, wire.PlacingRequest{V: 1, Attempts: []wire.Placement{
			{AttemptID: c.AttemptID, Extend: true, Reason: "no node has room."}, {AttemptID: "att-foreign"},
		}}).into(&out)
		return out
	}
	if diff := cmp.Diff(wire.PlacingAnswer{Started: []string{}, Closed: []string{"att-foreign"}}, ask()); diff != "" {
		t.Errorf("claimed (-want +got):\n%s", diff)
	}
	open, err := f.db.OpenAttempts(t.Context())
	must(t, err)
	if len(open) != 1 || !open[0].StartDeadline.After(c.StartDeadline) {
		t.Errorf("open attempts: got %+v, want one with a later deadline than %s", open, c.StartDeadline)
	}
	var why run.Waiting
	f.get("/api/gantry/v1/runs/"+r.ID+"/waiting", adminToken).into(&why)
	if !strings.Contains(why.Text, "no node has room.") {
		t.Errorf("why it waits: got %q, want the worker's reason in it", why.Text)
	}
	f.post("/api/gantry/v1/attempts/"+c.AttemptID+"/start", c.Token, wire.StartRequest{V: 1, Nonce: "r"}).want(http.StatusOK, "")
	if diff := cmp.Diff(wire.PlacingAnswer{Started: []string{c.AttemptID}, Closed: []string{"att-foreign"}}, ask()); diff != "" {
		t.Errorf("started (-want +got):\n%s", diff)
	}
	f.post("/api/gantry/v1/placing", poolToken, wire.PlacingRequest{V: 1, Attempts: make([]wire.Placement, 10_001)}).
		want(http.StatusUnprocessableEntity, messages.CodeInvalid)
	f.post("/api/gantry/v1/placing", adminToken, wire.PlacingRequest{V: 1}).want(http.StatusForbidden, messages.CodeForbidden)
}
