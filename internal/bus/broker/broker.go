// Package broker is where NATS comes from: the embedded server or a cluster elsewhere, and who is let in with which permissions.
// It is apart from package bus so that a worker, which only connects, does not link a server.
//
//	server.go    the embedded server           cluster_config.go, credentials.go   a cluster elsewhere
//	callout.go   who may connect               permissions.go                      what they may do
package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"gantry.example/internal/bus"
)

// Broker is where a program's services find NATS: its own embedded Server, or a Cluster elsewhere. It is declared here and
// not by who uses it because nobody else knows of NATS. Safe for concurrent use.
type Broker interface {
	// Connect connects the program itself, with every permission. Close the connection before the broker ends.
	Connect(name string) (*nats.Conn, error)
	// ServeCallout admits workers and runners until the Callout is closed. Several programs may serve one broker.
	ServeCallout(ctx context.Context, auth Authenticator) (*Callout, error)
	// Gateway takes clients from an HTTPS server, as WebSockets, so that an agent needs to reach nothing else.
	Gateway() *Gateway
}

var (
	_ Broker = (*Server)(nil)
	_ Broker = (*Cluster)(nil)
)

// Cluster is a NATS that runs elsewhere, configured as ClusterConfig writes it.
type Cluster struct {
	url   string
	creds Credentials
	trust *tls.Config // nil: the system's authorities

	websockets []string // where its servers take WebSockets
	log        *slog.Logger
	issuer     nkeys.KeyPair // nil: admits nobody
}

// NewCluster describes the cluster at url (several servers separated by commas); it does not connect. websockets is where the
// servers take WebSockets, wss://host:port, empty if they do not. caCert is the PEM of the only authorities to trust, empty for
// the system's.
func NewCluster(url string, websockets []string, creds Credentials, caCert []byte, log *slog.Logger) (*Cluster, error) {
	if err := creds.check(); err != nil {
		return nil, fmt.Errorf("nats: credentials: %w", err)
	}
	trust, err := bus.TrustOnly(caCert)
	if err != nil {
		return nil, err
	}
	c := &Cluster{url: url, websockets: websockets, creds: creds, trust: trust, log: log}
	if creds.Admits() {
		if c.issuer, err = nkeys.FromSeed([]byte(creds.Issuer)); err != nil {
			return nil, errors.New("nats: credentials: the issuer's seed is not usable")
		}
	}
	return c, nil
}

// Connect implements Broker. Like every connection of ours it returns before the cluster answers, and never gives up.
func (c *Cluster) Connect(name string) (*nats.Conn, error) { return c.connect(name, c.creds.Services) }

func (c *Cluster) connect(name, seed string) (*nats.Conn, error) {
	pair, err := nkeys.FromSeed([]byte(seed))
	if err != nil {
		return nil, errors.New("nats: credentials: a seed is not usable")
	}
	key, err := pair.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("nats: credentials: %w", err)
	}
	opts := append(bus.Options(name, c.log), nats.Nkey(key, pair.Sign), bus.Trusting(c.trust))
	nc, err := nats.Connect(c.url, opts...)
	if err != nil {
		return nil, fmt.Errorf("nats: connect %s to %s: %w", name, c.url, err)
	}
	return nc, nil
}

// ServeCallout implements Broker.
func (c *Cluster) ServeCallout(ctx context.Context, auth Authenticator) (*Callout, error) {
	if c.issuer == nil {
		return nil, errors.New("nats: these credentials admit nobody: use those of the API, with the seeds auth and issuer")
	}
	nc, err := c.connect("gantry-callout", c.creds.Auth)
	if err != nil {
		return nil, err
	}
	return serveCallout(ctx, nc, c.issuer, auth, c.disconnect, c.log)
}

// Gateway implements Broker.
func (c *Cluster) Gateway() *Gateway {
	return &Gateway{urls: func() []string { return c.websockets }, trust: c.trust, log: c.log}
}
