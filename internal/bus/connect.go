package bus

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"gantry.example/messages"
)

// How fast a lost connection is tried again: a server restart is over in a second, and half of each pause is random, which
// keeps many clients from coming back in the same instant. Who was refused has less to hurry for.
const (
	minReconnect = 250 * time.Millisecond
	maxReconnect = 2 * time.Second
	maxRefused   = 30 * time.Second
)

// ConnectConfig says where a worker or runner finds NATS and who it is.
type ConnectConfig struct {
	URL         string       // nats://host:port, several separated by commas; or wss://host/path, through an HTTPS server
	Token       string       // pool token of a worker, attempt token of a runner
	Name        string       // worker or attempt id; the server builds permissions from it
	InboxPrefix string       // empty: messages.InboxPrefix(Name), which is what the permissions allow
	CACert      []byte       // PEM of the only authorities to trust where TLS is used (a URL of tls:// insists on it); empty: the system's
	Log         *slog.Logger // nil: silent
	// Sessions, if set, is what connections over TLS by the same host name or address remember for each other, so that a later
	// one need not look at the server's certificate again.
	Sessions tls.ClientSessionCache
}

// Connect opens a connection that never gives up: it returns before the server answers if it has to, and reconnects for as
// long as it is not closed, also after a refused token, because the token may only be unknown while a server restarts.
// While it is disconnected every publish and request fails at once: nothing is kept back to be sent late, so a caller that
// wants something delivered tries again. An error means a wrong configuration.
func Connect(c ConnectConfig) (*nats.Conn, error) {
	if !messages.ValidName(c.Name) {
		return nil, fmt.Errorf("nats: client name %q: want 1 to %d of A-Z a-z 0-9 _ -", c.Name, messages.MaxNameLength)
	}
	prefix := c.InboxPrefix
	if prefix == "" {
		prefix = messages.InboxPrefix(c.Name)
	}
	opts := append(Options(c.Name, c.Log), nats.Token(c.Token), nats.CustomInboxPrefix(prefix))
	trust, err := TrustOnly(c.CACert)
	if err != nil {
		return nil, err
	}
	if trust == nil && c.Sessions != nil {
		trust = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if trust != nil {
		trust.ClientSessionCache = c.Sessions
	}
	if strings.HasPrefix(c.URL, "ws") {
		// What NATS says of its own addresses is of no use to who comes through an HTTPS server; and a proxy, not this machine,
		// may be who knows the server's.
		opts = append(opts, nats.IgnoreDiscoveredServers(), nats.SkipHostLookup(), nats.SetCustomDialer(proxied{c.URL}))
	}
	if !strings.HasPrefix(c.URL, "ws://") { // which nats.go would use TLS for, if it had something to trust
		opts = append(opts, Trusting(trust))
	}
	nc, err := nats.Connect(c.URL, opts...)
	if err != nil {
		return nil, fmt.Errorf("nats: connect to %s as %s: %w", c.URL, c.Name, err)
	}
	return nc, nil
}

// TrustOnly is a TLS configuration that trusts these authorities (PEM) and no others; nil, which means the system's, for
// none.
func TrustOnly(caCert []byte) (*tls.Config, error) {
	if len(caCert) == 0 {
		return nil, nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(caCert) {
		return nil, errors.New("nats: the CA certificate is not a PEM certificate")
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}, nil
}

// Trusting has the connection use these authorities if the server or the URL asks for TLS; it does not ask for it itself.
func Trusting(conf *tls.Config) nats.Option {
	return func(o *nats.Options) error {
		o.TLSConfig = conf
		return nil
	}
}

// Options are common to all connections, the server's own included. log may be nil.
func Options(name string, log *slog.Logger) []nats.Option {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	log = log.With("nats_client", name)
	var lastFailure string // callbacks of one connection run one after the other
	var refused atomic.Bool
	return []nats.Option{
		nats.Name(name),
		nats.MaxReconnects(-1),
		nats.RetryOnFailedConnect(true),
		nats.CustomReconnectDelay(func(tries int) time.Duration {
			limit := maxReconnect
			if refused.Load() {
				limit = maxRefused
			}
			pause := min(minReconnect<<min(tries, 10), limit)
			return pause/2 + rand.N(pause/2)
		}),
		// Without this the second expiry of the user's hour ends the connection for good.
		nats.IgnoreAuthErrorAbort(),
		// A lease renewal or a log chunk from before an outage must not be sent after it.
		nats.ReconnectBufSize(-1),
		nats.PermissionErrOnSubscribe(true),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("nats connection lost, reconnecting", "error", err)
			}
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) {
			refused.Store(errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) || errors.Is(err, nats.ErrAuthRevoked))
			if err != nil && err.Error() != lastFailure { // the same failure four times a second is said once
				lastFailure = err.Error()
				log.Warn("nats does not answer, trying again", "error", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			lastFailure = ""
			refused.Store(false)
			log.Info("nats connection is back", "server", nc.ConnectedServerName())
		}),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			if sub != nil {
				log.Warn("nats error", "subject", sub.Subject, "error", err)
				return
			}
			log.Warn("nats error", "error", err)
		}),
	}
}
