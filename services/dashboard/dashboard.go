// Package dashboard serves the pages people look at, from the login to the page of one run with its live log. What their forms
// ask for is done by the API, as the one who is logged in.
//
// Pages are made on the server and complete without a script. page.js has lists read themselves anew when the stream of live.go
// says so. run.js keeps an open run page up to date: it replaces parts by what the stream of run_stream.go sends, and appends the
// log that it reads from signed addresses.
package dashboard

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"

	"gantry.example/messages"
	"gantry.example/services/postgres"
)

//go:embed assets/*
var assets embed.FS

//go:embed templates/*.html
var templates embed.FS

// Config configures New. All fields are required.
type Config struct {
	DB       *postgres.DB
	Notifier *postgres.Notifier // somebody runs it
	// LogURL returns a signed address of the log of a run's phase: STX, the log, and ETX at its end, by the query parameters
	// offset, limit and wait. Only its path is used, so that it is on the host the page came from. Safe for concurrent use.
	LogURL func(runID string, phase messages.Phase) string
	// PublicURL is where people reach the server. Where it is https, the login is given to https only.
	PublicURL string
	// API returns the API as the holder calls it who is logged in. Every form acts through it. Safe for concurrent use.
	API func(holder postgres.Token) http.Handler
	// Streams is NATS as site admins see it.
	Streams Streams
	Log     *slog.Logger
}

// Server serves the pages. Safe for concurrent use.
type Server struct {
	cfg    Config
	secure bool            // cookies for https only
	stop   context.Context // ends open streams when the server stops
	origin *http.CrossOriginProtection
	pages  *pages

	history history
}

// New returns a server. ctx ends its open streams, so that a graceful stop is not held up by them.
func New(ctx context.Context, cfg Config) (*Server, error) {
	public, err := url.Parse(cfg.PublicURL)
	if err != nil || public.Host == "" {
		return nil, fmt.Errorf("public URL %q: want scheme://host[:port]", cfg.PublicURL)
	}
	p, err := newPages()
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, secure: public.Scheme == "https", stop: ctx, pages: p, origin: http.NewCrossOriginProtection()}
	// A proxy may pass another Host on than the one in the browser's address bar.
	if err := s.origin.AddTrustedOrigin(public.Scheme + "://" + public.Host); err != nil {
		return nil, fmt.Errorf("public URL: %w", err)
	}
	s.origin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secureHeaders(w.Header())
		s.fail(w, r, nil, &problem{status: http.StatusForbidden, title: "Refused", text: "This form was sent from another site, so nothing was done. Open the page here and send it again."})
	}))
	return s, nil
}

// Paths that no organization's name can take: names have no "~", and one element alone is no workspace.
const (
	pathHome   = "/app/"
	pathLogin  = "/app/login"
	pathLogout = "/app/logout"
	pathAssets = "/app/~assets/"

	pathWorkspaces = "/app/~workspaces"
	pathPools      = "/app/~pools"
	pathKubernetes = "/app/~kubernetes"
	pathAudit      = "/app/~audit"
	pathStreams    = "/app/~streams"
	pathEvents     = "/app/~events" // the API's stream of statuses, for those who have a cookie
	pathLive       = "/app/~live"   // tells open pages to read themselves anew

	pathAuthorize = "/app/~login/terraform" // where service discovery sends "terraform login"
	pathAccount   = "/app/settings/tokens"  // where terraform sends people for a token to paste
	pathPassword  = "/app/settings/password"
)

// Register adds every page to the mux: /, and all below /app.
func (s *Server) Register(mux *http.ServeMux) {
	const workspace = "/app/{organization}/{workspace}"
	mux.Handle("GET /{$}", http.RedirectHandler(pathHome, http.StatusFound))
	mux.Handle("GET /app", http.RedirectHandler(pathHome, http.StatusFound))
	mux.Handle("GET "+pathAssets+"{file}", s.open(s.pages.asset))
	mux.Handle("GET "+pathLogin, s.open(s.loginPage))
	mux.Handle("POST "+pathLogin, s.open(s.login))
	mux.Handle("POST "+pathLogout, s.open(s.logout))
	mux.Handle("GET "+pathAuthorize, s.page(s.authorizePage))
	mux.Handle("POST "+pathAuthorize, s.form(s.authorize))
	mux.Handle("GET "+pathAccount, s.page(s.account))
	mux.Handle("POST "+pathAccount, s.form(s.changeTokens))
	mux.Handle("POST "+pathPassword, s.form(s.changePassword))
	mux.Handle("GET /app/{$}", s.page(s.overview))
	mux.Handle("GET "+pathWorkspaces, s.page(s.workspaces))
	mux.Handle("GET "+pathPools, s.page(s.poolsPage))
	mux.Handle("POST "+pathPools, s.form(s.createPool))
	mux.Handle("GET "+pathPools+"/{pool}", s.page(s.poolPage))
	mux.Handle("POST "+pathPools+"/{pool}", s.form(s.changePool))
	mux.Handle("GET "+pathKubernetes, s.page(s.kubernetes))
	mux.Handle("GET "+pathKubernetes+"/{config}", s.page(s.kubernetesConfig))
	mux.Handle("POST "+pathKubernetes+"/{config}", s.form(s.checkConfig))
	mux.Handle("GET "+pathAudit, s.page(s.audit))
	mux.Handle("GET "+pathAudit+"/{organization}", s.page(s.audit))
	mux.Handle("GET "+pathStreams, s.page(s.streams))
	mux.Handle("POST "+pathStreams, s.form(s.changeLetter))
	mux.Handle("GET "+pathEvents, s.stream(s.events))
	mux.Handle("GET "+pathLive, s.stream(s.live))
	mux.Handle("GET "+workspace, s.page(s.workspace))
	mux.Handle("POST "+workspace+"/lock", s.form(s.changeLock))
	mux.Handle("GET "+workspace+"/states", s.page(s.states))
	mux.Handle("GET "+workspace+"/states/{state}", s.page(s.state))
	mux.Handle("POST "+workspace+"/states/{state}", s.form(s.changeState))
	mux.Handle("GET "+workspace+"/states/{state}/download", s.page(s.downloadState))
	mux.Handle("GET "+workspace+"/variables", s.page(s.variables))
	mux.Handle("POST "+workspace+"/variables", s.form(s.changeVariables))
	mux.Handle("GET "+workspace+"/settings", s.page(s.settings))
	mux.Handle("POST "+workspace+"/settings", s.form(s.changeSettings))
	mux.Handle("GET "+workspace+"/runs", s.page(s.runList))
	mux.Handle("POST "+workspace+"/runs", s.form(s.startRun))
	mux.Handle("GET "+workspace+"/runs/{run}", s.page(s.runPage))
	mux.Handle("GET "+workspace+"/runs/{run}/events", s.stream(s.runStream))
	mux.Handle("GET "+workspace+"/runs/{run}/plan", s.page(s.plan))
	mux.Handle("POST "+workspace+"/runs/{run}/{action}", s.form(s.runAction))
	mux.Handle("GET "+workspace+"/runs/{run}/logs/{phase}", s.page(s.rawLog))
	mux.Handle("/app/", s.page(func(_ http.ResponseWriter, r *http.Request, _ postgres.Session) error {
		return missing("There is no page at %s. The runs of a workspace are at /app/ORGANIZATION/WORKSPACE.", r.URL.Path)
	}))
}

