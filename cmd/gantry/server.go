package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"gantry.example/internal/bus"
	"gantry.example/internal/bus/broker"
	"gantry.example/internal/failpoint"
	"gantry.example/internal/lifecycle"
	"gantry.example/internal/pgserver"
	"gantry.example/internal/pki"
	"gantry.example/internal/secrets"
	"gantry.example/internal/telemetry/otlp"
	"gantry.example/services/api"
	"gantry.example/services/auth"
	"gantry.example/services/dashboard"
	"gantry.example/services/notify"
	"gantry.example/services/placement"
	"gantry.example/services/postgres"
	"gantry.example/services/trigger"
	"gantry.example/workers/process"
	"gantry.example/workers/station"
)

// server is one program with every role. Its parts fill its fields in the order of parts; a part uses only what the parts
// before it have filled.
type server struct {
	cfg     config
	version string
	out     io.Writer // where readiness is told
	log     *slog.Logger
	fail    *failpoint.Points
	users   process.Users // whom terraform runs as
	metrics *prometheus.Registry

	lock      *os.File
	http      net.Listener // nil when not wanted
	https     net.Listener // nil when not wanted
	tls       *tls.Config
	pair      *pki.Pair      // nil unless the operator gave one
	acme      *pki.ACME      // nil unless wanted
	nats      *broker.Server // nil with a NATS elsewhere
	broker    broker.Broker  // nil where only a worker runs, with a NATS elsewhere
	callout   *broker.Callout
	pg        *pgserver.Server // nil with an external database
	seal      *secrets.Keyring
	db        *postgres.DB
	notifier  *postgres.Notifier
	placer    *placement.Placer
	api       *api.Server
	pages     *dashboard.Server
	receivers *notify.Sender // those outside that are told what runs do
	bus       *bus.Bus
	closeBus  func()
	signing   []byte // the database's key for signed URLs
	pool      string // the local worker's token
	worker    atomic.Pointer[station.Station]

	traces *otlp.Exporter // nil: nobody wants any

	sites      []site
	endStreams context.CancelFunc
}

// run serves until ctx ends.
func (s *server) run(ctx context.Context) error {
	s.metrics = prometheus.NewRegistry()
	s.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return lifecycle.Run(ctx, s.log, s.ready, s.parts()...)
}

// parts is the order of the start; the stop is the opposite. Addresses are bound first, because a busy port is the most
// common failure and nothing should have happened by then.
func (s *server) parts() []lifecycle.Part {
	return s.cfg.wanted([]part{
		{nil, lifecycle.Part{Name: "data folder", Start: s.openDataDir, Stop: s.closeDataDir}},
		{storing(), lifecycle.Part{Name: "encryption key", Start: s.openKeys}},
		{nil, lifecycle.Part{Name: "addresses", Start: s.listen}},
		{[]role{roleAPI}, lifecycle.Part{Name: "certificates", Start: s.openCertificates, Run: s.keepCertificates}},
		{nil, lifecycle.Part{Name: "NATS", Start: s.startNATS, Run: s.watchNATS, Stop: s.stopNATS}},
		{storing(), lifecycle.Part{Name: "PostgreSQL", Start: s.startPostgres, Stop: s.stopPostgres}},
		{storing(), lifecycle.Part{Name: "database", Start: s.openDatabase, Stop: func(context.Context) error { return s.db.Close() }}},
		{services(), lifecycle.Part{Name: "streams", Start: s.connectBus, Stop: func(context.Context) error { s.closeBus(); return nil }}},
		{[]role{roleAPI}, lifecycle.Part{Name: "NATS clients", Start: s.admitClients, Run: func(ctx context.Context) error { return auth.EndRevoked(ctx, s.db, s.callout, s.log) }, Stop: s.closeClients}},
		{[]role{roleAPI, roleRelay}, lifecycle.Part{Name: "notifier", Start: s.startNotifier, Run: func(ctx context.Context) error { return s.notifier.Run(ctx) }}},
		{[]role{roleRelay}, lifecycle.Part{Name: "placement", Start: s.startPlacer, Run: func(ctx context.Context) error { return s.placer.Run(ctx) }}},
		{[]role{roleRelay}, lifecycle.Part{Name: "relay", Run: s.runRelay}},
		{[]role{roleLogs}, lifecycle.Part{Name: "logs", Run: s.runLogs}},
		{[]role{roleProjector}, lifecycle.Part{Name: "projector", Run: s.runProjector}},
		{[]role{roleAPI, roleObserver, roleIntake}, lifecycle.Part{Name: "traces", Start: s.prepareTraces, Run: s.runTraces}},
		{[]role{roleObserver}, lifecycle.Part{Name: "observer", Run: s.runObserver}},
		{[]role{roleIntake}, lifecycle.Part{Name: "intake", Run: s.runIntake}},
		{nil, lifecycle.Part{Name: "HTTP", Start: s.prepareHTTP, Run: s.serveHTTP}},
		{[]role{roleAPI}, lifecycle.Part{Name: "events on NATS", Run: func(ctx context.Context) error { return s.api.Announce(ctx, s.bus) }}},
		{[]role{roleAPI}, lifecycle.Part{Name: "pages", Run: func(ctx context.Context) error { return s.pages.Run(ctx) }}},
		{[]role{roleReconciler}, lifecycle.Part{Name: "reconciler", Run: s.runReconciler}},
		{[]role{roleReconciler}, lifecycle.Part{Name: "run triggers", Run: func(ctx context.Context) error { return trigger.New(s.db, s.log).Run(ctx) }}},
		{[]role{roleAPI}, lifecycle.Part{Name: "notifications", Run: func(ctx context.Context) error { return notify.New(s.db, s.receivers, s.log).Run(ctx) }}},
		{[]role{roleKeeper}, lifecycle.Part{Name: "keeper", Run: s.runKeeper}},
		{[]role{roleDispatcher}, lifecycle.Part{Name: "dispatchers", Run: s.runDispatchers}},
		{[]role{roleWorker}, lifecycle.Part{Name: "worker", Start: s.startWorker, Run: func(ctx context.Context) error { return s.worker.Load().Run(ctx) }, Stop: s.stopWorker}},
	})
}

