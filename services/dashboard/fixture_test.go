package dashboard_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gantry.example/internal/pgtest"
	"gantry.example/internal/secrets"
	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/api"
	"gantry.example/services/dashboard"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

const (
	adminToken = "gantry-test-admin"
	poolToken  = "gantry-pool-test"
)

// fixture is a server on a database of its own, and a browser without scripts.
type fixture struct {
	t      *testing.T
	db     *postgres.DB
	server *httptest.Server
	pages  *dashboard.Server
	nats   *someNATS
	client *http.Client // keeps cookies, follows no redirect
	stop   context.CancelFunc
	ws     postgres.Workspace
	deaf   bool // no notification of Postgres arrives
}

// newFixture has the given public address, or its own where that is "".
func newFixture(t *testing.T, public string) *fixture {
	t.Helper()
	ring, err := secrets.CreateKeyring(filepath.Join(t.TempDir(), "key"))
	must(t, err)
	open := func(dsn string) (*postgres.DB, error) {
		return postgres.Open(context.Background(), postgres.Config{DSN: dsn, Sealer: ring, Modes: []messages.Mode{messages.ModeLocal, messages.ModeAgent, messages.ModeK8s}})
	}
	db, err := open(pgtest.NewFrom(t, "services/dashboard", func(dsn string) error {
		db, err := open(dsn)
		if err != nil {
			return err
		}
		return db.Close()
	}))
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	jar, err := cookiejar.New(nil)
	must(t, err)
	f := &fixture{t: t, db: db, nats: &someNATS{}, client: &http.Client{
		Jar: jar, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	must(t, db.EnsureBasics(t.Context()))
	must(t, db.EnsureToken(t.Context(), adminToken, postgres.TokenAdmin, "", "test"))
	must(t, db.EnsureToken(t.Context(), poolToken, postgres.TokenPool, messages.LocalPool, "test"))
	f.ws = f.newWorkspace("network")
	f.serve(public)
	return f
}

func (f *fixture) serve(public string) {
	f.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	notifier := f.db.NewNotifier()
	listening := make(chan error, 1)
	go func() {
		if f.deaf {
			<-ctx.Done()
			listening <- nil
			return
		}
		listening <- notifier.Run(ctx)
	}()
	mux := http.NewServeMux()
	f.server, f.stop = httptest.NewServer(mux), cancel
	if public == "" {
		public = f.server.URL
	}
	log := slog.New(slog.NewTextHandler(testWriter{f.t}, nil))
	a, err := api.New(ctx, api.Config{DB: f.db, Notifier: notifier, PublicURL: public, SigningKey: []byte("key of the test"), Version: "test", Log: log, DeadLetters: f.nats, Kubernetes: someClusters{}})
	must(f.t, err)
	s, err := dashboard.New(ctx, dashboard.Config{
		DB: f.db, Notifier: notifier, PublicURL: public, API: a.As, Streams: f.nats, Log: log,
		LogURL: func(runID string, p messages.Phase) string {
			return "http://elsewhere/signed/" + runID + "/" + string(p)
		},
	})
	must(f.t, err)
	f.pages = s
	s.Register(mux)
	f.t.Cleanup(func() {
		cancel()
		f.server.Close()
		if err := <-listening; err != nil {
			f.t.Errorf("notifier: %v", err)
		}
	})
}

func (f *fixture) newWorkspace(name string) postgres.Workspace {
	f.t.Helper()
	ws, err := f.db.CreateWorkspace(f.t.Context(), postgres.NewWorkspace{Organization: "default", Name: name})
	must(f.t, err)
	return ws
}

func (f *fixture) newRun(message string) run.Run {
	f.t.Helper()
	ctx := f.t.Context()
	cv, err := f.db.CreateConfigurationVersion(ctx, postgres.NewConfigurationVersion{WorkspaceID: f.ws.ID})
	must(f.t, err)
	_, err = f.db.UploadConfiguration(ctx, cv.ID, postgres.InMemory([]byte("an archive")))
	must(f.t, err)
	r, err := f.db.CreateRun(ctx, postgres.NewRun{WorkspaceID: f.ws.ID, ConfigurationVersionID: cv.ID, Message: message, CreatedBy: "ada"})
	must(f.t, err)
	return r
}

// begin claims and starts the task, and returns the attempt.
func (f *fixture) begin(task *run.Task) string {
	f.t.Helper()
	c, err := f.db.Claim(f.t.Context(), messages.LocalPool, wire.ClaimRequest{V: 1, TaskID: task.ID, Worker: "w1", Nonce: task.ID})
	must(f.t, err)
	a, err := f.db.AttemptByToken(f.t.Context(), c.Token)
	must(f.t, err)
	_, err = f.db.Start(f.t.Context(), a, wire.StartRequest{V: 1, Nonce: "runner", Base: c.Inputs.Base})
	must(f.t, err)
	return c.AttemptID
}

func (f *fixture) give(runID string, in run.Input) run.Run {
	f.t.Helper()
	r, err := f.db.Transition(f.t.Context(), runID, in, postgres.Cause{Actor: "ada"})
	must(f.t, err)
	return r
}

// answer is what the server said.
type answer struct {
	t      *testing.T
	call   string
	status int
	header http.Header
	body   string
}

func (f *fixture) do(method, path string, form url.Values, header ...string) answer {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), method, f.server.URL+path, strings.NewReader(form.Encode()))
	must(f.t, err)
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := f.client.Do(req)
	must(f.t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	must(f.t, err)
	return answer{f.t, method + " " + path, res.StatusCode, res.Header, string(b)}
}

func (f *fixture) get(path string, header ...string) answer {
	f.t.Helper()
	return f.do("GET", path, nil, header...)
}

// logIn posts the token and returns the answer.
func (f *fixture) logIn(token, next string, header ...string) answer {
	f.t.Helper()
	return f.do("POST", "/app/login", url.Values{"token": {token}, "next": {next}}, header...)
}

// want checks the status and that the page says all of the texts.
func (a answer) want(status int, texts ...string) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Errorf("%s: got status %d, want %d: %.300s", a.call, a.status, status, a.body)
	}
	for _, text := range texts {
		if !strings.Contains(a.body, text) {
			a.t.Errorf("%s: got a page without %q:\n%s", a.call, text, a.body)
		}
	}
	return a
}

// leadsTo checks the address of a redirect.
func (a answer) leadsTo(status int, address string) answer {
	a.t.Helper()
	a.want(status)
	if got := a.header.Get("Location"); got != address {
		a.t.Errorf("%s: got a redirect to %q, want %q", a.call, got, address)
	}
	return a
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
