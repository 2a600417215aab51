package tfe_test

import (
	"crypto/hmac"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/go-tfe"
)

// TestNotificationsArrive has a receiver told what a run does, from its verification to the end, signed. The server allows
// loopback addresses.
func TestNotificationsArrive(t *testing.T) {
	t.Parallel()
	c := client(t)
	ctx := t.Context()
	w := workspace(t, c, "notifications")
	const token = "a secret of both"
	told := make(chan string, 20)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mac := hmac.New(sha512.New, []byte(token))
		mac.Write(body)
		if got, want := r.Header.Get("X-TFE-Notification-Signature"), hex.EncodeToString(mac.Sum(nil)); got != want {
			t.Errorf("got signature %q, want %q", got, want)
		}
		var doc struct {
			Notifications []struct{ Trigger string }
		}
		if err := json.Unmarshal(body, &doc); err != nil || len(doc.Notifications) != 1 {
			t.Errorf("got %s (%v), want a document with one notification", body, err)
			return
		}
		told <- doc.Notifications[0].Trigger
	}))
	t.Cleanup(receiver.Close)
	nc, err := c.NotificationConfigurations.Create(ctx, w.ID, tfe.NotificationConfigurationCreateOptions{
		DestinationType: tfe.NotificationDestination(tfe.NotificationDestinationTypeGeneric), Enabled: tfe.Bool(true), Name: tfe.String("ops"),
		Token: tfe.String(token), URL: tfe.String(receiver.URL),
		Triggers: []tfe.NotificationTriggerType{tfe.NotificationTriggerCreated, tfe.NotificationTriggerErrored},
	})
	must(t, err)
	equal(t, "token", nc.Token, "")
	// Not nc.DeliveryResponses: go-tfe drops those that have headers, which TFE's have.
	nc, err = c.NotificationConfigurations.Update(ctx, nc.ID, tfe.NotificationConfigurationUpdateOptions{
		Triggers: []tfe.NotificationTriggerType{tfe.NotificationTriggerCreated, tfe.NotificationTriggerPlanning, tfe.NotificationTriggerCompleted},
	})
	must(t, err)
	_, err = c.NotificationConfigurations.Verify(ctx, nc.ID)
	must(t, err)
	cv := upload(t, c, w, `resource "terraform_data" "x" {}`, true)
	r, err := c.Runs.Create(ctx, tfe.RunCreateOptions{Workspace: w, ConfigurationVersion: cv})
	must(t, err)
	await(t, c, r.ID, tfe.RunPlannedAndFinished)
	var got []string
	for range 6 {
		select {
		case one := <-told:
			got = append(got, one)
		case <-time.After(time.Minute):
			t.Fatalf("got %q, want more", got)
		}
	}
	if want := []string{"verification", "verification", "verification", "run:created", "run:planning", "run:completed"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
