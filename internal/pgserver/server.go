package pgserver

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	_ "github.com/lib/pq" // the database/sql driver "postgres"
)

const (
	// Database is the database that Start makes for Gantry.
	Database = "gantry"
	// maintenanceDatabase always exists.
	maintenanceDatabase = "postgres"
)

// ErrInUse is returned by Start when another live process runs a Postgres in the same home.
var ErrInUse = errors.New("in use by another Gantry")

// Config says where and how to run a Postgres.
type Config struct {
	Home     string   // everything of this Postgres is below it (see the package comment); made when absent. See Home
	Binaries Binaries // from Find
	RunAs    *User    // the account to run as; nil is this process's own, or as root that of Unprivileged
	Durable  bool     // false, for tests, gives up safety for speed: a power cut may then destroy the data
	Log      *slog.Logger

	// DieWithParent has the kernel stop Postgres when this process dies, however it dies (Linux only). For tests;
	// otherwise Postgres stays up and the next Start takes the data folder over.
	DieWithParent bool
}

// Server is a running private Postgres, started again whenever it dies. Its methods are safe for concurrent use.
type Server struct {
	cfg    Config
	user   *User
	data   string // the data folder
	socket string // the folder of the socket
	lock   *os.File
	admin  *sql.DB

	stopOnce, hurryOnce, unlockOnce sync.Once

	stopping chan struct{} // closed by the first Stop
	hurry    chan struct{} // closed when a Stop ran out of time
	stopped  chan struct{} // closed by supervise when no postmaster is left
}

// Start brings a Postgres up in cfg.Home and returns when it answers and the database Database exists: under a second,
// a bit more the first time, longer when it has a crash to recover from. ctx bounds only the start; end the server with
// Stop. It can be called again after any crash of Gantry, Postgres or both. The error is ErrInUse when the home is taken.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	s, err := prepare(cfg)
	if err != nil {
		return nil, fmt.Errorf("private PostgreSQL: %w", err)
	}
	p, err := s.begin(ctx)
	if err != nil {
		return nil, fmt.Errorf("private PostgreSQL: %w", errors.Join(err, s.release()))
	}
	go s.supervise(p)
	if err := s.ensureDatabase(ctx); err != nil {
		return nil, fmt.Errorf("private PostgreSQL: %w", errors.Join(err, s.Stop(ctx)))
	}
	return s, nil
}

// prepare makes the folders of the home and takes its lock.
func prepare(cfg Config) (*Server, error) {
	home, err := filepath.Abs(cfg.Home)
	if err != nil {
		return nil, err
	}
	cfg.Home = home
	user := cfg.RunAs
	if user == nil {
		if user, err = Unprivileged(); err != nil {
			return nil, err
		}
	}
	if err := checkUsable(cfg.Binaries.Dir, user); err != nil {
		return nil, err
	}
	if err := makeHome(home, user); err != nil {
		return nil, err
	}
	socket, err := socketDir(home, user)
	if err != nil {
		return nil, err
	}
	lock, err := lockFile(filepath.Join(home, "lock"))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", home, err)
	}
	s := &Server{
		cfg: cfg, user: user, data: filepath.Join(home, dataName), socket: socket, lock: lock,
		stopping: make(chan struct{}), hurry: make(chan struct{}), stopped: make(chan struct{}),
	}
	s.admin, err = sql.Open("postgres", s.DSN(maintenanceDatabase))
	if err == nil {
		s.admin.SetMaxIdleConns(-1) // no connection of ours lingers
		err = s.truncateLog()
	}
	if err != nil {
		return nil, errors.Join(err, s.release())
	}
	return s, nil
}

// makeHome makes the home, which stays ours: what we open in it cannot be swapped by the user that Postgres runs as.
func makeHome(home string, user *User) error {
	mode := os.FileMode(0o700)
	if user != nil {
		mode = 0o711
	}
	if err := os.MkdirAll(filepath.Dir(home), 0o711); err != nil {
		return err
	}
	err := os.Mkdir(home, mode)
	if err == nil || errors.Is(err, os.ErrExist) {
		err = os.Chmod(home, mode)
	}
	if err != nil {
		return err
	}
	blocked, err := user.blockedBy(home)
	if err == nil && blocked != "" {
		err = fmt.Errorf("user %s, as whom PostgreSQL runs, may not enter %s, so its data cannot be in %s: run chmod a+x %s, or choose another folder",
			user.Name, blocked, home, blocked)
	}
	return err
}

// begin is the first bringUp, the only one that may make a data folder: one that vanishes under a running Gantry must
// be an error, not an empty database.
func (s *Server) begin(ctx context.Context) (*process, error) {
	if err := s.clearLeftovers(ctx); err != nil {
		return nil, err
	}
	if err := s.initialize(ctx); err != nil {
		return nil, err
	}
	return s.bringUp(ctx)
}

// bringUp returns a postmaster that answers. It takes a few tries only when a killed postmaster's children are
// still busy dying, which Postgres waits for by refusing to start.
func (s *Server) bringUp(ctx context.Context) (*process, error) {
	if err := s.clearLeftovers(ctx); err != nil {
		return nil, err
	}
	if err := s.user.makeDir(s.socket); err != nil {
		return nil, err
	}
	giveUp := time.Now().Add(15 * time.Second)
	for {
		p, err := s.launchAndWait(ctx)
		if err == nil || !errors.Is(err, errChildrenAlive) || time.Now().After(giveUp) {
			return p, err
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// ensureDatabase makes Database unless it is there.
func (s *Server) ensureDatabase(ctx context.Context) error {
	var have bool
	err := s.admin.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, Database).Scan(&have)
	if err != nil || have {
		return err
	}
	_, err = s.admin.ExecContext(ctx, `CREATE DATABASE `+Database)
	return err
}

// DSN returns the address of a database of this server as a URL for lib/pq. It holds no secret, and stays the same
// over restarts.
func (s *Server) DSN(database string) string {
	query := url.Values{"host": {s.socket}, "port": {"5432"}, "sslmode": {"disable"}}
	address := url.URL{Scheme: "postgres", User: url.User(Superuser), Path: "/" + database, RawQuery: query.Encode()}
	return address.String()
}

// Stop shuts Postgres down and returns when it is gone: connections are cut, everything is written to disk. When ctx
// ends first the rest is left to the recovery of the next start; that is not an error. Calling it again is harmless.
func (s *Server) Stop(ctx context.Context) error {
	s.stopOnce.Do(func() { close(s.stopping) })
	select {
	case <-s.stopped:
	case <-ctx.Done():
		s.hurryOnce.Do(func() { close(s.hurry) })
		<-s.stopped
	}
	return s.release()
}

// release lets go of the home.
func (s *Server) release() error {
	var err error
	if s.admin != nil {
		err = s.admin.Close()
	}
	s.unlockOnce.Do(func() {
		_ = os.Remove(s.socket) // it may be outside of the home, where nobody else would; a start makes it again
		err = errors.Join(err, unlockFile(s.lock))
	})
	return err
}

// sharesMemory tells whether Postgres refused to start because children of a killed postmaster are alive.
func sharesMemory(words string) bool {
	return strings.Contains(words, "pre-existing shared memory block")
}
