package api_test

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/api"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

const attempts = "/api/gantry/v1/attempts/"

func TestAttemptFromClaimToResult(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := f.newRun(run.Options{})
	c := f.claim(r.Plan.ID)
	one := attempts + c.AttemptID

	var in wire.Inputs
	f.get(one+"/inputs", c.Token).into(&in)
	if diff := cmp.Diff(c.Inputs, in); diff != "" {
		t.Errorf("inputs differ from the claim's (-claim, +inputs):\n%s", diff)
	}
	if got := f.get(one+"/configuration", c.Token).want(http.StatusOK, ""); string(got.body) != "an archive" || got.header.Get("Content-Length") != "10" {
		t.Errorf("configuration: got %q with Content-Length %q, want the 10 bytes of the archive", got.body, got.header.Get("Content-Length"))
	}
	f.get(one+"/state", c.Token).want(http.StatusNotFound, messages.CodeNotFound)
	f.get(one+"/plan", c.Token).want(http.StatusNotFound, messages.CodeNotFound)
	f.call("PUT", one+"/plan", c.Token, []byte("plan")).want(http.StatusConflict, messages.CodeAttemptClosed) // not started

	var started, again wire.StartAnswer
	f.post(one+"/start", c.Token, wire.StartRequest{V: 1, Nonce: "r"}).into(&started)
	f.post(one+"/start", c.Token, wire.StartRequest{V: 1, Nonce: "r"}).into(&again)
	if started != again {
		t.Errorf("the same start again: got %v, want %v", again, started)
	}
	f.call("PUT", one+"/plan", c.Token, []byte("plan")).want(http.StatusNoContent, "")
	f.call("PUT", one+"/plan-json", c.Token, []byte("{}")).want(http.StatusNoContent, "")
	if got := f.get(one+"/plan", c.Token).want(http.StatusOK, ""); string(got.body) != "plan" {
		t.Errorf("plan: got %q, want what was stored", got.body)
	}
	var status wire.AttemptStatus
	f.get(one, c.Token).into(&status)
	if want := (wire.AttemptStatus{Open: true}); status != want {
		t.Errorf("status: got %+v, want %+v", status, want)
	}
	for range 2 {
		f.post(one+"/result", c.Token, wire.Result{V: 1, Outcome: wire.OutcomeSucceeded}).want(http.StatusOK, "")
	}
}

func TestClaimIsRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first, second := f.newRun(run.Options{}), f.newRun(run.Options{})
	if second.Plan != nil {
		t.Fatal("the second run got a task beside the first")
	}
	c := f.claim(first.Plan.ID)
	again := f.claim(first.Plan.ID)
	if again.AttemptID != c.AttemptID || again.Epoch != c.Epoch {
		t.Errorf("the same claim again: got attempt %s epoch %d, want %s and %d", again.AttemptID, again.Epoch, c.AttemptID, c.Epoch)
	}
	for _, tc := range []struct {
		name   string
		req    wire.ClaimRequest
		status int
		code   messages.Code
	}{
		{"other worker", wire.ClaimRequest{TaskID: first.Plan.ID, Worker: "w2", Nonce: "other"}, http.StatusConflict, messages.CodeTaskTaken},
		{"unknown task", wire.ClaimRequest{TaskID: "task-unknown", Worker: "w2", Nonce: "other"}, http.StatusGone, messages.CodeTaskGone},
		{"no task", wire.ClaimRequest{Worker: "w2", Nonce: "n"}, http.StatusUnprocessableEntity, messages.CodeInvalid},
		{"no nonce", wire.ClaimRequest{TaskID: first.Plan.ID, Worker: "w2"}, http.StatusUnprocessableEntity, messages.CodeInvalid},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f.post("/api/gantry/v1/claim", poolToken, tc.req).want(tc.status, tc.code)
		})
	}
	f.call("POST", "/api/gantry/v1/claim", poolToken, []byte("{")).want(http.StatusUnprocessableEntity, messages.CodeInvalid)
}

func TestStartIsRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	c := f.claim(f.newRun(run.Options{}).Plan.ID)
	path := attempts + c.AttemptID + "/start"
	f.post(path, c.Token, wire.StartRequest{}).want(http.StatusUnprocessableEntity, messages.CodeInvalid)
	f.start(c)
	f.post(path, c.Token, wire.StartRequest{Nonce: "another"}).want(http.StatusConflict, messages.CodeAttemptDuplicate)

	other := newFixture(t)
	c = other.claim(other.newRun(run.Options{}).Plan.ID)
	path = attempts + c.AttemptID + "/start"
	stale := wire.StartRequest{Nonce: "r", Base: wire.StateRef{Serial: 7, Lineage: "l"}}
	other.post(path, c.Token, stale).want(http.StatusConflict, messages.CodeAttemptStaleBase)
	other.post(path, c.Token, stale).want(http.StatusConflict, messages.CodeAttemptClosed)

	third := newFixture(t)
	r := third.newRun(run.Options{})
	c = third.claim(r.Plan.ID)
	third.transition(r.ID, run.Cancel{})
	got := third.post(attempts+c.AttemptID+"/start", c.Token, wire.StartRequest{Nonce: "r"}).want(http.StatusConflict, messages.CodeAttemptCanceled)
	if h := got.header.Get(wire.HeaderCancel); h != "cancel" {
		t.Errorf("header %s: got %q, want cancel", wire.HeaderCancel, h)
	}
	third.post("/api/gantry/v1/claim", poolToken, wire.ClaimRequest{TaskID: r.Plan.ID, Worker: "w", Nonce: "nonce"}).want(http.StatusGone, messages.CodeTaskGone)
}

func TestResultIsRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := f.newRun(run.Options{})
	c := f.claim(r.Plan.ID)
	path := attempts + c.AttemptID + "/result"
	f.post(path, c.Token, wire.Result{Outcome: "great"}).want(http.StatusUnprocessableEntity, messages.CodeInvalid)
	f.transition(r.ID, run.ExpireClaim{AttemptID: c.AttemptID})
	f.post(path, c.Token, wire.Result{Outcome: wire.OutcomeFailed}).want(http.StatusConflict, messages.CodeAttemptClosed)
	f.post(attempts+c.AttemptID+"/token", c.Token, nil).want(http.StatusConflict, messages.CodeAttemptClosed)
	var status wire.AttemptStatus
	f.get(attempts+c.AttemptID, c.Token).into(&status)
	if status.Open {
		t.Error("an expired claim reads open")
	}
}

func TestState(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, c := f.claimApply()
	f.start(c)
	path := attempts + c.AttemptID + "/state"
	state := []byte(`{"version":4,"terraform_version":"1.11.4","serial":1,"lineage":"l"}`)
	sum := md5.Sum(state)
	f.call("PUT", path, c.Token, state, wire.HeaderStateMD5, "AAAA").want(http.StatusUnprocessableEntity, messages.CodeInvalid)
	f.get(path, c.Token).want(http.StatusNotFound, messages.CodeNotFound)
	for _, header := range []string{"", base64.StdEncoding.EncodeToString(sum[:]), hex.EncodeToString(sum[:])} {
		var ref wire.StateRef
		f.call("PUT", path, c.Token, state, wire.HeaderStateMD5, header).into(&ref)
		if want := (wire.StateRef{Serial: 1, Lineage: "l"}); ref != want {
			t.Errorf("header %q: got %+v, want %+v", header, ref, want)
		}
	}
	if got := f.get(path, c.Token).want(http.StatusOK, ""); string(got.body) != string(state) {
		t.Errorf("state: got %s, want %s", got.body, state)
	}
	f.call("PUT", path, c.Token, []byte(`{"version":4,"serial":1,"lineage":"l"}`)).want(http.StatusConflict, messages.CodeStateConflict)
	f.call("PUT", path, c.Token, []byte(`{"version":4,"serial":2,"lineage":"other"}`)).want(http.StatusConflict, messages.CodeStateConflict)
	f.call("PUT", path, c.Token, []byte(`no state`)).want(http.StatusUnprocessableEntity, messages.CodeInvalid)
}

