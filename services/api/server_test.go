package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gantry.example/internal/pgtest"
	"gantry.example/internal/secrets"
	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/api"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

const (
	adminToken = "gantry-test-admin"
	poolToken  = "gantry-pool-test"
)

// publicURL is not where the server listens: users come by a proxy, and links lead there.
const publicURL = "https://gantry.example.com:9443"

// fixture is a server on a database of its own, with one organization and one workspace.
type fixture struct {
	api      *api.Server
	t        testing.TB
	db       *postgres.DB
	server   *httptest.Server
	key      []byte
	metrics  *prometheus.Registry
	stop     context.CancelFunc // as the program does before it closes the listener
	ws       postgres.Workspace
	letters  *letters
	clusters *clusters
	receives bool    // whether receivers of notifications take what is sent
	rate     float64 // calls a second of one token
	deaf     bool    // no notification of Postgres arrives
	// backupErr is how a backup ends, after a few bytes.
	backupErr error
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	return newFixtureWith(t, postgres.Config{})
}

// newFixtureWith has settings of the database package beside the usual ones.
func newFixtureWith(t testing.TB, cfg postgres.Config) *fixture {
	t.Helper()
	ring, err := secrets.CreateKeyring(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	open := func(dsn string) (*postgres.DB, error) {
		cfg.DSN, cfg.Sealer = dsn, ring
		return postgres.Open(t.Context(), cfg)
	}
	db, err := open(pgtest.NewFrom(t, "services/api", func(dsn string) error {
		db, err := open(dsn)
		if err != nil {
			return err
		}
		return db.Close()
	}))
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, db: db, key: []byte("signing key of the test"), metrics: prometheus.NewRegistry(), letters: &letters{}, clusters: &clusters{}}
	t.Cleanup(func() { _ = db.Close() })
	f.seed()
	f.serve()
	return f
}

func (f *fixture) seed() {
	f.t.Helper()
	ctx := f.t.Context()
	must(f.t, f.db.EnsureBasics(ctx))
	must(f.t, f.db.EnsureToken(ctx, adminToken, postgres.TokenAdmin, "", "test"))
	must(f.t, f.db.EnsureToken(ctx, poolToken, postgres.TokenPool, messages.LocalPool, "test"))
	var err error
	f.ws, err = f.db.CreateWorkspace(ctx, postgres.NewWorkspace{Organization: "default", Name: "network"})
	must(f.t, err)
}

func (f *fixture) serve() {
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
	f.server = httptest.NewServer(mux)
	s, err := api.New(ctx, api.Config{
		DB: f.db, Notifier: notifier, PublicURL: publicURL, SigningKey: f.key, Version: "test",
		Log: slog.New(slog.NewTextHandler(testWriter{f.t}, nil)), Registerer: f.metrics,
		DeadLetters: f.letters, Kubernetes: f.clusters, Receivers: f, RateLimit: f.rate,
		Backup: func(_ context.Context, w io.Writer) error {
			if _, err := io.WriteString(w, "sealed"); err != nil {
				return err
			}
			return f.backupErr
		},
	})
	must(f.t, err)
	s.Register(mux)
	f.api, f.stop = s, cancel
	f.t.Cleanup(func() {
		cancel()
		f.server.Close()
		if err := <-listening; err != nil {
			f.t.Errorf("notifier: %v", err)
		}
	})
}

// limit serves anew with a bound on the calls of one token.
func (f *fixture) limit(perSecond float64) {
	f.t.Helper()
	f.stop()
	f.server.Close()
	f.rate, f.metrics = perSecond, prometheus.NewRegistry()
	f.serve()
}

// newDeafFixture has a server to which all notifications are lost, as after a crash right behind a commit.
func newDeafFixture(t testing.TB) *fixture {
	t.Helper()
	f := newFixture(t)
	f.stop()
	f.server.Close()
	f.deaf, f.metrics = true, prometheus.NewRegistry()
	f.serve()
	return f
}

