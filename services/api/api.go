package api

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"golang.org/x/sync/semaphore"

	"gantry.example/internal/failpoint"
	"gantry.example/services/postgres"
)

// Config configures New.
type Config struct {
	DB       *postgres.DB
	Notifier *postgres.Notifier
	// PublicURL is the address users reach the server at, without a trailing slash; every link starts with it.
	PublicURL string
	// SigningKey signs URLs that carry their own permission.
	SigningKey []byte
	// DeadLetters are the messages that nobody could use.
	DeadLetters DeadLetters
	// Kubernetes knows clusters and Pods.
	Kubernetes Kubernetes
	// Receivers are told what runs do.
	Receivers Receivers
	Version   string
	Log       *slog.Logger
	// Backup writes a backup of everything the server keeps; nil means that it can't.
	Backup func(ctx context.Context, w io.Writer) error
	// Registerer takes the HTTP metrics; nil means none.
	Registerer prometheus.Registerer
	// Traces begins a trace for every run. A caller's own trace is continued either way.
	Traces bool
	// RateLimit is how many calls a second of one person's token are taken; 0 for no limit.
	RateLimit float64
	// Fail has the point at which a test wants the program killed; nil means none.
	Fail *failpoint.Points
}

// Server serves the API. Safe for concurrent use.
type Server struct {
	db        *postgres.DB
	notifier  *postgres.Notifier
	public    *url.URL
	signer    signer
	version   string
	log       *slog.Logger
	metrics   *metrics
	large     *semaphore.Weighted // bytes of large bodies in memory
	traces    bool
	fail      *failpoint.Points
	rights    table
	rate      *rateLimit
	letters   DeadLetters
	clusters  Kubernetes
	receivers Receivers
	backups   func(context.Context, io.Writer) error
	stop      context.Context // ends open streams when the server stops
	inside    *http.ServeMux  // the calls of As
	hubs      hubs
	roster    roster
}

// New returns a server. ctx ends its open streams (events, logs), so that a graceful stop is not held up by them.
func New(ctx context.Context, cfg Config) (*Server, error) {
	u, err := url.Parse(cfg.PublicURL)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("public URL %q: want scheme://host[:port]", cfg.PublicURL)
	}
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		return nil, err
	}
	s := &Server{
		db: cfg.DB, notifier: cfg.Notifier, public: u, signer: signer{key: cfg.SigningKey},
		version: cfg.Version, log: cfg.Log, metrics: m, large: semaphore.NewWeighted(largeBodies), traces: cfg.Traces, fail: cfg.Fail, letters: cfg.DeadLetters, clusters: cfg.Kubernetes, receivers: cfg.Receivers, rights: rights(), rate: &rateLimit{perSecond: cfg.RateLimit, buckets: map[string]bucket{}}, backups: cfg.Backup, stop: ctx,
	}
	s.hubs.all = map[string]*hub{}
	s.roster = roster{keep: cfg.DB.SawWorkers, waiting: map[string][]*said{}}
	s.inside = s.insideRoutes()
	return s, nil
}

// link returns an absolute URL of this server.
func (s *Server) link(format string, args ...any) string {
	return s.public.String() + fmt.Sprintf(format, args...)
}

// Register adds every route to the mux.
func (s *Server) Register(mux *http.ServeMux) {
	for _, r := range s.routes() {
		mux.Handle(r.method+" "+r.pattern, s.serve(r))
	}
	known := http.NewServeMux()
	for _, r := range s.routes() {
		known.Handle(r.method+" "+r.pattern, http.NotFoundHandler())
	}
	for _, prefix := range []string{"/api/", "/.well-known/"} {
		mux.Handle(prefix, s.serve(route{handle: unknownCall(known)}))
	}
}

// Probes adds /healthz and /readyz: alive means the process answers, ready means it can do its work. ready reports why it
// cannot right now, or nil.
func Probes(mux *http.ServeMux, ready func(context.Context) error) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 3*time.Second)
		defer cancel()
		if err := ready(ctx); err != nil {
			http.Error(w, "not ready: "+err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintln(w, "ready")
	})
}
