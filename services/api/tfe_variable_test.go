package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"gantry.example/messages"
)

func TestVariables(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	path := "/api/v2/workspaces/" + f.ws.ID + "/vars"
	made := decoded[resource[attributes]](f.post(path, adminToken, doc("vars", attributes{
		"key": "zones", "value": `["a"]`, "category": "terraform", "hcl": true, "description": "d",
	})), http.StatusCreated).Data
	version := made.Attributes["version-id"]
	equal(t, "created", made.Attributes, attributes{
		"key": "zones", "value": `["a"]`, "category": "terraform", "hcl": true, "sensitive": false, "description": "d", "version-id": version,
	})
	equal(t, "configurable", made.Relationships["configurable"].Data, &reference{f.ws.ID, "workspaces"})
	secret := decoded[resource[attributes]](f.post(path, adminToken, doc("vars", attributes{
		"key": "TOKEN", "value": "geheim", "category": "env", "sensitive": true,
	})), http.StatusCreated).Data
	for name, a := range map[string]answer{
		"shown":   f.get(path+"/"+secret.ID, adminToken),
		"changed": f.patch("/api/v2/vars/"+secret.ID, adminToken, doc("vars", attributes{"value": "geheimer"})),
		"listed":  f.get(path, adminToken),
		"all":     f.get("/api/v2/workspaces/"+f.ws.ID+"/all-vars", adminToken),
		"older":   f.get("/api/v2/vars?filter%5Borganization%5D%5Bname%5D=default&filter%5Bworkspace%5D%5Bname%5D=network", adminToken),
	} {
		if a.status != http.StatusOK || strings.Contains(string(a.body), "geheim") || !strings.Contains(string(a.body), `"value":null`) {
			t.Errorf("%s: got %d %s, want the value of TOKEN as null", name, a.status, a.body)
		}
	}
	all := decoded[resources[attributes]](f.get(path+"?page%5Bsize%5D=1&page%5Bnumber%5D=2", adminToken), http.StatusOK)
	equal(t, "second page", []any{len(all.Data), all.Data[0].Attributes["key"], all.Meta.Pagination.Count}, []any{1, "zones", 2})
	f.call("DELETE", path+"/"+made.ID, adminToken, nil).want(http.StatusNoContent, "")
	f.get(path+"/"+made.ID, adminToken).want(http.StatusNotFound, messages.CodeNotFound)
}

func TestVariablesThatAreRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	path := "/api/v2/workspaces/" + f.ws.ID + "/vars"
	f.post(path, adminToken, doc("vars", attributes{"key": "x", "value": "1", "category": "terraform"})).want(http.StatusCreated, "")
	for _, tt := range []struct {
		in   attributes
		code messages.Code
		says string
	}{
		{attributes{"key": "x", "value": "2", "category": "terraform"}, messages.CodeNameTaken, `field key: there is a terraform variable \"x\" already`},
		{attributes{"key": "x", "value": "2"}, messages.CodeInvalid, "field category: missing"},
		{attributes{"key": "x", "category": "policy-set"}, messages.CodeInvalid, "field category: "},
		{attributes{"value": "2", "category": "env"}, messages.CodeInvalid, "field key: missing"},
		{attributes{"key": "LD_PRELOAD", "value": "geheim", "category": "env"}, messages.CodeInvalid, "field key: the environment variable LD_PRELOAD cannot be set"},
		{attributes{"key": "y", "value": "[geheim", "category": "terraform", "hcl": true}, messages.CodeInvalid, `field value: the value of \"y\" is not an HCL expression`},
		{attributes{"key": "y", "category": "terraform", "hcl": "yes"}, messages.CodeInvalid, "field hcl: want true or false"},
	} {
		a := f.post(path, adminToken, doc("vars", tt.in)).want(http.StatusUnprocessableEntity, tt.code)
		if !strings.Contains(string(a.body), tt.says) || strings.Contains(string(a.body), "geheim") {
			t.Errorf("%v: got %s, want %q and no value", tt.in, a.body, tt.says)
		}
	}
	f.get("/api/v2/workspaces/ws-none/vars", adminToken).want(http.StatusNotFound, messages.CodeNotFound)
	f.post("/api/v2/vars", adminToken, doc("vars", attributes{"key": "x", "category": "env"})).want(http.StatusUnprocessableEntity, messages.CodeInvalid)
}

