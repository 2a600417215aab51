package dashboard_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

const jsonPlan = `{"format_version":"1.2","variables":{"a":{"value":[1,{"resource_changes":"x"}]}},"planned_values":{},"resource_drift":null,"resource_changes":[
 {"address":"aws_s3_bucket.logs","mode":"managed","change":{"actions":["create"],"before":null,"after":{"bucket":"logs <b>","tags":{"env":"prod"}},"after_unknown":{"arn":true,"tags":{}},"before_sensitive":false,"after_sensitive":{"tags":{}}}},
 {"address":"aws_db.main","mode":"managed","change":{"actions":["update"],"before":{"size":10,"password":"old-hunter2","name":"db"},"after":{"size":20,"password":"new-hunter2","name":"db"},"after_unknown":{},"before_sensitive":{"password":true},"after_sensitive":{"password":true}}},
 {"address":"aws_vm.old","mode":"managed","action_reason":"replace_because_cannot_update","change":{"actions":["delete","create"],"replace_paths":[["image"]],"before":{"image":"a","addresses":{"private":"10.0.0.1"}},"after":{"image":"b","init":"token=topsecretvalue"},"after_unknown":{"id":true,"addresses":true},"before_sensitive":{},"after_sensitive":{}}},
 {"address":"aws_vm.same","mode":"managed","change":{"actions":["no-op"],"before":{"image":"a"},"after":{"image":"a"}}}],
 "output_changes":{"url":{"actions":["create"],"before":null,"after":"https://example.com","after_unknown":false,"before_sensitive":false,"after_sensitive":false},
  "key":{"actions":["create"],"before":null,"after":"hunter2-key","after_unknown":false,"before_sensitive":true,"after_sensitive":true}},
 "prior_state":{"values":{"root_module":{"resources":[{"address":"aws_vm.prior"}]}}},"errored":false}`

func TestThePlanByResource(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	_, err := f.db.CreateVariable(t.Context(), postgres.Holder{WorkspaceID: f.ws.ID}, postgres.NewVariable{Variable: wire.Variable{
		Key: "token", Value: "topsecretvalue", Category: wire.CategoryTerraform, Sensitive: true,
	}})
	must(t, err)
	r := f.newRun("a change")
	f.enter("rita", postgres.RoleRead)
	page := "/app/default/network/runs/" + r.ID
	f.get(page).want(http.StatusOK, `href="`+page+`/plan"`)
	f.get(page+"/plan").want(http.StatusOK, "not ready yet", `hx-trigger="every`)
	c, err := f.db.Claim(t.Context(), messages.LocalPool, wire.ClaimRequest{V: 1, TaskID: r.Plan.ID, Worker: "w1", Nonce: r.Plan.ID})
	must(t, err)
	a, err := f.db.AttemptByToken(t.Context(), c.Token)
	must(t, err)
	_, err = f.db.Start(t.Context(), a, wire.StartRequest{V: 1, Nonce: "runner", Base: c.Inputs.Base})
	must(t, err)
	f.give(r.ID, run.Finish{AttemptID: a.ID, Outcome: run.Succeeded, HasChanges: true, Changes: &run.Changes{Add: 1}})
	f.get(page+"/plan").want(http.StatusOK, "is being prepared", `hx-trigger="every`)
	must(t, f.db.PutPlan(t.Context(), a, postgres.BlobPlanJSON, postgres.InMemory([]byte(jsonPlan))))
	shown := f.get(page+"/plan").want(http.StatusOK, "aws_s3_bucket.logs", "is created", "logs &lt;b&gt;", "tags.env", "known after apply",
		"aws_db.main", "is updated in place", "(sensitive)", "size", "10", "20", "aws_vm.old", "is replaced", "is replaced, because it cannot be changed in place", "image <em class=\"forces\">", `<td>addresses.private</td><td class="old">10.0.0.1</td><td class="new"><em>(known after apply)</em>`, "token=***",
		"https://example.com").without("hunter2", "topsecret", "aws_vm.same", "hx-trigger", "logs <b>")
	if strings.Contains(shown.body, `<td>name</td>`) || strings.Contains(shown.body, `<td>addresses</td>`) {
		t.Errorf("got an attribute that stays as it is:\n%s", shown.body)
	}
	large := jsonPlan + strings.Repeat(" ", 32<<20)
	must(t, f.db.PutPlan(t.Context(), a, postgres.BlobPlanJSON, postgres.InMemory([]byte(large))))
	f.get(page+"/plan").want(http.StatusOK, "too large to be shown").without("aws_vm.old", "hx-trigger")
}

const stateOne = `{"version":4,"terraform_version":"1.11.4","serial":1,"lineage":"l","outputs":{"url":{"value":"http://a","type":"string"},"key":{"value":"hunter2","type":"string","sensitive":true}},
 "resources":[{"mode":"managed","type":"random_pet","name":"name","provider":"provider[\"registry.terraform.io/hashicorp/random\"]","instances":[{"index_key":0,"attributes":{"id":"fox","pin":"hunter2"},"sensitive_attributes":[[{"type":"get_attr","value":"pin"}]]}]},
 {"module":"module.net","mode":"data","type":"dns","name":"zone","provider":"p","instances":[{"attributes":{"id":"<script>"},"sensitive_attributes":[]}]}]}`

