package api_test

import (
	"bytes"
	"context"
	"net/http"
	"testing"

	"gantry.example/messages"
	"gantry.example/services/postgres"
)

// Check implements api.Receivers.
func (f *fixture) Check(url string) error {
	if url == "" {
		return &postgres.Error{Code: messages.CodeInvalid, Message: "field url: missing"}
	}
	return nil
}

// Verify implements api.Receivers.
func (f *fixture) Verify(context.Context, postgres.NotificationConfiguration) postgres.DeliveryResponse {
	if f.receives {
		return postgres.DeliveryResponse{Code: 204, Successful: true}
	}
	return postgres.DeliveryResponse{Code: 503, Body: "come back later"}
}

func TestNotificationConfigurations(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	path := "/api/v2/workspaces/" + f.ws.ID + "/notification-configurations"
	body := func(change attributes) any {
		all := attributes{"name": "ops", "destination-type": "generic", "enabled": true, "url": "https://hooks.example.com/T1", "token": "the token", "triggers": []string{"run:errored"}}
		for name, value := range change {
			all[name] = value
		}
		return doc("notification-configurations", all)
	}
	f.post(path, adminToken, body(nil)).want(http.StatusUnprocessableEntity, messages.CodeInvalid).wantDetail("come back later")
	for name, change := range map[string]attributes{
		"destination-type": {"destination-type": "email"}, "triggers": {"triggers": []string{"assessment:drifted"}}, "name": {"name": ""}, "url": {"url": ""},
	} {
		f.post(path, adminToken, body(change)).want(http.StatusUnprocessableEntity, messages.CodeInvalid).wantDetail("field " + name)
	}
	equal(t, "configurations after refusals", len(decoded[resources[attributes]](f.get(path, adminToken), http.StatusOK).Data), 0)

	f.receives = true
	made := f.post(path, adminToken, body(nil)).want(http.StatusCreated, "")
	if bytes.Contains(made.body, []byte("the token")) {
		t.Errorf("got %s, want the token never shown", made.body)
	}
	got := decoded[resource[attributes]](made, http.StatusCreated).Data
	equal(t, "url", got.Attributes["url"], any("https://hooks.example.com/T1"))
	one := "/api/v2/notification-configurations/" + got.ID

	f.receives = false
	f.patch(one, adminToken, doc("notification-configurations", attributes{"name": "other"})).want(http.StatusUnprocessableEntity, messages.CodeInvalid)
	f.call("POST", one+"/actions/verify", adminToken, nil).want(http.StatusUnprocessableEntity, messages.CodeInvalid)
	shown := decoded[resource[attributes]](f.get(one, adminToken), http.StatusOK).Data.Attributes
	equal(t, "name of one that was not verified", shown["name"], any("ops"))
	equal(t, "failures", shown["failures"], any(1.0))
	newest := shown["delivery-responses"].([]any)[0].(map[string]any)
	equal(t, "newest response", newest["code"].(string)+newest["successful"].(string), "503false")

	f.patch(one, adminToken, doc("notification-configurations", attributes{"enabled": false, "triggers": []string{}})).want(http.StatusOK, "")
	f.receives = true
	f.call("POST", one+"/actions/verify", adminToken, nil).want(http.StatusOK, "")
	equal(t, "page 2", len(decoded[resources[attributes]](f.get(path+"?page[number]=2", adminToken), http.StatusOK).Data), 0)
	f.call("DELETE", one, adminToken, nil).want(http.StatusNoContent, "")
	f.get(one, adminToken).want(http.StatusNotFound, messages.CodeNotFound)
}