// testWriter sends the server's log to the test's.
type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Helper()
	w.t.Logf("%s", bytes.TrimSpace(b))
	return len(b), nil
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newRun makes a run of a new configuration version.
func (f *fixture) newRun(o run.Options) run.Run {
	f.t.Helper()
	ctx := f.t.Context()
	cv, err := f.db.CreateConfigurationVersion(ctx, postgres.NewConfigurationVersion{WorkspaceID: f.ws.ID})
	must(f.t, err)
	_, err = f.db.UploadConfiguration(ctx, cv.ID, postgres.InMemory([]byte("an archive")))
	must(f.t, err)
	r, err := f.db.CreateRun(ctx, postgres.NewRun{WorkspaceID: f.ws.ID, ConfigurationVersionID: cv.ID, Options: o, CreatedBy: "test"})
	must(f.t, err)
	return r
}

// claim takes the task over HTTP.
func (f *fixture) claim(taskID string) wire.Claim {
	f.t.Helper()
	var c wire.Claim
	f.post("/api/gantry/v1/claim", poolToken, wire.ClaimRequest{V: 1, TaskID: taskID, Worker: "w1", Nonce: "nonce"}).into(&c)
	return c
}

// start starts the attempt over HTTP.
func (f *fixture) start(c wire.Claim) {
	f.t.Helper()
	f.post("/api/gantry/v1/attempts/"+c.AttemptID+"/start", c.Token, wire.StartRequest{V: 1, Nonce: "r", Base: c.Inputs.Base}).want(http.StatusOK, "")
}

func (f *fixture) transition(runID string, in run.Input) run.Run {
	f.t.Helper()
	r, err := f.db.Transition(f.t.Context(), runID, in, postgres.Cause{Actor: "test"})
	must(f.t, err)
	return r
}

// claimApply brings a new run to its apply and claims that.
func (f *fixture) claimApply() (run.Run, wire.Claim) {
	f.t.Helper()
	r := f.newRun(run.Options{AutoApply: true})
	c := f.claim(r.Plan.ID)
	f.start(c)
	r = f.transition(r.ID, run.Finish{AttemptID: c.AttemptID, Outcome: run.Succeeded, HasChanges: true})
	return r, f.claim(r.Apply.ID)
}

// answer is what the server said.
type answer struct {
	t      testing.TB
	call   string
	status int
	header http.Header
	body   []byte
}

func (f *fixture) call(method, path, token string, body []byte, header ...string) answer {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, f.server.URL+path, bytes.NewReader(body))
	must(f.t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := f.server.Client().Do(req)
	must(f.t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	must(f.t, err)
	if listener := strings.TrimPrefix(f.server.URL, "http://"); bytes.Contains(b, []byte(listener)) || strings.Contains(fmt.Sprint(res.Header), listener) {
		f.t.Errorf("%s %s: got an answer with the listener's own address %s in it, want %s only", method, path, listener, publicURL)
	}
	return answer{f.t, method + " " + path, res.StatusCode, res.Header, b}
}

func (f *fixture) get(path, token string) answer {
	f.t.Helper()
	return f.call("GET", path, token, nil)
}

func (f *fixture) post(path, token string, body any) answer {
	f.t.Helper()
	b, err := json.Marshal(body)
	must(f.t, err)
	return f.call("POST", path, token, b)
}

// want checks the status and, of an error, the code.
func (a answer) want(status int, code messages.Code) answer {
	a.t.Helper()
	var doc struct {
		Errors []struct {
			Code   messages.Code `json:"code"`
			Detail string        `json:"detail"`
		} `json:"errors"`
	}
	var got messages.Code
	if a.status >= 400 && json.Unmarshal(a.body, &doc) == nil && len(doc.Errors) == 1 {
		got = doc.Errors[0].Code
		if doc.Errors[0].Detail == "" {
			a.t.Errorf("%s: the error %s has no detail", a.call, got)
		}
	}
	if a.status != status || got != code {
		a.t.Errorf("%s: got %d %q, want %d %q: %.300s", a.call, a.status, got, status, code, a.body)
	}
	return a
}

func (a answer) into(v any) {
	a.t.Helper()
	if a.status != http.StatusOK {
		a.t.Fatalf("%s: got %d, want 200: %s", a.call, a.status, a.body)
	}
	if err := json.Unmarshal(a.body, v); err != nil {
		a.t.Fatalf("%s: %v in %s", a.call, err, a.body)
	}
}
