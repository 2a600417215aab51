package dashboard_test

import (
	"context"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

func TestTheOverviewSaysWhatGoesOn(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	f.enter("rita", postgres.RoleRead)
	f.get("/app/").want(http.StatusOK, "Nothing has run yet", "no worker", `sse-connect="/app/~live"`)
	first := f.newRun("the first")
	f.newRun("the second")
	f.get("/app/").want(http.StatusOK, "the first", "No worker of pool local is connected", "the second", "Behind run "+first.ID)
	plan := f.begin(first.Plan)
	f.give(first.ID, run.Progress{AttemptID: plan, Stage: messages.StageInit})
	f.get("/app/").want(http.StatusOK, "Initializing providers and modules on worker w1", `<b>1</b><span>executing`, `<b>1</b><span>waiting`)
	first = f.give(first.ID, run.Finish{AttemptID: plan, Outcome: run.Succeeded, HasChanges: true, Changes: &run.Changes{Add: 3}})
	f.get("/app/").want(http.StatusOK, `<b>1</b><span>need approval`, "which waits for approval", `class="add">+3`)
	first = f.give(first.ID, run.Confirm{})
	apply := f.begin(first.Apply)
	f.give(first.ID, run.Exit{AttemptID: apply, Detail: "its process was killed"})
	f.get("/app/").want(http.StatusOK, `<b>1</b><span>outcome unknown`, "Outcome unknown: somebody has to look", "Nothing failed.")
	f.enter("otto", postgres.RoleNone)
	f.get("/app/").want(http.StatusOK, "Nothing has run yet").without("the first", "the second")
}

func TestAPoolItsTokensAndItsAgents(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	f.enter("adam", postgres.RoleAdmin)
	page := f.post("/app/~pools", "organization", "default", "name", "build").want(http.StatusSeeOther).header.Get("Location")
	f.post("/app/~pools", "organization", "default", "name", "build").want(http.StatusUnprocessableEntity, "already has a pool")
	f.get(page).want(http.StatusOK, "No agent yet", "None yet.")
	made := f.post(page, "description", "for the build machines").want(http.StatusOK, "shown this one time", "gantry-agent --address http")
	secret := regexp.MustCompile(`id="secret">([^<]+)<`).FindStringSubmatch(made.body)
	if len(secret) != 2 {
		t.Fatalf("got no token: %s", made.body)
	}
	holder, err := f.db.Token(t.Context(), secret[1])
	must(t, err)
	f.get(page).want(http.StatusOK, "for the build machines").without(secret[1])
	r := f.newRun("builds")
	pool := strings.TrimPrefix(page, "/app/~pools/")
	for _, w := range []wire.WorkerStatus{
		{Name: "agent-1", Slots: 4, Busy: 1, Labels: []string{"aws", "<b>x</b>"}, Version: "1.2.3", Runs: []string{r.ID}}, {Name: "agent-2", Slots: 1, State: wire.WorkerExited},
	} {
		_, err := f.db.SawWorker(t.Context(), pool, "192.0.2.7", w)
		must(t, err)
	}
	shown := f.get(page).want(http.StatusOK, "agent-1", "Busy", "aws", "&lt;b&gt;x", "192.0.2.7", "1 of 4", "builds", "Exited", "Drain agent-1")
	f.get("/app/~pools").want(http.StatusOK, page, "build")
	drain := regexp.MustCompile(`name="drain" value="([^"]+)"`).FindStringSubmatch(shown.body)
	f.enter("wanda", postgres.RoleWrite)
	f.get(page).want(http.StatusOK, "agent-1").without("Drain agent-1", "for the build machines")
	f.post(page, "drain", drain[1]).want(http.StatusForbidden, "role admin")
	f.enter("otto", postgres.RoleNone)
	f.get(page).want(http.StatusNotFound)
	f.get("/app/~pools").want(http.StatusOK).without(page)
	f.enter("abel", postgres.RoleAdmin)
	f.post(page, "drain", drain[1]).leadsTo(http.StatusSeeOther, page)
	f.get(page).want(http.StatusOK, "Draining")
	f.post(page, "revoke", holder.ID).leadsTo(http.StatusSeeOther, page)
	if _, err := f.db.Token(t.Context(), secret[1]); err == nil {
		t.Error("the token is good still, want it revoked")
	}
}

func TestPoolsHaveCharts(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	f.newRun("queued")
	f.enter("rita", postgres.RoleRead)
	// One look of Run is a point, two make a line: it looks once at each start.
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		before := f.pages.Samples(messages.LocalPool)
		go func() { done <- f.pages.Run(ctx) }()
		f.eventually(func() bool { return f.pages.Samples(messages.LocalPool) > before })
		cancel()
		must(t, <-done)
	}
	f.get("/app/~pools").want(http.StatusOK, "<polyline points=")
}

// eventually waits for what another goroutine does and nobody tells of.
func (f *fixture) eventually(ok func() bool) {
	f.t.Helper()
	tick, late := time.NewTicker(20*time.Millisecond), time.After(20*time.Second)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			f.t.Fatal("it never happened")
		}
	}
}

func TestTheAuditSaysWhoDidWhat(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	f.enter("wanda", postgres.RoleWrite)
	r := f.newRun("a change")
	f.post("/app/default/network/lock", "do", "lock", "reason", "x").want(http.StatusSeeOther)
	f.post("/app/default/network/runs/" + r.ID + "/cancel").want(http.StatusSeeOther)
	f.post("/app/default/network/variables", "key", "TOKEN", "value", "hunter2hunter2", "category", "env", "sensitive", "yes").want(http.StatusSeeOther)
	f.post("/app/default/network/variables", "key", "not a name", "value", "x", "category", "env").want(http.StatusUnprocessableEntity)
	page := f.get("/app/~audit/default").want(http.StatusOK, "Asked for a run: a change", "ada", "wanda", "Lock a workspace by hand", "Create a variable of a workspace", " (TOKEN)</code>", "Cancel").without("hunter2", "Plan queued")
	if got := strings.Count(page.body, "Create a variable of a workspace"); got != 1 {
		t.Errorf("got %d variables in the audit, want one: the other was refused", got)
	}
	f.get("/app/~audit/~").want(http.StatusNotFound)
	f.get("/app/~audit/default?before=x").want(http.StatusBadRequest)
	f.enter("otto", postgres.RoleNone)
	f.get("/app/~audit/default").want(http.StatusNotFound)
	f.logIn(adminToken, "")
	f.get("/app/~audit/~").want(http.StatusOK, "the whole installation")
}
