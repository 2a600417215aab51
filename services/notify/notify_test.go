package notify_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gantry.example/internal/pgtest"
	"gantry.example/services/notify"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
	"gantry.example/services/servicestest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// taken is what a receiver got.
type taken struct {
	signature, delivery string
	body                []byte
}

// receiver takes what is sent to it; answer says how the n-th delivery, from 0, is answered.
func receiver(t *testing.T, answer func(n int, w http.ResponseWriter)) (url string, got <-chan taken) {
	t.Helper()
	out := make(chan taken, 100)
	n := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		out <- taken{r.Header.Get("X-TFE-Notification-Signature"), r.Header.Get("Gantry-Delivery"), body}
		answer(n, w) // one at a time: that is what is promised to a receiver
		n++
	}))
	t.Cleanup(s.Close)
	return s.URL, out
}

func always(status int) func(int, http.ResponseWriter) {
	return func(_ int, w http.ResponseWriter) { w.WriteHeader(status) }
}

func next(t *testing.T, from <-chan taken) taken {
	t.Helper()
	select {
	case got := <-from:
		return got
	case <-time.After(30 * time.Second):
		t.Fatal("nothing was sent")
		return taken{}
	}
}

// configure makes an enabled configuration of all triggers.
func configure(t *testing.T, w *servicestest.World, destination, url string) postgres.NotificationConfiguration {
	t.Helper()
	name, token, on := "ops", "the token", true
	c, err := postgres.NotificationConfiguration{}.Changed(w.Workspace.ID, postgres.NotificationChange{
		Name: &name, Destination: &destination, URL: &url, Token: &token, Enabled: &on, Triggers: postgres.Triggers(),
	})
	must(t, err)
	c, err = w.DB.CreateNotificationConfiguration(t.Context(), c, nil)
	must(t, err)
	return c
}

func loopback() notify.Networks { return notify.Networks{netip.MustParsePrefix("127.0.0.0/8")} }

// start notifies until the test ends, of what happens from now on.
func start(t *testing.T, w *servicestest.World) {
	t.Helper()
	must(t, w.DB.NoteNotifications(t.Context()))
	w.Start(notify.New(w.DB, notify.NewSender("https://gantry.example.com", loopback()), w.Log).Run)
}

type document struct {
	Version         int    `json:"payload_version"`
	ConfigurationID string `json:"notification_configuration_id"`
	RunURL          string `json:"run_url"`
	RunID           string `json:"run_id"`
	RunCreatedBy    string `json:"run_created_by"`
	WorkspaceName   string `json:"workspace_name"`
	Organization    string `json:"organization_name"`
	Notifications   []struct {
		Message   string     `json:"message"`
		Trigger   string     `json:"trigger"`
		RunStatus run.Status `json:"run_status"`
	} `json:"notifications"`
}

// TestARunIsTold: what a run does arrives once, in order, signed.
func TestARunIsTold(t *testing.T) {
	t.Parallel()
	w := servicestest.New(t)
	url, got := receiver(t, always(http.StatusOK))
	c := configure(t, w, postgres.DestinationGeneric, url)
	start(t, w)
	id, _, apply := w.Apply()
	w.Result(apply)
	var told []string
	seen := map[string]bool{}
	for range 4 {
		one := next(t, got)
		mac := hmac.New(sha512.New, []byte("the token"))
		mac.Write(one.body)
		if want := hex.EncodeToString(mac.Sum(nil)); one.signature != want {
			t.Errorf("got signature %s, want %s", one.signature, want)
		}
		if seen[one.delivery] {
			t.Errorf("delivery %s came twice", one.delivery)
		}
		seen[one.delivery] = true
		var doc document
		must(t, json.Unmarshal(one.body, &doc))
		n := doc.Notifications[0]
		told = append(told, n.Trigger+" "+string(n.RunStatus)+" "+n.Message)
		doc.Notifications = nil
		want := document{Version: 1, ConfigurationID: c.ID, RunURL: "https://gantry.example.com/app/default/network/runs/" + id, RunID: id,
			RunCreatedBy: "test", WorkspaceName: "network", Organization: "default"}
		if diff := cmp.Diff(want, doc); diff != "" {
			t.Errorf("payload (-want +got):\n%s", diff)
		}
	}
	want := []string{"run:created pending Run Created", "run:planning planning Run Planning", "run:applying applying Run Applying", "run:completed applied Run Applied"}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("what was told (-want +got):\n%s", diff)
	}
}

