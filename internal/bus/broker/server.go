package broker

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"golang.org/x/crypto/bcrypt"

	"gantry.example/internal/bus"
)

// Accounts of the embedded server: clients and JetStream live in APP, the callout that admits them in AUTH.
const (
	appAccount    = "APP"
	authAccount   = "AUTH"
	systemAccount = "SYS"
	serverUser    = "server" // the program's own user in APP
	authUser      = "auth"   // the callout's user in AUTH
)

// readyTimeout bounds the start: recovering the streams of a large store takes seconds.
const readyTimeout = 60 * time.Second

// Config configures the embedded server.
type Config struct {
	StoreDir string       // folder of the streams, created 0700 if missing
	Listen   string       // loopback host:port for workers and runners; port 0 picks one; "" opens no port at all
	Log      *slog.Logger // where the server's own log goes, its notices as debug messages; nil: nowhere
	// NoSync leaves flushing to the operating system: much faster, and an acknowledged message may be lost with the
	// machine. For tests.
	NoSync bool
}

// ListenError tells that the server cannot listen on Addr, usually because another program does.
type ListenError struct {
	Addr string
	Err  error
}

func (e *ListenError) Error() string {
	return fmt.Sprintf("nats: cannot listen on %s: %v", e.Addr, e.Err)
}

// Unwrap gives the operating system's error.
func (e *ListenError) Unwrap() error { return e.Err }

// Server is a NATS server inside this process with JetStream on disk. Only the program's own user gets in without
// ServeCallout.
type Server struct {
	ns       *server.Server
	issuer   nkeys.KeyPair // signs the users the callout admits; a new one per start, never stored
	password string        // of the program's own users; a new one per start, never stored
	log      *slog.Logger
	failed   chan error // receives the first failure the server does not recover from
}

// Failed receives when the server can no longer store anything: after a failed write (a full disk) a stream refuses all
// later ones, also when there is space again, until the server is started anew.
func (s *Server) Failed() <-chan error { return s.failed }

// Start starts the server and returns when it accepts clients and has recovered its streams. An unusable listen
// address is a *ListenError. Stop it with Shutdown.
func Start(c Config) (*Server, error) {
	host, port, err := listenAddress(c.Listen)
	if err != nil {
		return nil, err
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	issuer, err := nkeys.CreateAccount()
	if err != nil {
		return nil, fmt.Errorf("nats: create issuer key: %w", err)
	}
	s := &Server{issuer: issuer, password: rand.Text(), log: c.Log, failed: make(chan error, 1)}
	opts, err := s.options(c, host, port)
	if err != nil {
		return nil, err
	}
	if s.ns, err = server.NewServer(opts); err != nil {
		return nil, fmt.Errorf("nats: %w", err)
	}
	s.ns.SetLoggerV2(serverLog{c.Log, s.failed}, false, false, false)
	s.ns.Start()
	if !s.ns.ReadyForConnections(readyTimeout) {
		s.Shutdown()
		return nil, &ListenError{Addr: c.Listen, Err: errors.New("the server did not become ready")}
	}
	app, err := s.ns.LookupAccount(appAccount)
	if err == nil {
		err = app.EnableJetStream(nil, nil)
	}
	if err != nil {
		s.Shutdown()
		return nil, fmt.Errorf("nats: open the streams in %s: %w", c.StoreDir, err)
	}
	return s, nil
}

func (s *Server) options(c Config, host string, port int) (*server.Options, error) {
	public, err := s.issuer.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("nats: issuer key: %w", err)
	}
	// At the least cost: the password is random, and only the server's plain-text warning is at stake.
	hash, err := bcrypt.GenerateFromPassword([]byte(s.password), bcrypt.MinCost)
	if err != nil {
		return nil, fmt.Errorf("nats: hash the server's own password: %w", err)
	}
	app, auth := server.NewAccount(appAccount), server.NewAccount(authAccount)
	return &server.Options{
		ServerName: "gantry",
		Host:       host,
		Port:       port,
		DontListen: c.Listen == "",
		NoSigs:     true,
		Websocket:  websocket(c),
		JetStream:  true,
		StoreDir:   c.StoreDir,
		// The streams have their own limits. The server's, a share of what is free at its start, would refuse to create them
		// on a small disk.
		JetStreamMaxStore: math.MaxInt64,
		SyncAlways:        !c.NoSync,
		SystemAccount:     systemAccount,
		Accounts:          []*server.Account{app, auth, server.NewAccount(systemAccount)},
		Users: []*server.User{
			{Username: serverUser, Password: string(hash), Account: app},
			{Username: authUser, Password: string(hash), Account: auth},
		},
		AuthCallout: &server.AuthCallout{Issuer: public, Account: authAccount, AuthUsers: []string{serverUser, authUser}},
		AuthTimeout: calloutTimeout.Seconds(),
	}, nil
}

