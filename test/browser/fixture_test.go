// Package browser_test looks at the pages as people do: with a browser.
package browser_test

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/prometheus/client_golang/prometheus"

	"gantry.example/internal/browsertest"
	"gantry.example/internal/natstest"
	"gantry.example/internal/pgtest"
	"gantry.example/internal/secrets"
	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/api"
	"gantry.example/services/auth"
	"gantry.example/services/dashboard"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

const adminToken = "gantry-test-admin"

// stage is a server without workers and a browser: the test plays the worker.
type stage struct {
	t      *testing.T
	db     *postgres.DB
	server *httptest.Server
	nats   *natstest.Server
	ws     postgres.Workspace
	tab    context.Context
	sent   map[string]int64 // bytes of the log, by attempt
}

func newStage(t *testing.T) *stage {
	t.Helper()
	ring, err := secrets.CreateKeyring(filepath.Join(t.TempDir(), "key"))
	must(t, err)
	db, err := postgres.Open(t.Context(), postgres.Config{
		DSN: pgtest.New(t), Sealer: ring, Modes: []messages.Mode{messages.ModeLocal, messages.ModeAgent, messages.ModeK8s},
	})
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	s := &stage{t: t, db: db, sent: map[string]int64{}}
	must(t, db.EnsureBasics(t.Context()))
	must(t, db.EnsureToken(t.Context(), adminToken, postgres.TokenAdmin, "", "test"))
	s.ws, err = db.CreateWorkspace(t.Context(), postgres.NewWorkspace{Organization: "default", Name: "network"})
	must(t, err)
	s.serve()
	s.tab = browsertest.Chrome(t)
	return s
}

func (s *stage) serve() {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	notifier := s.db.NewNotifier()
	listening := make(chan error, 1)
	go func() { listening <- notifier.Run(ctx) }()
	mux := http.NewServeMux()
	s.server = httptest.NewServer(mux)
	log := slog.New(slog.NewTextHandler(testWriter{s.t}, nil))
	s.nats = natstest.StartFor(s.t, auth.NewNATS(s.db))
	mux.Handle("/nats", s.nats.Gateway())
	nats := s.nats.Bus(s.t)
	must(s.t, nats.EnsureDeadLetters(ctx, 1))
	a, err := api.New(ctx, api.Config{
		DB: s.db, Notifier: notifier, PublicURL: s.server.URL, SigningKey: []byte("key of the test"), Version: "test", DeadLetters: nats.DeadLetters(),
		Log: log, Registerer: prometheus.NewRegistry(), Kubernetes: someClusters{},
	})
	must(s.t, err)
	a.Register(mux)
	announced := make(chan error, 1)
	go func() { announced <- a.Announce(ctx, nats) }()
	d, err := dashboard.New(ctx, dashboard.Config{DB: s.db, Notifier: notifier, LogURL: s.logURL, PublicURL: s.server.URL, API: a.As, Streams: nats, Log: log})
	must(s.t, err)
	d.Register(mux)
	s.t.Cleanup(func() {
		cancel()
		s.server.Close()
		if err := <-listening; err != nil {
			s.t.Errorf("notifier: %v", err)
		}
		if err := <-announced; err != nil {
			s.t.Errorf("events on NATS: %v", err)
		}
	})
}

