package dashboard_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

func TestEveryPageIsGuarded(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	r := f.newRun("guarded")
	one := "/app/default/network/runs/" + r.ID
	for _, path := range []string{"/app/", "/app/~workspaces", "/app/~pools", "/app/~audit", "/app/default/network", "/app/default/network/runs", "/app/default/network/states", "/app/default/network/variables", "/app/default/network/settings",
		one, one + "/logs/plan", "/app/no/such/page", "/app/default/none"} {
		f.get(path).leadsTo(http.StatusSeeOther, "/app/login?next="+url.QueryEscape(path))
	}
	f.get(one + "/events").want(http.StatusUnauthorized)
	f.get("/app/~live").want(http.StatusUnauthorized)
	f.get("/").leadsTo(http.StatusFound, "/app/")
	f.logIn(adminToken, "")
	for _, path := range []string{"/app/", one, "/app/login", "/app/none/none"} {
		h := f.get(path).header
		csp := h.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: got policy %q, want it with %s", path, csp, want)
			}
		}
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-store" || h.Get("Referrer-Policy") == "" {
			t.Errorf("%s: got headers %v, want nosniff, no-store and a referrer policy", path, h)
		}
	}
}

func TestPagesHaveNoInlineScriptsOrStyles(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	r := f.newRun("plain")
	f.logIn(adminToken, "")
	inline := regexp.MustCompile(`<style|\sstyle=|\son[a-z]+=|<script(?:\s[^>]*)?>[^<]`)
	for _, path := range []string{"/app/", "/app/~workspaces", "/app/~pools", "/app/~audit", "/app/default/network", "/app/default/network/states", "/app/default/network/variables", "/app/default/network/settings",
		"/app/default/network/runs", "/app/default/network/runs/" + r.ID, "/app/none/none"} {
		page := f.get(path)
		if found := inline.FindString(page.body); found != "" {
			t.Errorf("%s: got %q, want it in a file", path, found)
		}
		for _, ref := range regexp.MustCompile(`(?:src|href)="(/app/~assets/[^"]+)"`).FindAllStringSubmatch(page.body, -1) {
			a := f.get(ref[1]).want(http.StatusOK)
			if got := a.header.Get("Cache-Control"); !strings.Contains(got, "immutable") {
				t.Errorf("%s: got Cache-Control %q, want it kept", ref[1], got)
			}
		}
	}
	f.get("/app/~assets/none.css").want(http.StatusNotFound)
	f.get("/app/~assets/..%2fdashboard.go").want(http.StatusNotFound)
}

func TestNotFoundSaysWhatToDo(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	f.newWorkspace("other")
	r := f.newRun("first")
	f.logIn(adminToken, "")
	f.get("/app/default/network/runs/run-none").want(http.StatusNotFound, "Workspace default/network has no run", "/app/default/network/runs")
	f.get("/app/default/other/runs/"+r.ID).want(http.StatusNotFound, "Workspace default/other has no run", r.ID)
	f.get("/app/default/other/runs/" + r.ID + "/events").want(http.StatusNotFound)
	f.get("/app/default/other/runs/" + r.ID + "/logs/plan").want(http.StatusNotFound)
	f.get("/app/default/missing").want(http.StatusNotFound, "default/missing", "does not exist")
	f.get("/app/nobody/network/runs").want(http.StatusNotFound, "nobody", "does not exist")
	f.get("/app/default/network/runs/"+r.ID+"/logs/apply").want(http.StatusNotFound, "has no apply")
	f.get("/app/default/network/runs/"+r.ID+"/logs/other").want(http.StatusNotFound, "only plan and apply")
}

func TestHostileWordsAreText(t *testing.T) {
	t.Parallel()
	const attack = `"><script>alert(1)</script><img src=x onerror=alert(1)>`
	f := newFixture(t, "")
	r := f.newRun(attack)
	f.logIn(adminToken, "")
	attempt := f.begin(r.Plan)
	f.give(r.ID, run.Finish{AttemptID: attempt, Outcome: run.Failed, Message: attack, Code: messages.Code(attack)})
	for _, path := range []string{"/app/default/network/runs", "/app/default/network/runs/" + r.ID, "/app/default/network/runs/" + url.PathEscape(attack)} {
		page := f.get(path)
		if strings.Contains(page.body, "<script>alert") || strings.Contains(page.body, "<img src=x") || !strings.Contains(page.body, "&lt;script&gt;alert(1)") {
			t.Errorf("%s: got the attack unescaped, or not at all:\n%s", path, page.body)
		}
	}
}

