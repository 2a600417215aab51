package api_test

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"

	"gantry.example/messages"
	"gantry.example/services/run"
)

// stateDoc is what clients of TFE send to create a state version.
func stateDoc(state string, attrs attributes) any {
	sum := md5.Sum([]byte(state))
	all := attributes{"md5": hex.EncodeToString(sum[:]), "state": base64.StdEncoding.EncodeToString([]byte(state))}
	for name, value := range attrs {
		all[name] = value
	}
	return doc("state-versions", all)
}

func TestStatePushAndRollback(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	path := "/api/v2/workspaces/" + f.ws.ID + "/state-versions"
	const one, two = `{"version":4,"serial":1,"lineage":"l","resources":[]}`, `{"version":4,"serial":2,"lineage":"l","resources":[]}`
	first := decoded[resource[attributes]](f.post(path, adminToken, stateDoc(one, attributes{"serial": 1, "lineage": "l", "force": false})), http.StatusCreated).Data
	equal(t, "pushed", []any{first.Attributes["serial"], first.Attributes["status"], first.Attributes["pushed-by"], first.Relationships["workspace"].Data.ID},
		[]any{1.0, "finalized", "test", f.ws.ID})
	second := decoded[resource[attributes]](f.post(path, adminToken, stateDoc(two, nil)), http.StatusCreated).Data

	back := decoded[resource[attributes]](f.patch(path, adminToken, doc("state-versions", nil, "rollback-state-version", "state-versions/"+first.ID)), http.StatusOK).Data
	equal(t, "rolled back", back.Attributes["serial"], any(3.0))
	current := decoded[resource[attributes]](f.get("/api/v2/workspaces/"+f.ws.ID+"/current-state-version", adminToken), http.StatusOK).Data
	equal(t, "current", current, back)

	for _, list := range []string{path, "/api/v2/state-versions?filter[organization][name]=default&filter[workspace][name]=network"} {
		got := decoded[resources[attributes]](f.get(list, adminToken), http.StatusOK)
		var ids []string
		for _, sv := range got.Data {
			ids = append(ids, sv.ID)
		}
		equal(t, "list", ids, []string{back.ID, second.ID, first.ID})
		equal(t, "count", got.Meta.Pagination.Count, 3)
	}
	for _, c := range []struct {
		name   string
		body   any
		status int
		code   messages.Code
		says   string
	}{
		{"no state", doc("state-versions", attributes{"serial": 4}), 422, messages.CodeInvalid, "param is missing or the value is empty: state"},
		{"not base64", doc("state-versions", attributes{"state": "{}"}), 422, messages.CodeInvalid, "field state: not base64"},
		{"no JSON", stateDoc("x", nil), 422, messages.CodeInvalid, "field state"},
		{"no lineage", stateDoc(`{"version":4,"serial":9}`, nil), 422, messages.CodeInvalid, "lineage"},
		{"another MD5", stateDoc(one, attributes{"md5": "00"}), 422, messages.CodeInvalid, "field md5"},
		{"an old serial said", stateDoc(strings.Replace(two, "2", "9", 1), attributes{"serial": 1}), 409, messages.CodeStateConflict, "serial 1"},
		{"another lineage said", stateDoc(two, attributes{"lineage": "m"}), 409, messages.CodeStateConflict, "lineage m"},
		{"an old serial", stateDoc(two, nil), 409, messages.CodeStateConflict, "serial 2"},
		{"another lineage", stateDoc(strings.Replace(two, `"l"`, `"m"`, 1), nil), 409, messages.CodeStateConflict, "lineage m"},
	} {
		f.post(path, adminToken, c.body).want(c.status, c.code).wantDetail(c.says)
	}
	said := decoded[resource[attributes]](f.post(path, adminToken, stateDoc(two, attributes{"serial": 7})), http.StatusCreated).Data
	equal(t, "the serial that is said", said.Attributes["serial"], any(7.0))
	if body := string(f.get("/api/v2/state-versions/"+said.ID+"/download", adminToken).body); !strings.Contains(body, `"serial": 7`) {
		t.Errorf("got the state %s, want it with the serial 7", body)
	}
	f.post(path, adminToken, stateDoc(two, attributes{"force": true})).want(http.StatusCreated, "")
	f.patch(path, adminToken, doc("state-versions", nil)).want(http.StatusUnprocessableEntity, messages.CodeInvalid).wantDetail("rollback-state-version")
	f.patch(path, adminToken, doc("state-versions", nil, "rollback-state-version", "state-versions/sv-none")).want(http.StatusNotFound, messages.CodeNotFound)
	f.get("/api/v2/state-versions?filter[workspace][name]=network", adminToken).want(http.StatusUnprocessableEntity, messages.CodeInvalid).wantDetail("filter[organization][name]")

	r := f.newRun(run.Options{})
	f.post(path, adminToken, stateDoc(one, attributes{"force": true})).want(http.StatusConflict, messages.CodeWorkspaceLocked).wantDetail(r.ID)
	f.patch(path, adminToken, doc("state-versions", nil, "rollback-state-version", "state-versions/"+first.ID)).
		want(http.StatusConflict, messages.CodeWorkspaceLocked).wantDetail(r.ID)
}
