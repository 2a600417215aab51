package api_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// TestALargePlan: a plan of 200 MiB, of what cannot be compressed, comes to its apply as it was, and other calls are answered
// meanwhile.
func TestALargePlan(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := f.newRun(run.Options{AutoApply: true})
	c := f.claim(r.Plan.ID)
	f.start(c)
	plan := make([]byte, 200<<20)
	_, err := rand.NewChaCha8([32]byte{1}).Read(plan)
	must(t, err)
	send := func(method, attempt, token string, body []byte) ([]byte, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, method, f.server.URL+attempts+attempt+"/plan", bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := f.server.Client().Do(req)
		if err != nil {
			return nil, err
		}
		defer res.Body.Close()
		got, err := io.ReadAll(res.Body)
		if err == nil && res.StatusCode >= 300 {
			t.Errorf("%s plan: got %s: %.300s", method, res.Status, got)
		}
		return got, err
	}
	sent := make(chan error, 1)
	go func() {
		_, err := send("PUT", c.AttemptID, c.Token, plan)
		sent <- err
	}()
	for waiting := true; waiting; {
		select {
		case err := <-sent:
			must(t, err)
			waiting = false
		default:
			f.get("/api/v2/runs/"+r.ID, adminToken).want(http.StatusOK, "")
		}
	}
	r = f.transition(r.ID, run.Finish{AttemptID: c.AttemptID, Outcome: run.Succeeded, HasChanges: true})
	apply := f.claim(r.Apply.ID)
	got, err := send("GET", apply.AttemptID, apply.Token, nil)
	must(t, err)
	if len(got) != len(plan) || sha256.Sum256(got) != sha256.Sum256(plan) {
		t.Errorf("plan: got %d bytes, want the %d that were sent", len(got), len(plan))
	}
}

// TestAClaimIsKeptWhileItsRunnerDownloads: a runner that is given something for longer than a claim lasts is not taken for gone, so its
// task is not queued again.
func TestAClaimIsKeptWhileItsRunnerDownloads(t *testing.T) {
	t.Parallel()
	timing := postgres.DefaultTiming()
	timing.StartWithin = 6 * time.Nanosecond // so that every read is one after a sixth of it
	f := newFixtureWith(t, postgres.Config{Timing: timing})
	_, err := f.db.PushState(t.Context(), postgres.StatePush{WorkspaceID: f.ws.ID, Body: []byte(someState), By: "ada"})
	must(t, err)
	r := f.newRun(run.Options{AutoApply: true})
	c := f.claim(r.Plan.ID)
	f.start(c)
	f.call("PUT", attempts+c.AttemptID+"/plan", c.Token, make([]byte, 1<<20)).want(http.StatusNoContent, "")
	r = f.transition(r.ID, run.Finish{AttemptID: c.AttemptID, Outcome: run.Succeeded, HasChanges: true})
	apply := f.claim(r.Apply.ID)
	deadline := func() time.Time {
		open, err := f.db.OpenAttempts(t.Context())
		must(t, err)
		if len(open) != 1 || open[0].ID != apply.AttemptID {
			t.Fatalf("got open attempts %+v, want the apply's", open)
		}
		return open[0].StartDeadline
	}
	for _, what := range []string{"configuration", "plan", "state"} {
		before := deadline()
		f.get(attempts+apply.AttemptID+"/"+what, apply.Token).want(http.StatusOK, "")
		if after := deadline(); !after.After(before) {
			t.Errorf("got the deadline %s after the download of the %s, want a later one than %s", after, what, before)
		}
	}
}