// logURL asks the API, as everybody outside of it does.
func (s *stage) logURL(runID string, p messages.Phase) string {
	path := map[messages.Phase]string{messages.PhasePlan: "/api/v2/plans/plan-", messages.PhaseApply: "/api/v2/applies/apply-"}[p]
	req, err := http.NewRequest("GET", s.server.URL+path+strings.TrimPrefix(runID, "run-"), nil)
	if err != nil {
		return err.Error()
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	res, err := s.server.Client().Do(req)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	var doc struct {
		Data struct {
			Attributes struct {
				URL string `json:"log-read-url"`
			}
		}
	}
	if err := json.NewDecoder(res.Body).Decode(&doc); err != nil {
		return err.Error()
	}
	return doc.Data.Attributes.URL
}

// newRun makes a run of a new configuration version.
func (s *stage) newRun(message string, o run.Options) run.Run {
	s.t.Helper()
	ctx := s.t.Context()
	cv, err := s.db.CreateConfigurationVersion(ctx, postgres.NewConfigurationVersion{WorkspaceID: s.ws.ID})
	must(s.t, err)
	_, err = s.db.UploadConfiguration(ctx, cv.ID, postgres.InMemory([]byte("an archive")))
	must(s.t, err)
	r, err := s.db.CreateRun(ctx, postgres.NewRun{
		WorkspaceID: s.ws.ID, ConfigurationVersionID: cv.ID, Options: o, Message: message, CreatedBy: "ada", Source: "gantry-cli",
	})
	must(s.t, err)
	return r
}

// begin claims and starts the task, and returns the attempt.
func (s *stage) begin(task *run.Task) string {
	s.t.Helper()
	c, err := s.db.Claim(s.t.Context(), messages.LocalPool, wire.ClaimRequest{V: 1, TaskID: task.ID, Worker: "local-1", Nonce: task.ID})
	must(s.t, err)
	a, err := s.db.AttemptByToken(s.t.Context(), c.Token)
	must(s.t, err)
	_, err = s.db.Start(s.t.Context(), a, wire.StartRequest{V: 1, Nonce: "runner", Base: c.Inputs.Base})
	must(s.t, err)
	return c.AttemptID
}

func (s *stage) give(runID string, in run.Input) run.Run {
	s.t.Helper()
	r, err := s.db.Transition(s.t.Context(), runID, in, postgres.Cause{Actor: "ada"})
	must(s.t, err)
	return r
}

// print appends to the attempt's log.
func (s *stage) print(attempt, text string) {
	s.t.Helper()
	must(s.t, s.db.AppendLog(s.t.Context(), postgres.LogChunk{AttemptID: attempt, Offset: s.sent[attempt], Data: []byte(text)}))
	s.sent[attempt] += int64(len(text))
}

// endLog ends the attempt's log.
func (s *stage) endLog(attempt string) {
	s.t.Helper()
	must(s.t, s.db.AppendLog(s.t.Context(), postgres.LogChunk{AttemptID: attempt, Offset: s.sent[attempt], End: true}))
}

func (s *stage) do(actions ...chromedp.Action[chromedp.Void]) {
	s.t.Helper()
	if err := chromedp.Do(s.tab, actions...); err != nil {
		s.t.Fatalf("browser: %v\n%s", err, s.body())
	}
}

// click clicks what the selector finds. A live page may replace an element while the browser looks where it is: then
// nothing was clicked yet, and the one that took its place is.
func (s *stage) click(selector string) {
	s.t.Helper()
	for {
		err := chromedp.Do(s.tab, chromedp.Click(chromedp.CSS(selector)))
		if err == nil {
			return
		}
		if s.tab.Err() != nil || !strings.Contains(err.Error(), "Could not find node") {
			s.t.Fatalf("browser: click %s: %v\n%s", selector, err, s.body())
		}
	}
}

// logIn opens the page and logs in as a site admin, being asked to.
func (s *stage) logIn(path string) {
	s.t.Helper()
	s.logInWith(adminToken, path)
}

func (s *stage) logInWith(token, path string) {
	s.t.Helper()
	s.do(chromedp.Navigate(s.server.URL + path))
	s.until(`location.pathname === "/app/login"`)
	s.do(chromedp.SendKeys(chromedp.CSS("#token"), token+"\r"))
	s.until(fmt.Sprintf(`location.pathname === %q`, path))
	s.do(chromedp.Evaluate[chromedp.Void](`window.same = "this document"; undefined`))
}

// until waits for what the page shows; a page gives no signal for that. The expression is JavaScript.
func (s *stage) until(expression string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.tab, 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		// While the browser changes pages there is nothing to evaluate in.
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		if err == nil && ok {
			return
		}
		select {
		case <-ctx.Done():
			s.t.Fatalf("the page never showed %s (%v):\n%s", expression, err, s.body())
		case <-tick.C:
		}
	}
}

// shows waits until the element has the text.
func (s *stage) shows(selector, text string) {
	s.t.Helper()
	s.until(fmt.Sprintf(`document.querySelector(%q)?.innerText.includes(%q)`, selector, text))
}

func (s *stage) body() string {
	text, err := chromedp.Run(s.tab, chromedp.Evaluate[string](`document.title + "\n" + document.body.innerText`))
	if err != nil {
		return err.Error()
	}
	return text
}

// picture keeps what the page looks like, in light and dark, on a desk and on a phone, for a person to look at.
func (s *stage) picture(name string) {
	s.t.Helper()
	for _, size := range []struct {
		name          string
		width, height int64
	}{{"desktop", 1440, 900}, {"phone", 390, 844}} {
		for _, scheme := range []string{"light", "dark"} {
			s.do(chromedp.EmulateViewport(size.width, size.height), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
				_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
					Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
				})
				return err
			}))
			s.until(`document.documentElement.scrollWidth <= innerWidth`) // nothing sticks out
			s.until(cellsApart)
			if size.width > 1000 {
				s.accessible(name + ", " + scheme)
			}
			png, err := chromedp.Run(s.tab, chromedp.FullScreenshot(100))
			must(s.t, err)
			must(s.t, os.WriteFile(filepath.Join(s.t.ArtifactDir(), name+"-"+size.name+"-"+scheme+".png"), png, 0o600))
		}
	}
}

// cellsApart tells that no cell of a list lies on the one before it or is narrower than what is in it.
const cellsApart = `[...document.querySelectorAll(".list td")].every((cell) => {
	const [here, before] = [cell.getBoundingClientRect(), cell.previousElementSibling?.getBoundingClientRect()];
	return cell.scrollWidth <= cell.clientWidth + 1 && (!before || before.width === 0 || here.width === 0 || here.left >= before.right - 1 || here.top >= before.bottom - 1);
})`

//go:embed testdata/axe.min.js
var axe string

// accessible lets axe-core look at the page. It finds what a machine can find: names, roles, contrasts, order.
func (s *stage) accessible(name string) {
	s.t.Helper()
	s.do(chromedp.Evaluate[chromedp.Void](axe + "; undefined"))
	s.do(chromedp.Evaluate[chromedp.Void](`window.found = undefined; axe.run().then((r) => { window.found = JSON.stringify(r.violations.filter((v) => v.impact === "serious" || v.impact === "critical").map((v) => v.id + ": " + v.help + " " + v.nodes.map((n) => n.target + " " + n.html).slice(0, 3).join(" | "))) }); undefined`))
	s.until(`window.found !== undefined`)
	found, err := chromedp.Run(s.tab, chromedp.Evaluate[string](`window.found`))
	must(s.t, err)
	if found != "[]" {
		s.t.Errorf("%s: axe-core found %s", name, found)
	}
}

// testWriter sends the server's log to the test's.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Logf("%s", bytes.TrimSpace(b))
	return len(b), nil
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
