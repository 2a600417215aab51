package dashboard_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// post sends a form as a page of the session would.
func (f *fixture) post(path string, fields ...string) answer {
	f.t.Helper()
	page := f.get("/app/").want(http.StatusOK)
	csrf := regexp.MustCompile(`name="csrf" value="([^"]+)"`).FindStringSubmatch(page.body)
	if len(csrf) != 2 {
		f.t.Fatalf("nobody is logged in:\n%s", page.body)
	}
	form := url.Values{"csrf": {csrf[1]}}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	return f.do("POST", path, form)
}

// enter makes a user with the role in the organization "default" and logs them in.
func (f *fixture) enter(name string, role postgres.Role) {
	f.t.Helper()
	ctx := f.t.Context()
	u, err := f.db.CreateUser(ctx, postgres.NewUser{Username: name})
	must(f.t, err)
	if role != postgres.RoleNone {
		_, err = f.db.SetMember(ctx, f.ws.OrganizationID, u.ID, role)
		must(f.t, err)
	}
	_, token, err := f.db.CreateToken(ctx, postgres.NewToken{Description: name, UserID: u.ID})
	must(f.t, err)
	f.logIn(token, "").want(http.StatusSeeOther)
}

// without checks that the page does not say any of the texts.
func (a answer) without(texts ...string) answer {
	a.t.Helper()
	for _, text := range texts {
		if strings.Contains(a.body, text) {
			a.t.Errorf("%s: got a page with %q:\n%s", a.call, text, a.body)
		}
	}
	return a
}

func (f *fixture) status(id string) run.Status {
	f.t.Helper()
	r, err := f.db.Run(f.t.Context(), id)
	must(f.t, err)
	return r.Status
}

func TestARunIsApprovedCanceledAndRunAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	f.enter("wanda", postgres.RoleWrite)
	r := f.newRun("add a zone")
	page := "/app/default/network/runs/" + r.ID
	f.get(page).want(http.StatusOK, `action="`+page+`/cancel"`).without(page+"/apply", page+"/retry", page+"/force-cancel")
	plan := f.begin(r.Plan)
	f.give(r.ID, run.Finish{AttemptID: plan, Outcome: run.Succeeded, HasChanges: true, Changes: &run.Changes{Add: 1}})
	f.get(page).want(http.StatusOK, `action="`+page+`/apply"`, `action="`+page+`/discard"`)

	f.do("POST", page+"/apply", url.Values{"csrf": {"wrong"}}).want(http.StatusForbidden, "did not come from a page")
	f.post(page+"/apply", "comment", "go on").leadsTo(http.StatusSeeOther, page)
	got, err := f.db.Run(t.Context(), r.ID)
	must(t, err)
	if got.Status != run.ApplyQueued || got.ConfirmedBy != "wanda" {
		t.Errorf("got %s approved by %q, want apply_queued by wanda", got.Status, got.ConfirmedBy)
	}
	f.get(page).want(http.StatusOK, "Approved (go on)")
	f.post(page+"/apply").want(http.StatusConflict, "That did not work", string(messages.CodeRunNotAllowed), `href="`+page+`"`)

	f.post(page+"/cancel").leadsTo(http.StatusSeeOther, page)
	if got := f.status(r.ID); got != run.Canceled {
		t.Errorf("got %s, want canceled", got)
	}
	again := f.post(page + "/retry").want(http.StatusSeeOther).header.Get("Location")
	f.get(again).want(http.StatusOK, "<h1>add a zone</h1>", "wanda", "Plan queued")
	f.post(page + "/explode").want(http.StatusNotFound)
}

func TestButtonsAreForThoseWhoMay(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	r := f.newRun("look")
	page := "/app/default/network/runs/" + r.ID
	plan := f.begin(r.Plan)
	f.give(r.ID, run.Finish{AttemptID: plan, Outcome: run.Succeeded, HasChanges: true, Changes: &run.Changes{Add: 1}})
	f.enter("rita", postgres.RoleRead)
	f.get(page).want(http.StatusOK).without(`class="actions"`)
	f.post(page+"/apply").want(http.StatusForbidden, "role write")
	f.post(page+"/retry").want(http.StatusForbidden, "role plan")
	f.enter("otto", postgres.RoleNone)
	f.post(page + "/apply").want(http.StatusNotFound)
	f.enter("petra", postgres.RolePlan)
	f.get(page).want(http.StatusOK).without(page+"/apply", page+"/discard")
	f.post(page+"/discard").want(http.StatusForbidden, "role write") // it is ada's
	if got := f.status(r.ID); got != run.Planned {
		t.Errorf("got %s, want it planned still", got)
	}
}

func TestALostRunIsRecovered(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	f.enter("wanda", postgres.RoleWrite)
	r := f.newRun("resize")
	page := "/app/default/network/runs/" + r.ID
	plan := f.begin(r.Plan)
	f.give(r.ID, run.Finish{AttemptID: plan, Outcome: run.Succeeded, HasChanges: true, Changes: &run.Changes{Change: 1}})
	r = f.give(r.ID, run.Confirm{})
	apply := f.begin(r.Apply)
	f.give(r.ID, run.LoseContact{AttemptID: apply})
	f.get(page).want(http.StatusOK, "may still be alive", `name="force" value="yes"`)
	f.post(page+"/recover").want(http.StatusConflict, "may come back")
	f.give(r.ID, run.GiveUp{AttemptID: apply})
	f.get(page).want(http.StatusOK, "shows what the lost apply changed").without(`name="force"`)
	recovery := f.post(page + "/recover").want(http.StatusSeeOther).header.Get("Location")
	f.get(recovery).want(http.StatusOK, "This run looks into what")
	f.get(page).want(http.StatusOK, `href="`+recovery+`"`).without(page + "/recover")
}