// problem is an error that a person is shown as a page.
type problem struct {
	status int
	title  string
	text   string
	code   messages.Code
	back   *link // where to go on
}

func (p *problem) Error() string { return p.text }

func missing(format string, args ...any) error {
	return &problem{status: http.StatusNotFound, title: "Not found", text: fmt.Sprintf(format, args...)}
}

// open serves a page that needs no login.
func (s *Server) open(handle func(http.ResponseWriter, *http.Request) error) http.Handler {
	return s.origin.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secureHeaders(w.Header())
		if err := handle(w, r); err != nil {
			s.fail(w, r, nil, err)
		}
	}))
}

// page serves a page to people who are logged in, and sends others to the login.
func (s *Server) page(handle func(http.ResponseWriter, *http.Request, postgres.Session) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secureHeaders(w.Header())
		session, err := s.session(r)
		if unauthorized(err) {
			http.Redirect(w, r, pathLogin+"?next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
			return
		}
		if err == nil {
			err = handle(w, r, session)
		}
		if err != nil {
			s.fail(w, r, &session, err)
		}
	})
}

// form takes what a page of this very session posted.
func (s *Server) form(handle func(http.ResponseWriter, *http.Request, postgres.Session) error) http.Handler {
	return s.origin.Handler(s.page(func(w http.ResponseWriter, r *http.Request, session postgres.Session) error {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if err := r.ParseForm(); err != nil {
			return &problem{status: http.StatusBadRequest, title: "Not understood", text: "The form did not arrive whole. Go back and send it again."}
		}
		if err := checkCSRF(r, session); err != nil {
			return err
		}
		return handle(w, r, session)
	}))
}

// stream serves a script, which has no use for a login page.
func (s *Server) stream(handle func(http.ResponseWriter, *http.Request, postgres.Session) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secureHeaders(w.Header())
		session, err := s.session(r)
		if unauthorized(err) {
			http.Error(w, "the session is over: log in again", http.StatusUnauthorized)
			return
		}
		if err == nil {
			err = handle(w, r, session)
		}
		if err != nil {
			s.fail(w, r, nil, err)
		}
	})
}

// fail shows the error as a page. session is nil where nobody is logged in.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, session *postgres.Session, err error) {
	if r.Context().Err() != nil {
		return // nobody is there to be told
	}
	var shown *problem
	var coded *postgres.Error
	no, refused := asRefusal(err)
	switch {
	case errors.As(err, &shown):
	case refused:
		shown = &problem{status: no.status, title: "That did not work", text: no.Detail, code: no.Code}
	case errors.As(err, &coded) && coded.Code == messages.CodeNotFound:
		shown = &problem{status: http.StatusNotFound, title: "Not found", text: sentence(coded.Message)}
	default:
		s.cfg.Log.Error("page failed", "path", r.URL.Path, "error", err)
		shown = &problem{status: http.StatusInternalServerError, title: "Something went wrong", text: "The server could not make this page; its log says why. Try again in a moment."}
	}
	v := problemView{frame: s.frame(session, shown.title), Text: shown.text, Code: shown.code, Back: shown.back}
	if err := s.pages.write(w, shown.status, "problem.html", v); err != nil {
		s.cfg.Log.Error("problem page failed", "path", r.URL.Path, "error", err)
	}
}

type problemView struct {
	frame
	Text string
	Code messages.Code
	Back *link
}

// secureHeaders allow a page its own scripts and styles, and nothing else to anybody.
func secureHeaders(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "+
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin") // and never a signed address or a run's to another site
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}