// ready publishes the address for the CLI on this machine and tells whoever started the server.
func (s *server) ready() {
	told := strings.Join(s.cfg.Roles, ",")
	if s.cfg.has(roleAPI) {
		told = s.localURL()
		if err := secrets.WriteFile0600(filepath.Join(s.cfg.DataDir, addressFile), []byte(told+"\n")); err != nil {
			s.log.Error("the address of this server could not be written, so the CLI here needs GANTRY_ADDRESS", "error", err)
		}
	}
	if err := s.tellHTTPS(); err != nil {
		s.log.Error("the https address of this server could not be written, so gantry trust needs it as an argument", "error", err)
	}
	s.log.Info("ready", "roles", strings.Join(s.cfg.Roles, ","), "address", s.localURL(), "public", s.publicURL(), "nats", s.natsURL(),
		"data", s.cfg.DataDir, "version", s.version)
	_, _ = fmt.Fprintf(s.out, "ready %s\n", told)
}

// Names in the data folder.
const (
	addressFile      = "address"
	httpsAddressFile = "https-address"
	adminTokenFile   = "admin-token"
	poolTokenFile    = "worker-token"
	keyFile          = "encryption-key"
	lockFile         = "server.lock"
)

// openDataDir makes the folder and makes sure that no other server uses it.
func (s *server) openDataDir(ctx context.Context) error {
	if err := makePassable(s.cfg.DataDir); err != nil {
		return fmt.Errorf("--data-dir: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(s.cfg.DataDir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("--data-dir: %w", err)
	}
	if err := waitLock(ctx, f); err != nil {
		_ = f.Close()
		return fmt.Errorf("--data-dir %s is used by another gantry server: stop it or give this one a folder of its own", s.cfg.DataDir)
	}
	s.lock = f
	return nil
}

// lockPatience covers the instant in which a process that a killed server was just starting still has the lock's file open.
const lockPatience = 2 * time.Second

func waitLock(ctx context.Context, f *os.File) error {
	ctx, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	for {
		err := lockExclusive(f)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(lockPatience / 20):
		}
	}
}

// makePassable makes the folder such that, when this is root, the user Postgres runs as can pass through it. What is inside
// stays closed to others.
func makePassable(dir string) error {
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil || os.Geteuid() != 0 || info.Mode()&0o111 == 0o111 {
		return err
	}
	return os.Chmod(dir, info.Mode().Perm()|0o111)
}

// openKeys reads the encryption key. The first start makes it, and where roles are split that is an API's: the others wait
// for its file.
func (s *server) openKeys(ctx context.Context) error {
	path := s.cfg.file(s.cfg.EncryptionKeyFile, keyFile)
	missing := func(err error) bool { return errors.Is(err, os.ErrNotExist) && !s.cfg.has(roleAPI) }
	err := s.await(ctx, "the encryption key "+path, missing, func(context.Context) (err error) {
		s.seal, err = secrets.OpenKeyring(path)
		if errors.Is(err, os.ErrNotExist) && s.cfg.has(roleAPI) {
			s.log.Info("made a new encryption key: keep a copy of it, nothing stored can be read without it", "file", path)
			s.seal, err = secrets.CreateKeyring(path)
		}
		if errors.Is(err, os.ErrExist) { // another API was faster
			s.seal, err = secrets.OpenKeyring(path)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("encryption key: %w", err)
	}
	return nil
}

func (s *server) closeDataDir(context.Context) error {
	var errs []error
	for _, name := range []string{addressFile, httpsAddressFile} {
		if err := os.Remove(filepath.Join(s.cfg.DataDir, name)); !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, s.lock.Close())...)
}

// listen binds the HTTP addresses, naming the flag of one that is busy.
func (s *server) listen(ctx context.Context) error {
	for _, l := range []struct {
		flag, addr string
		to         *net.Listener
	}{{"--http", s.cfg.HTTP, &s.http}, {"--https", s.cfg.HTTPS, &s.https}} {
		if l.addr == "" || l.to == &s.https && !s.cfg.has(roleAPI) {
			continue
		}
		ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", l.addr)
		if err != nil {
			s.closeListeners()
			return busy(l.flag, l.addr, err)
		}
		*l.to = ln
	}
	return nil
}

func busy(flag, addr string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s %s is in use by another program: stop that one, or choose another address with %s", flag, addr, flag)
	}
	return fmt.Errorf("%s %s: %w", flag, addr, err)
}

func (s *server) closeListeners() {
	for _, l := range []net.Listener{s.http, s.https} {
		if l != nil {
			_ = l.Close()
		}
	}
}

// token reads a token file, or makes it at the first start.
func (s *server) token(path, prefix string) (string, error) {
	token, err := readToken(path)
	if errors.Is(err, os.ErrNotExist) {
		token = secrets.NewToken(prefix)
		err = secrets.WriteFile0600(path, []byte(token+"\n"))
	}
	return token, err
}

func readToken(path string) (string, error) {
	b, err := os.ReadFile(path)
	token := strings.TrimSpace(string(b))
	if err == nil && token == "" {
		err = fmt.Errorf("%s is empty: delete it to have a new one made", path)
	}
	return token, err
}
