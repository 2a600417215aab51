package browser_test

import (
	"fmt"
	"log/slog"
	"testing"

	"github.com/chromedp/chromedp"

	"gantry.example/internal/bus"
	"gantry.example/messages"
	"gantry.example/services/intake"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// token is one of the organization with the role.
func (s *stage) token(role postgres.Role) string {
	s.t.Helper()
	o, err := s.db.Organization(s.t.Context(), "default")
	must(s.t, err)
	_, secret, err := s.db.CreateToken(s.t.Context(), postgres.NewToken{Description: string(role), OrganizationID: o.ID, Role: role})
	must(s.t, err)
	return secret
}

// member is a token of somebody who has the role in the organization.
func (s *stage) member(role postgres.Role) string {
	s.t.Helper()
	ctx := s.t.Context()
	o, err := s.db.Organization(ctx, "default")
	must(s.t, err)
	u, err := s.db.CreateUser(ctx, postgres.NewUser{Username: string(role)})
	must(s.t, err)
	_, err = s.db.SetMember(ctx, o.ID, u.ID, role)
	must(s.t, err)
	_, secret, err := s.db.CreateToken(ctx, postgres.NewToken{Description: string(role), UserID: u.ID})
	must(s.t, err)
	return secret
}

// A message that could not be used becomes a run, once its cause is mended and a person says so.
func TestADeadLetterIsReplayed(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	b := s.nats.Bus(t)
	must(t, b.EnsureIntake(t.Context(), 1))
	in := intake.New(s.db, b, 1, false, nil, slog.New(slog.DiscardHandler))
	ended := make(chan error, 1)
	ctx := t.Context()
	go func() { ended <- in.Run(ctx) }()
	t.Cleanup(func() {
		if err := <-ended; err != nil {
			t.Error("intake:", err)
		}
	})
	o, err := s.db.Organization(ctx, "default")
	must(t, err)
	nc, err := bus.Connect(bus.ConnectConfig{URL: s.nats.ClientURL(), Token: s.token(postgres.RoleWrite), Name: o.ID})
	must(t, err)
	t.Cleanup(nc.Close)
	_, err = nc.RequestWithContext(ctx, messages.IntakeSubject(o.ID), fmt.Appendf(nil, `{"workspace_id":%q,"message":"from a message"}`, s.ws.ID)) // which has no configuration
	must(t, err)

	s.logIn("/app/~streams")
	s.until(`document.querySelector("button[name=replay]") || location.reload()`)
	s.shows("#letters + table", string(messages.CodeConfigurationMissing))
	cv, err := s.db.CreateConfigurationVersion(ctx, postgres.NewConfigurationVersion{WorkspaceID: s.ws.ID})
	must(t, err)
	_, err = s.db.UploadConfiguration(ctx, cv.ID, postgres.InMemory([]byte("an archive")))
	must(t, err)
	s.click("button[name=replay]")
	s.shows("main", "No dead letters")
	s.do(chromedp.Navigate(s.server.URL + "/app/default/network/runs"))
	s.until(`document.querySelector("main").innerText.includes("from a message") || location.reload()`)
}

// Whoever may only read sees everything and no button that would be refused.
func TestAReaderSeesNoButtons(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	ctx := t.Context()
	sv, err := s.db.PushState(ctx, postgres.StatePush{WorkspaceID: s.ws.ID, Body: []byte(`{"version":4,"serial":1,"lineage":"l","outputs":{},"resources":[]}`), By: "ada"})
	must(t, err)
	r := s.newRun("Rotate the certificates", run.Options{})
	a := s.begin(r.Plan)
	s.endLog(a)
	s.give(r.ID, run.Finish{AttemptID: a, Outcome: run.Succeeded, HasChanges: true, Changes: &run.Changes{Add: 1}})
	name := "build-machines"
	pool, err := s.db.CreatePool(ctx, "default", postgres.PoolChange{Name: &name})
	must(t, err)
	pages := []string{
		"/app/", "/app/~workspaces", "/app/default/network", "/app/default/network/runs", "/app/default/network/runs/" + r.ID, "/app/default/network/variables",
		"/app/default/network/settings", "/app/default/network/states/" + sv.ID, "/app/~pools", "/app/~pools/" + pool.ID, "/app/~streams",
	}
	const forms = `document.querySelectorAll("main form[method=post] button:not([disabled])").length`
	s.logInWith(s.member(postgres.RoleRead), pages[0])
	for _, path := range pages {
		s.do(chromedp.Navigate(s.server.URL + path))
		s.shows("main", "")
		n, err := chromedp.Run(s.tab, chromedp.Evaluate[int](forms))
		must(t, err)
		if n != 0 {
			t.Errorf("%s: got %d buttons that change something, want none for a reader:\n%s", path, n, s.body())
		}
	}
	s.click(".bar form button")
	s.until(`location.pathname === "/app/login"`)
	s.logInWith(s.member(postgres.RoleWrite), "/app/default/network/runs/"+r.ID) // the same page for somebody else
	s.until(forms + ` > 0`)
}
