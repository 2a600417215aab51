package browser_test

import (
	"testing"

	"github.com/chromedp/chromedp"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

const browserPlan = `{"resource_changes":[
 {"address":"aws_subnet.zone_b","mode":"managed","change":{"actions":["create"],"before":null,"after":{"cidr_block":"10.0.2.0/24","availability_zone":"eu-central-1b","tags":{"env":"prod"}},"after_unknown":{"id":true,"arn":true},"before_sensitive":false,"after_sensitive":false}},
 {"address":"aws_db_instance.main","mode":"managed","change":{"actions":["update"],"before":{"allocated_storage":20,"password":"one"},"after":{"allocated_storage":50,"password":"two"},"after_unknown":{},"before_sensitive":{"password":true},"after_sensitive":{"password":true}}},
 {"address":"aws_instance.legacy[\"<img src=x onerror=hit=1>\"]","mode":"managed","change":{"actions":["delete"],"before":{"ami":"<script>window.hit=1</script>"},"after":null,"after_unknown":{},"before_sensitive":{},"after_sensitive":false}}]}`

// A run is approved with the mouse, runs to its end, and another one is canceled; the pages around it are looked at.
func TestTheDashboardThroughAWorkingDay(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	r := s.newRun("Add a second availability zone", run.Options{})
	page := "/app/default/network/runs/" + r.ID
	s.logIn(page)
	c, err := s.db.Claim(t.Context(), messages.LocalPool, wire.ClaimRequest{V: 1, TaskID: r.Plan.ID, Worker: "local-1", Nonce: r.Plan.ID})
	must(t, err)
	a, err := s.db.AttemptByToken(t.Context(), c.Token)
	must(t, err)
	_, err = s.db.Start(t.Context(), a, wire.StartRequest{V: 1, Nonce: "runner", Base: c.Inputs.Base})
	must(t, err)
	s.print(a.ID, planLog)
	s.endLog(a.ID)
	must(t, s.db.PutPlan(t.Context(), a, postgres.BlobPlanJSON, postgres.InMemory([]byte(browserPlan))))
	s.give(r.ID, run.Finish{AttemptID: a.ID, Outcome: run.Succeeded, HasChanges: true, Changes: &run.Changes{Add: 1, Change: 1, Destroy: 1}})
	s.shows(".headline .badge", "Needs approval")
	s.shows("#plan-changes", "aws_subnet.zone_b")
	s.click("#plan-changes details:nth-child(2) summary")
	s.shows("#plan-changes", "(sensitive)")
	s.until(`window.hit === undefined && document.querySelectorAll("main img, main script").length === 0`)
	s.do(chromedp.SendKeys(chromedp.CSS("#plan-bar input"), "random_pet"))
	s.shows("#plan-bar .found", "1 of 2")
	s.until(`document.querySelector("#plan-log .line.here").id === "plan-L14"`)
	s.shows(".headline .counts", "−1 to destroy") // beside the buttons, however long the plan is
	s.until(`document.title.startsWith("Needs approval · ")`)
	s.picture("run")

	s.click("#ask-apply summary")
	s.do(chromedp.SendKeys(chromedp.CSS("#comment-apply"), "looks right"))
	s.click("#ask-apply form button")
	s.shows(".headline .badge", "Apply queued")
	s.shows("#timeline", "Approved (looks right)")
	r, err = s.db.Run(t.Context(), r.ID)
	must(t, err)
	apply := s.begin(r.Apply)
	s.print(apply, "aws_subnet.zone_b: Creating...\naws_subnet.zone_b: Creation complete after 2s [id=subnet-1]\naws_db_instance.main: Modifying...\n")
	s.shows("main", "1 of 3 resources")
	s.picture("applying")
	second := s.newRun("Rotate the certificates", run.Options{})
	s.newRun("Upgrade the provider", run.Options{PlanOnly: true})
	s.do(chromedp.Navigate(s.server.URL + "/app/"))
	s.shows("main", "Behind run "+r.ID)
	s.endLog(apply)
	s.give(r.ID, run.Finish{AttemptID: apply, Outcome: run.Failed, Code: messages.CodeRunTerraformFailed, Message: "terraform apply ended with code 1: quota exceeded"})
	s.shows("main", "quota exceeded") // by itself
	s.picture("overview")
	s.do(chromedp.Evaluate[chromedp.Void](`document.querySelector("a[href$='` + second.ID + `']").focus(); undefined`))
	s.newRun("Pin the modules", run.Options{PlanOnly: true})
	s.shows("main", "Pin the modules")
	s.until(`document.activeElement.href.endsWith("` + second.ID + `")`) // who goes by keyboard is where they were

	s.do(chromedp.Navigate(s.server.URL + "/app/default/network/runs/" + second.ID))
	s.click("#ask-cancel summary")
	s.click("#ask-cancel form button")
	s.shows(".headline .badge", "Canceled")
}

// The pages around runs, an agent that is drained, and the way out.
func TestThePagesAroundRuns(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	ctx := t.Context()
	s.newRun("Rotate the certificates", run.Options{PlanOnly: true})
	s.logIn("/app/")
	name := "build-machines"
	pool, err := s.db.CreatePool(ctx, "default", postgres.PoolChange{Name: &name})
	must(t, err)
	for _, w := range []wire.WorkerStatus{
		{Name: "build-1", Slots: 4, Busy: 1, Labels: []string{"aws", "production"}, Version: "0.9.0"}, {Name: "build-2", Slots: 4, Labels: []string{"aws"}, Version: "0.9.0"},
	} {
		_, err := s.db.SawWorker(ctx, pool.ID, "192.0.2.7", w)
		must(t, err)
	}
	for name, tags := range map[string]map[string]string{"database": {"env": "prod", "team": "data"}, "dns": {"env": "test"}, "cluster": {"env": "prod"}} {
		_, err := s.db.CreateWorkspace(ctx, postgres.NewWorkspace{Organization: "default", Name: name, Tags: tags})
		must(t, err)
	}
	body := []byte(`{"version":4,"terraform_version":"1.11.4","serial":4,"lineage":"l","outputs":{"url":{"value":"https://example.com","type":"string"},"key":{"value":"x","type":"string","sensitive":true}},"resources":[{"mode":"managed","type":"random_pet","name":"name","provider":"provider[\"registry.terraform.io/hashicorp/random\"]","instances":[{"attributes":{"id":"brave-fox","length":2}}]}]}`)
	sv, err := s.db.PushState(ctx, postgres.StatePush{WorkspaceID: s.ws.ID, Body: body, By: "ada"})
	must(t, err)

	s.do(chromedp.Navigate(s.server.URL + "/app/~workspaces"))
	s.shows("main", "team=data")
	s.do(chromedp.SendKeys(chromedp.CSS("#name"), "net"))
	s.until(`!document.querySelector("#results").innerText.includes("database") && location.search.includes("name=net")`)
	s.do(chromedp.Navigate(s.server.URL + "/app/~workspaces"))
	s.picture("workspaces")
	for name, path := range map[string]string{
		"workspace": "/app/default/network", "settings": "/app/default/network/settings", "variables": "/app/default/network/variables",
		"state": "/app/default/network/states/" + sv.ID, "pools": "/app/~pools", "audit": "/app/~audit", "streams": "/app/~streams",
	} {
		s.do(chromedp.Navigate(s.server.URL + path))
		s.shows("main", "")
		s.picture(name)
	}
	s.do(chromedp.EmulateViewport(390, 844), chromedp.Navigate(s.server.URL+"/app/default/network"))
	s.click("#ask-lock summary")
	s.until(`document.activeElement.id === "reason" && document.querySelector("#ask-lock form").getBoundingClientRect().right <= innerWidth`)
	s.do(chromedp.EmulateViewport(1440, 900), chromedp.Navigate(s.server.URL+"/app/~pools/"+pool.ID))
	s.shows("main", "build-1")
	s.picture("pool")
	_, err = s.db.SawWorker(ctx, pool.ID, "192.0.2.7", wire.WorkerStatus{Name: "build-1", Slots: 4, Version: "0.9.0"}) // it is there still
	must(t, err)
	s.do(chromedp.Navigate(s.server.URL + "/app/~pools/" + pool.ID))
	s.click("tbody tr:first-child details.ask summary")
	s.click("tbody tr:first-child details.ask form button")
	s.shows("tbody tr:first-child .badge", "Draining")
	s.click(".bar form button")
	s.until(`location.pathname === "/app/login"`)
}