func TestRenewToken(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	c := f.claim(f.newRun(run.Options{}).Plan.ID)
	var out struct {
		ExpiresAt time.Time `json:"expires_at"`
	}
	f.post(attempts+c.AttemptID+"/token", c.Token, nil).into(&out)
	if left := time.Until(out.ExpiresAt); left < f.db.Timing().TokenLife-time.Minute || left > f.db.Timing().TokenLife {
		t.Errorf("got a token good for %v, want %v", left, f.db.Timing().TokenLife)
	}
	f.get(attempts+"att-other", c.Token).want(http.StatusNotFound, messages.CodeNotFound)
}

// TestAClosedAttemptIsGivenNothing: its token still delivers, but reads neither secrets nor what others write.
func TestAClosedAttemptIsGivenNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	c := f.claim(f.newRun(run.Options{PlanOnly: true}).Plan.ID)
	f.start(c)
	path := attempts + c.AttemptID
	f.get(path+"/inputs", c.Token).want(http.StatusOK, "")
	f.post(path+"/result", c.Token, wire.Result{V: 1, Outcome: wire.OutcomeSucceeded, HasChanges: true}).want(http.StatusOK, "")
	for _, what := range []string{"/inputs", "/configuration", "/state", "/plan"} {
		f.get(path+what, c.Token).want(http.StatusConflict, messages.CodeAttemptClosed)
	}
	f.get(path, c.Token).want(http.StatusOK, "")
	f.call("PUT", path+"/plan-json", c.Token, []byte(`{}`)).want(http.StatusNoContent, "")
}

// TestAnAttemptIsItsOwnRunnersOnly: whoever holds another attempt's token, or a token of any other kind, reaches nothing of it.
func TestAnAttemptIsItsOwnRunnersOnly(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	mine := f.newRun(run.Options{})
	c := f.claim(mine.Plan.ID)
	ws, err := f.db.CreateWorkspace(t.Context(), postgres.NewWorkspace{Organization: "default", Name: "elsewhere"})
	must(t, err)
	f.ws = ws
	other := f.claim(f.newRun(run.Options{}).Plan.ID)
	p, err := f.db.CreatePool(t.Context(), "default", postgres.PoolChange{Name: new("aws")})
	must(t, err)
	_, agent, err := f.db.CreateToken(t.Context(), postgres.NewToken{Description: "agents", PoolID: p.ID, CreatedBy: "test"})
	must(t, err)
	_, person := f.member("ann", "default", postgres.RoleAdmin)
	before := f.mustRun(mine.ID)
	tried := 0
	for _, r := range api.Describe() {
		if !strings.Contains(r.Pattern, "{attempt}") {
			continue
		}
		tried++
		path := strings.Replace(r.Pattern, "{attempt}", c.AttemptID, 1)
		body := []byte(`{"v":1,"nonce":"r","outcome":"succeeded","serial":1,"lineage":"l","version":4}`) // good enough for any of them
		for whose, token := range map[string]string{"another attempt": other.Token, "the local pool": poolToken, "a pool of agents": agent, "an administrator": adminToken, "a person": person, "nobody": ""} {
			got := f.call(r.Method, path, token, body)
			if got.status != http.StatusNotFound && got.status != http.StatusUnauthorized && got.status != http.StatusForbidden {
				t.Errorf("%s %s with the token of %s: got %d %s, want it refused", r.Method, r.Pattern, whose, got.status, got.body)
			}
		}
	}
	if tried < 10 {
		t.Errorf("only %d calls about attempts were found", tried)
	}
	if diff := cmp.Diff(before, f.mustRun(mine.ID)); diff != "" {
		t.Errorf("the run was changed by others (-before, +after):\n%s", diff)
	}
	f.post("/api/gantry/v1/claim", agent, wire.ClaimRequest{V: 1, TaskID: mine.Plan.ID, Worker: "w", Nonce: "n"}).want(http.StatusGone, messages.CodeTaskGone)
	f.start(c) // its own runner may
}