// websocket lets clients in that an HTTPS server passes on. Its port may change with each start, because only we have to know it.
func websocket(c Config) server.WebsocketOpts {
	if c.Listen == "" {
		return server.WebsocketOpts{}
	}
	return server.WebsocketOpts{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoTLS: true}
}

// listenAddress parses the address and tries it, because the server itself would only log a busy port.
func listenAddress(addr string) (host string, port int, err error) {
	if addr == "" {
		return "", 0, nil
	}
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, &ListenError{Addr: addr, Err: err}
	}
	if port, err = strconv.Atoi(p); err != nil {
		return "", 0, &ListenError{Addr: addr, Err: fmt.Errorf("port %q is not a number", p)}
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return "", 0, &ListenError{Addr: addr, Err: errors.New("not a loopback address, and tokens would travel unencrypted")}
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", 0, &ListenError{Addr: addr, Err: err}
	}
	if err := l.Close(); err != nil {
		return "", 0, &ListenError{Addr: addr, Err: err}
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	return host, port, nil
}

// Connect opens an in-process connection of the server's own user: every permission in APP. It outlives nothing: close it
// before Shutdown.
func (s *Server) Connect(name string) (*nats.Conn, error) {
	return s.connectInProcess(name, serverUser)
}

func (s *Server) connectInProcess(name, user string) (*nats.Conn, error) {
	opts := append(bus.Options(name, s.log), nats.InProcessServer(s.ns), nats.UserInfo(user, s.password))
	nc, err := nats.Connect("", opts...)
	if err != nil {
		return nil, fmt.Errorf("nats: connect %s in process: %w", name, err)
	}
	return nc, nil
}

// ClientURL is where workers and runners connect, nats://host:port; empty when nothing listens.
func (s *Server) ClientURL() string {
	if s.ns.Addr() == nil {
		return ""
	}
	return s.ns.ClientURL()
}

// WebSocketURL is where this server takes WebSockets, for whoever passes them on from an HTTPS server: ws://host:port; empty
// when nothing listens. It is another one after each start.
func (s *Server) WebSocketURL() string {
	if s.ns.Addr() == nil {
		return ""
	}
	return s.ns.WebsocketURL()
}

// Shutdown stops the server and returns when its files are closed. It takes about 10 ms per consumer.
func (s *Server) Shutdown() {
	s.ns.Shutdown()
	s.ns.WaitForShutdown()
}

// serverLog passes the server's log on. Its notices are a page at every start, so they are debug messages here.
type serverLog struct {
	log    *slog.Logger
	failed chan<- error
}

// writeError is how the server's log begins to speak of a stream that it gave up.
const writeError = "Critical write error"

// Noticef implements server.Logger, as do the other methods.
func (l serverLog) Noticef(format string, v ...any) { l.log.Debug(serverLine(format, v)) }

// Warnf implements server.Logger. That a stream's index is read anew after a kill is how it is meant to be: nothing is lost. And
// WebSockets without TLS do not leave this machine.
func (l serverLog) Warnf(format string, v ...any) {
	line := serverLine(format, v)
	if strings.HasPrefix(format, "Websocket not configured with TLS") {
		l.log.Debug(line)
		return
	}
	for _, normal := range []string{"Stream state detected prior state", "Stream state outdated", "Recovering stream state from index", "TTL state is outdated"} {
		if strings.Contains(line, "Filestore [") && strings.Contains(line, normal) {
			l.log.Debug(line)
			return
		}
	}
	l.log.Warn(line)
}

// Errorf implements server.Logger.
func (l serverLog) Errorf(format string, v ...any) {
	line := serverLine(format, v)
	l.log.Error(line)
	if strings.Contains(line, writeError) {
		select {
		case l.failed <- errors.New(line):
		default: // told before
		}
	}
}

// Fatalf implements server.Logger. The server only logs and stops; Start's caller gets the error.
func (l serverLog) Fatalf(format string, v ...any) { l.log.Error(serverLine(format, v)) }

// Debugf implements server.Logger.
func (l serverLog) Debugf(format string, v ...any) { l.log.Debug(serverLine(format, v)) }

// Tracef implements server.Logger. Protocol traces are never asked for.
func (l serverLog) Tracef(string, ...any) {}

func serverLine(format string, v []any) string { return "nats server: " + fmt.Sprintf(format, v...) }