// TestAReceiverThatFailsIsTriedAgain: nothing is lost, what happened later waits behind it, and people see why.
func TestAReceiverThatFailsIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := servicestest.New(t)
	url, got := receiver(t, func(n int, rw http.ResponseWriter) {
		if n == 0 {
			rw.WriteHeader(http.StatusTeapot)
			_, _ = io.WriteString(rw, "not now")
		}
	})
	c := configure(t, w, postgres.DestinationSlack, url)
	start(t, w)
	r := w.NewRun(run.Options{})
	_, plan := w.Begin(r.ID)
	w.Result(plan)
	first := next(t, got)
	var slack struct{ Text string }
	must(t, json.Unmarshal(first.body, &slack))
	if !strings.HasPrefix(slack.Text, "*Run Created* in default/network: <https://gantry.example.com/app/default/network/runs/"+r.ID+"|"+r.ID+"> by test") || first.signature != "" {
		t.Errorf("got %s with signature %q, want a message of Slack without", first.body, first.signature)
	}
	w.Until(r.ID, "known to have failed", func(run.Run) bool {
		now, err := w.DB.NotificationConfiguration(t.Context(), c.ID)
		must(t, err)
		return now.Failures == 1 && now.Responses[0].Code == http.StatusTeapot && now.Responses[0].Body == "not now"
	})
	if again := next(t, got); again.delivery != first.delivery {
		t.Errorf("got delivery %s after %s failed, want the same again", again.delivery, first.delivery)
	}
	next(t, got)
	if last := next(t, got); !strings.Contains(string(last.body), "Run Needs Attention") {
		t.Errorf("got %s, want that the run needs attention", last.body)
	}
	w.Until(r.ID, "well again", func(run.Run) bool {
		now, err := w.DB.NotificationConfiguration(t.Context(), c.ID)
		must(t, err)
		return now.Failures == 0 && now.Responses[0].Successful
	})
}

// TestWhereNotificationsGo: nowhere but to the public internet and what the operator allows, whatever name or redirect leads there.
func TestWhereNotificationsGo(t *testing.T) {
	t.Parallel()
	closed := notify.NewSender("https://gantry.example.com", nil)
	for _, host := range []string{
		"127.0.0.1", "[::1]", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "[::]", "[fe80::1]", "[fd00::1]",
		"[::ffff:10.0.0.1]", "[64:ff9b::a00:1]", "[2002:a00:1::]", "224.0.0.1", "255.255.255.255",
	} {
		if err := closed.Check("http://" + host + "/"); err == nil || !strings.Contains(err.Error(), "--notification-networks") {
			t.Errorf("%s: got error %v, want it refused with the flag that allows it", host, err)
		}
	}
	for _, address := range []string{"https://8.8.8.8/", "https://[2606:4700::1111]/", "https://hooks.example.com/x?y=z"} {
		must(t, closed.Check(address))
	}
	for _, address := range []string{"", "ftp://example.com/", "https:///x", "https://me:secret@example.com/", "://", "https://" + strings.Repeat("x", 3000)} {
		if err := closed.Check(address); err == nil {
			t.Errorf("%q: got no error, want it refused", address)
		}
	}

	inside, reached := receiver(t, always(http.StatusOK))
	_, port, _ := strings.Cut(strings.TrimPrefix(inside, "http://"), ":")
	send := func(s *notify.Sender, url string) postgres.DeliveryResponse {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		return s.Verify(ctx, postgres.NotificationConfiguration{Name: "x", URL: url, Destination: postgres.DestinationGeneric})
	}
	if got := send(closed, "http://localhost:"+port+"/secret-path"); got.Successful || got.Code != 0 ||
		!strings.Contains(got.Body, "--notification-networks") || strings.Contains(got.Body, "secret-path") {
		t.Errorf("a name that leads to this machine: got %+v, want it refused when it is dialed, and the address not told", got)
	}
	redirect, _ := receiver(t, func(_ int, w http.ResponseWriter) {
		w.Header().Set("Location", inside)
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	if got := send(notify.NewSender("", loopback()), redirect); got.Successful || got.Code != http.StatusTemporaryRedirect || got.Headers["Location"] == nil {
		t.Errorf("a redirect: got %+v, want it shown and not followed", got)
	}
	if len(reached) != 0 {
		t.Error("the receiver inside was reached, want it left alone")
	}
	if got := send(notify.NewSender("", loopback()), inside); !got.Successful {
		t.Errorf("an allowed network: got %+v, want it reached", got)
	}
}