func TestStatesAreShownComparedAndRolledBack(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	f.enter("wanda", postgres.RoleWrite)
	const list = "/app/default/network/states"
	f.get(list).want(http.StatusOK, "No state yet")
	var ids []string
	for _, body := range []string{stateOne, strings.NewReplacer(`"serial":1`, `"serial":2`, "fox", "bear", `"pin":"hunter2"`, `"pin":"hunter3"`, "http://a", "http://b").Replace(stateOne)} {
		sv, err := f.db.PushState(t.Context(), postgres.StatePush{WorkspaceID: f.ws.ID, Body: []byte(body), By: "ada"})
		must(t, err)
		ids = append(ids, sv.ID)
	}
	old := list + "/" + ids[0]
	f.get(list).want(http.StatusOK, old, "current", "ada")
	f.get(old).want(http.StatusOK, "random_pet.name[0]", "fox", "(sensitive)", "module.net.data.dns.zone", "&lt;script&gt;", "http://a", "Roll back to serial 1").without("hunter2", "<script>\"")
	f.get(list+"/"+ids[1]+"?against="+ids[0]).want(http.StatusOK, "from serial 1 to 2", "fox", "bear", "http://b").without("hunter", "Roll back")
	down := f.get(old + "/download").want(http.StatusOK)
	if down.body != stateOne || !strings.Contains(down.header.Get("Content-Disposition"), "network-1.tfstate") {
		t.Errorf("got %q %s, want the state as a file", down.header.Get("Content-Disposition"), down.body)
	}
	f.post(old).leadsTo(http.StatusSeeOther, list)
	f.get(list).want(http.StatusOK, ">3</a>", "wanda")
	f.get(list+"/sv-none").want(http.StatusNotFound, "has no state version")
	f.enter("rita", postgres.RoleRead)
	f.get(old).want(http.StatusOK).without("Roll back")
	f.post(old).want(http.StatusForbidden, "role write")
	f.enter("otto", postgres.RoleNone)
	f.get(old + "/download").want(http.StatusNotFound)
}

// TestALargeStateIsNotShown, which would take the server several times its memory; nor is it compared, but it can be downloaded.
func TestALargeStateIsNotShown(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	f.enter("rita", postgres.RoleRead)
	large := strings.NewReplacer(`"serial":1`, `"serial":2`, "fox", strings.Repeat("fox", 12<<20)).Replace(stateOne)
	var at []string
	for _, body := range []string{stateOne, large} {
		sv, err := f.db.PushState(t.Context(), postgres.StatePush{WorkspaceID: f.ws.ID, Body: []byte(body), By: "ada"})
		must(t, err)
		at = append(at, sv.ID)
	}
	const list = "/app/default/network/states/"
	f.get(list+at[1]).want(http.StatusOK, "too large to be shown", "Download").without("random_pet", "no resources")
	f.get(list+at[0]+"?against="+at[1]).want(http.StatusUnprocessableEntity, "too many to be compared")
	if down := f.get(list + at[1] + "/download").want(http.StatusOK); down.body != large {
		t.Errorf("got a download of %d bytes, want the %d of the state", len(down.body), len(large))
	}
}

// A plan of more resources than a page shows leaves out none that is destroyed.
func TestALargePlanShowsWhatIsDestroyed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	r := f.newRun("much")
	f.enter("rita", postgres.RoleRead)
	c, err := f.db.Claim(t.Context(), messages.LocalPool, wire.ClaimRequest{V: 1, TaskID: r.Plan.ID, Worker: "w1", Nonce: r.Plan.ID})
	must(t, err)
	a, err := f.db.AttemptByToken(t.Context(), c.Token)
	must(t, err)
	_, err = f.db.Start(t.Context(), a, wire.StartRequest{V: 1, Nonce: "runner", Base: c.Inputs.Base})
	must(t, err)
	f.give(r.ID, run.Finish{AttemptID: a.ID, Outcome: run.Succeeded, HasChanges: true, Changes: &run.Changes{Add: 130, Destroy: 1}})
	one := func(address, action string) string {
		return `{"address":"` + address + `","mode":"managed","change":{"actions":["` + action + `"],"before":null,"after":null}}`
	}
	var changes []string
	for i := range 130 {
		changes = append(changes, one(fmt.Sprintf("aws_vm.new%d", i), "create"))
	}
	plan := `{"resource_changes":[` + strings.Join(append(changes, one("aws_db.main", "delete")), ",") + `]}`
	must(t, f.db.PutPlan(t.Context(), a, postgres.BlobPlanJSON, postgres.InMemory([]byte(plan))))
	page := "/app/default/network/runs/" + r.ID + "/plan"
	f.get(page).want(http.StatusOK, "aws_db.main", "And 31 more").without("aws_vm.new99")
	f.get(page+"?all").want(http.StatusOK, "aws_db.main", "aws_vm.new129").without(" more.")
}
