package api_test

import (
	"net/http"
	"net/url"
	"testing"

	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

func TestRunsAreFiltered(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx := t.Context()
	apply := f.newRun(run.Options{})
	f.transition(apply.ID, run.Cancel{})
	plan, err := f.db.CreateRun(ctx, postgres.NewRun{WorkspaceID: f.ws.ID, Options: run.Options{PlanOnly: true}, CreatedBy: "ann", Source: "tfe-api", Message: "Before the Move"})
	must(t, err)
	_, err = f.db.CreateWorkspace(ctx, postgres.NewWorkspace{Organization: "default", Name: "empty"})
	must(t, err)
	for filter, want := range map[string][]string{
		"":                                                        {plan.ID, apply.ID},
		"filter[status]=canceled":                                 {apply.ID},
		"filter[status_group]=final":                              {apply.ID},
		"filter[status_group]=non_final":                          {plan.ID},
		"filter[operation]=plan_only,save_plan":                   {plan.ID},
		"filter[operation]=plan_and_apply":                        {apply.ID},
		"filter[source]=tfe-api":                                  {plan.ID},
		"filter[workspace_names]=NETWORK":                         {plan.ID, apply.ID},
		"filter[workspace_names]=empty":                           {},
		"filter[agent_pool_names]=local":                          {plan.ID, apply.ID},
		"filter[agent_pool_names]=other":                          {},
		"search[user]=ann":                                        {plan.ID},
		"search[user]=bob":                                        {},
		"search[commit]=abc":                                      {},
		"search[basic]=the+move":                                  {plan.ID},
		"search[basic]=" + apply.ID:                               {apply.ID},
		"filter[status]=plan_queued,canceled&search[basic]=move":  {plan.ID},
		"filter[source]=tfe-api&page[number]=2&filter[operation]": {},
	} {
		got := decoded[resources[attributes]](f.get("/api/v2/organizations/default/runs?"+encoded(t, filter), adminToken), http.StatusOK).Data
		ids := []string{}
		for _, one := range got {
			ids = append(ids, one.ID)
		}
		equal(t, filter, ids, want)
	}
}

// encoded is a query as clients write it.
func encoded(t *testing.T, query string) string {
	t.Helper()
	q, err := url.ParseQuery(query)
	must(t, err)
	return q.Encode()
}

func TestResourcesOfTheCurrentState(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	path := "/api/v2/workspaces/" + f.ws.ID + "/resources"
	equal(t, "without a state", len(decoded[resources[attributes]](f.get(path, adminToken), http.StatusOK).Data), 0)
	body := `{"version":4,"terraform_version":"1.11.4","serial":1,"lineage":"l","outputs":{},"resources":[
		{"mode":"managed","type":"terraform_data","name":"x","provider":"provider[\"terraform.io/builtin/terraform\"]","instances":[{"index_key":"a"},{"index_key":1},{"deposed":"01"}]},
		{"mode":"data","type":"http","name":"y","provider":"provider[\"registry.terraform.io/hashicorp/http\"]","instances":[{}]},
		{"module":"module.m.module.n[0]","mode":"managed","type":"aws_vpc","name":"v","provider":"provider[\"registry.terraform.io/hashicorp/aws\"].east","instances":[{}]}]}`
	_, err := f.db.PushState(t.Context(), postgres.StatePush{WorkspaceID: f.ws.ID, Body: []byte(body), By: "test"})
	must(t, err)
	var got []string
	for _, one := range decoded[resources[attributes]](f.get(path, adminToken), http.StatusOK).Data {
		a := one.Attributes
		got = append(got, a["address"].(string)+" "+a["module"].(string)+" "+a["provider"].(string))
	}
	equal(t, "resources", got, []string{`terraform_data.x["a"] root builtin/terraform`, `terraform_data.x[1] root builtin/terraform`, `m.n[0].aws_vpc.v m.n[0] hashicorp/aws`})
	for page, want := range map[string]int{"2": 1, "3": 0, "9223372036854775807": 0} {
		equal(t, "page "+page, len(decoded[resources[attributes]](f.get(path+"?page[size]=2&page[number]="+page, adminToken), http.StatusOK).Data), want)
	}
}

func TestSettingsAreGivenBack(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	path := "/api/v2/workspaces/" + f.ws.ID
	mode := func(attrs attributes) string {
		shown := decoded[resource[attributes]](f.patch(path, adminToken, doc("workspaces", attrs)), http.StatusOK).Data.Attributes
		return shown["execution-mode"].(string)
	}
	equal(t, "on users' machines", mode(attributes{"execution-mode": "local", "setting-overwrites": attributes{"execution-mode": true, "agent-pool": true}}), "local")
	equal(t, "as the organization says", mode(attributes{"setting-overwrites": attributes{"execution-mode": false, "agent-pool": false}}), "remote")
	f.patch(path, adminToken, doc("workspaces", attributes{"setting-overwrites": attributes{"execution-mode": "no"}})).want(http.StatusUnprocessableEntity, "invalid")
}