func TestTheLogAsPlainText(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	r := f.newRun("log")
	f.logIn(adminToken, "")
	attempt := f.begin(r.Plan)
	text := "\x1b[1mbold\x1b[0m <script>\n"
	must(t, f.db.AppendLog(t.Context(), postgres.LogChunk{AttemptID: attempt, Data: []byte(text)}))
	a := f.get("/app/default/network/runs/" + r.ID + "/logs/plan").want(http.StatusOK)
	if got, want := a.body, "bold <script>\n"; got != want {
		t.Errorf("got log %q, want %q", got, want)
	}
	if got := a.header.Get("Content-Type"); got != "text/plain; charset=utf-8" {
		t.Errorf("got content type %q, want plain text", got)
	}
}

func TestThePageSaysWhatARunWaitsFor(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	f.logIn(adminToken, "")
	r, next := f.newRun("first"), f.newRun("second")
	first, second := "/app/default/network/runs/"+r.ID, "/app/default/network/runs/"+next.ID
	f.get(first).want(http.StatusOK, "Plan queued", "No worker of pool local is connected", "<title>Plan queued · first · default/network")
	f.get(second).want(http.StatusOK, "Behind run ", `href="`+first+`"`)
	plan := f.begin(r.Plan)
	f.give(r.ID, run.Progress{AttemptID: plan, Stage: messages.StageInit})
	f.get(first).want(http.StatusOK, "Initializing providers and modules on worker w1")
	r = f.give(r.ID, run.Finish{AttemptID: plan, Outcome: run.Succeeded, HasChanges: true, Changes: &run.Changes{Add: 3}})
	f.get(first).want(http.StatusOK, "Needs approval", "waits for approval", "+3")
	f.get(second).want(http.StatusOK, "which waits for approval")
	r = f.give(r.ID, run.Confirm{})
	apply := f.begin(r.Apply)
	f.give(r.ID, run.LoseContact{AttemptID: apply})
	f.get(first).want(http.StatusOK, "Applying", "Contact with worker w1 is lost")
	f.give(r.ID, run.GiveUp{AttemptID: apply})
	f.get(first).want(http.StatusOK, "Outcome unknown", "<strong>Workspace network is locked</strong>", string(messages.CodeRunOutcomeUnknown),
		`id="condition"`, "Last contact", "gantry runs recover "+r.ID)
	f.get(second).want(http.StatusOK, "nobody knows what the apply of run")
	f.give(r.ID, run.Finish{AttemptID: apply, Outcome: run.Succeeded, Changes: &run.Changes{Add: 3}})
	f.get(first).want(http.StatusOK, "Applied: 3 added, 0 changed, 0 destroyed.")
	f.get(second).want(http.StatusOK, "Plan queued")
	f.get("/app/default/network").want(http.StatusOK, "first", "second", `href="/app/default/network/runs"`)
	f.get("/app/default/network/runs").want(http.StatusOK, "first", "second", "2 in all")
	f.get("/app/~workspaces").want(http.StatusOK, `href="/app/default/network"`, `href="`+second+`"`)
}

func TestARunLeadsToTheStateItLeft(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	f.enter("rita", postgres.RoleRead)
	r := f.newRun("a change")
	plan := f.begin(r.Plan)
	f.give(r.ID, run.Finish{AttemptID: plan, Outcome: run.Succeeded, HasChanges: true, Changes: &run.Changes{Add: 1}})
	r = f.give(r.ID, run.Confirm{})
	c, err := f.db.Claim(t.Context(), messages.LocalPool, wire.ClaimRequest{V: 1, TaskID: r.Apply.ID, Worker: "w1", Nonce: r.Apply.ID})
	must(t, err)
	a, err := f.db.AttemptByToken(t.Context(), c.Token)
	must(t, err)
	_, err = f.db.Start(t.Context(), a, wire.StartRequest{V: 1, Nonce: "runner", Base: c.Inputs.Base})
	must(t, err)
	_, err = f.db.PutState(t.Context(), a, postgres.InMemory([]byte(stateOne)))
	must(t, err)
	page := "/app/default/network/runs/" + r.ID
	f.get(page).want(http.StatusOK, "Applying").without(">serial 1</a>") // more may come
	f.give(r.ID, run.Finish{AttemptID: a.ID, Outcome: run.Succeeded, Changes: &run.Changes{Add: 1}})
	sv, err := f.db.CurrentStateVersion(t.Context(), f.ws.ID)
	must(t, err)
	f.get(page).want(http.StatusOK, `<a href="/app/default/network/states/`+sv.ID+`">serial 1</a>`)
}
