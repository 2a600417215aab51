package bus

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"

	"gantry.example/messages"
)

// How fast a lost connection is tried again: a server restart is over in a second, and the jitter keeps many clients from
// coming back in the same instant.
const (
	reconnectWait   = 250 * time.Millisecond
	reconnectJitter = 500 * time.Millisecond
)

// ConnectConfig says where a worker or runner finds NATS and who it is.
type ConnectConfig struct {
	URL         string       // nats://host:port, several separated by commas
	Token       string       // pool token of a worker, attempt token of a runner
	Name        string       // worker or attempt id; the server builds permissions from it
	InboxPrefix string       // empty: messages.InboxPrefix(Name), which is what the permissions allow
	CACert      []byte       // PEM of the only authorities to trust where TLS is used (a URL of tls:// insists on it); empty: the system's
	Log         *slog.Logger // nil: silent
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
	opts = append(opts, Trusting(trust))
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
	return []nats.Option{
		nats.Name(name),
		nats.MaxReconnects(-1),
		nats.RetryOnFailedConnect(true),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectJitter, reconnectJitter),
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
			if err != nil && err.Error() != lastFailure { // the same failure four times a second is said once
				lastFailure = err.Error()
				log.Warn("nats does not answer, trying again", "error", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			lastFailure = ""
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
