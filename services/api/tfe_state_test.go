package api_test

import (
	"net/http"
	"strings"
	"testing"

	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

const someState = `{"version":4,"terraform_version":"1.11.4","serial":7,"lineage":"l-1","outputs":{
	"name":{"value":"n","type":"string"},
	"password":{"value":"geheim","type":"string","sensitive":true},
	"big":{"value":12345678901234567890,"type":"number"},
	"list":{"value":["a"],"type":["tuple",["string"]]},
	"on":{"value":true,"type":"bool"}},"resources":[]}`

// apply stores a state as the apply of a run does.
func (f *fixture) applyState(state string) run.Run {
	f.t.Helper()
	r := f.newRun(run.Options{AutoApply: true})
	f.planned(r, true)
	c := f.claim(f.mustRun(r.ID).Apply.ID)
	f.start(c)
	a, err := f.db.AttemptByToken(f.t.Context(), c.Token)
	must(f.t, err)
	_, err = f.db.PutState(f.t.Context(), a, postgres.InMemory([]byte(state)))
	must(f.t, err)
	return r
}

func TestStateVersion(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	base := "/api/v2/workspaces/" + f.ws.ID
	f.get(base+"/current-state-version", adminToken).want(http.StatusNotFound, messages.CodeNotFound).wantDetail("no state yet")
	none := decoded[resources[attributes]](f.get(base+"/current-state-version-outputs", adminToken), http.StatusOK)
	if none.Data == nil || len(none.Data) != 0 {
		t.Errorf("got outputs %v of no state, want an empty list", none.Data)
	}

	r := f.applyState(someState)
	current := decoded[resource[attributes]](f.get(base+"/current-state-version", adminToken), http.StatusOK).Data
	got := current.Attributes
	equal(t, "attributes", []any{current.Type, got["serial"], got["status"], got["terraform-version"], got["resources-processed"], got["state-version"], got["size"]},
		[]any{"state-versions", 7.0, "finalized", "1.11.4", true, 4.0, float64(len(someState))})
	equal(t, "run", current.Relationships["run"].Data, &reference{r.ID, "runs"})
	shown := decoded[resource[attributes]](f.get("/api/v2/state-versions/"+current.ID, adminToken), http.StatusOK).Data
	equal(t, "shown by id", shown, current)

	path := strings.TrimPrefix(got["hosted-state-download-url"].(string), publicURL)
	f.get(path, "").want(http.StatusUnauthorized, messages.CodeUnauthorized)
	equal(t, "download", string(f.get(path, adminToken).body), someState)
}

func TestStateOutputs(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.applyState(someState)
	all := f.get("/api/v2/workspaces/"+f.ws.ID+"/current-state-version-outputs", adminToken)
	if strings.Contains(string(all.body), "geheim") || !strings.Contains(string(all.body), "12345678901234567890") {
		t.Errorf("got %s, want no sensitive value, and numbers as they are", all.body)
	}
	type output struct {
		Name, Type string
		Value      any
		Detailed   any `json:"detailed-type"`
		Sensitive  bool
	}
	got := decoded[resources[output]](all, http.StatusOK).Data
	var outputs []output
	for _, o := range got {
		outputs = append(outputs, o.Attributes)
	}
	equal(t, "outputs", outputs, []output{
		{"big", "number", 1.2345678901234567e19, "number", false},
		{"list", "array", []any{"a"}, []any{"tuple", []any{"string"}}, false},
		{"name", "string", "n", "string", false},
		{"on", "boolean", true, "bool", false},
		{"password", "string", nil, "string", true},
	})
	secret := decoded[resource[output]](f.get("/api/v2/state-version-outputs/"+got[4].ID, adminToken), http.StatusOK).Data
	equal(t, "a sensitive output by its id", secret.Attributes, output{"password", "string", "geheim", "string", true})
	f.get("/api/v2/state-version-outputs/"+got[4].ID+"x", adminToken).want(http.StatusNotFound, messages.CodeNotFound)

	current := decoded[resource[attributes]](f.get("/api/v2/workspaces/"+f.ws.ID+"/current-state-version", adminToken), http.StatusOK).Data
	page := decoded[resources[output]](f.get("/api/v2/state-versions/"+current.ID+"/outputs?page[size]=2&page[number]=3", adminToken), http.StatusOK)
	if len(page.Data) != 1 || page.Data[0].Attributes.Name != "password" || page.Data[0].Attributes.Value != nil || page.Meta.Pagination.Pages != 3 {
		t.Errorf("got page %+v, want the fifth output alone on page 3 of 3", page)
	}
}