// setDocument is a variable set, whose relationships are lists too.
type setDocument struct {
	Data struct {
		ID         string     `json:"id"`
		Attributes attributes `json:"attributes"`
	} `json:"data"`
}

func TestVariableSets(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	created := f.post("/api/v2/organizations/default/varsets", adminToken,
		doc("varsets", attributes{"name": "AWS keys", "description": "d", "global": false, "priority": true}))
	made := decoded[setDocument](created, http.StatusCreated).Data
	set := "/api/v2/varsets/" + made.ID
	equal(t, "created", []any{made.Attributes["name"], made.Attributes["global"], made.Attributes["priority"], made.Attributes["var-count"]}, []any{"AWS keys", false, true, 0.0})
	if want := `"parent":{"data":{"type":"organizations","id":"default"}}`; !strings.Contains(string(created.body), want) {
		t.Errorf("got %s, want %s in it", created.body, want)
	}
	one := decoded[resource[attributes]](f.post(set+"/relationships/vars", adminToken, doc("vars", attributes{
		"key": "AWS_SECRET_ACCESS_KEY", "value": "geheim", "category": "env", "sensitive": true,
	})), http.StatusCreated).Data
	equal(t, "varset", one.Relationships["varset"].Data, &reference{made.ID, "varsets"})

	list := func(path string) int {
		t.Helper()
		var many struct {
			Data []json.RawMessage `json:"data"`
		}
		f.get(path, adminToken).into(&many)
		return len(many.Data)
	}
	ofWorkspace := "/api/v2/workspaces/" + f.ws.ID
	workspaces := map[string]any{"data": []any{map[string]string{"type": "workspaces", "id": f.ws.ID}}}
	f.post(set+"/relationships/workspaces", adminToken, workspaces).want(http.StatusNoContent, "")
	f.post(set+"/relationships/workspaces", adminToken, workspaces).want(http.StatusNoContent, "")
	equal(t, "given", []int{list(ofWorkspace + "/varsets"), list(ofWorkspace + "/all-vars"), list(ofWorkspace + "/vars")}, []int{1, 1, 0})
	shown := f.get(set+"?include=vars,workspaces", adminToken)
	for _, want := range []string{`"workspaces":{"data":[{"type":"workspaces","id":"` + f.ws.ID, `"included":[{"type":"vars"`, `"name":"network"`} {
		if !strings.Contains(string(shown.body), want) {
			t.Errorf("got %s, want %s in it", shown.body, want)
		}
	}
	taken := map[string]any{"data": map[string]any{"type": "varsets", "relationships": map[string]any{"workspaces": map[string]any{"data": []any{}}}}}
	f.patch(set, adminToken, taken).want(http.StatusOK, "")
	equal(t, "taken", list(ofWorkspace+"/varsets"), 0)
	f.patch(set, adminToken, doc("varsets", attributes{"global": true})).want(http.StatusOK, "")
	equal(t, "global", list(ofWorkspace+"/varsets"), 1)

	f.post("/api/v2/organizations/default/varsets", adminToken, doc("varsets", attributes{"name": "aws keys"})).want(http.StatusUnprocessableEntity, messages.CodeNameTaken)
	f.post("/api/v2/organizations/default/varsets", adminToken, doc("varsets", attributes{"name": " "})).want(http.StatusUnprocessableEntity, messages.CodeInvalid)
	f.post(set+"/relationships/workspaces", adminToken, map[string]any{"data": []any{map[string]string{"type": "workspaces", "id": "ws-none"}}}).want(http.StatusNotFound, messages.CodeNotFound)
	f.post(set+"/relationships/workspaces", adminToken, map[string]any{"data": []any{map[string]string{"type": "projects", "id": "x"}}}).want(http.StatusUnprocessableEntity, messages.CodeInvalid)
	f.call("DELETE", set+"/relationships/vars/"+one.ID, adminToken, nil).want(http.StatusNoContent, "")
	f.call("DELETE", set, adminToken, nil).want(http.StatusNoContent, "")
	f.get(set, adminToken).want(http.StatusNotFound, messages.CodeNotFound)
}
