package broker

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// Authenticator says who the holder of a token is. It is called concurrently, once per connection and again whenever the
// user expires, so it must be quick and must not remember calls. clientName is what the client calls itself,
// any text: the Authenticator binds it to the token or ignores it. An Identity whose name is not a valid one
// (messages.ValidName) is refused. Any error refuses the connection.
type Authenticator interface {
	Authenticate(ctx context.Context, token, clientName string) (Identity, error)
}

const (
	// calloutTimeout bounds one authentication; the server drops a client it has not admitted by then.
	calloutTimeout = 5 * time.Second
	// calloutWorkers is how many clients are authenticated at the same time, so that one slow look-up delays nobody else.
	calloutWorkers = 8
)

// Callout is the service that admits clients. Close it before the server's Shutdown.
type Callout struct {
	issuer nkeys.KeyPair // signs the users
	log    *slog.Logger
	nc     *nats.Conn
	auth   Authenticator
	ctx    context.Context // of the look-ups; ends with the caller's context or Close
	cancel context.CancelFunc
	closed chan struct{}

	disconnect func(ctx context.Context, tokenID string) (int, error) // of the NATS it serves
}

// ServeCallout admits clients by asking auth until Close. Canceling ctx fails look-ups but does not stop the service.
// Until it is called, clients are refused and keep trying.
func (s *Server) ServeCallout(ctx context.Context, auth Authenticator) (*Callout, error) {
	nc, err := s.connectInProcess("gantry-callout", authUser)
	if err != nil {
		return nil, err
	}
	return serveCallout(ctx, nc, s.issuer, auth, s.disconnect, s.log)
}

// serveCallout serves on the connection, which is the Callout's from here on. It returns when this server, if the connection
// stands, sends it what clients ask; otherwise that follows with the connection.
func serveCallout(ctx context.Context, nc *nats.Conn, issuer nkeys.KeyPair, auth Authenticator, disconnect func(context.Context, string) (int, error), log *slog.Logger) (*Callout, error) {
	c := &Callout{issuer: issuer, log: log, nc: nc, auth: auth, disconnect: disconnect, closed: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancel(ctx)
	nc.SetClosedHandler(func(*nats.Conn) { close(c.closed) })
	for range calloutWorkers {
		if _, err := nc.QueueSubscribe(server.AuthCalloutSubject, "callout", c.answer); err != nil {
			c.Close()
			return nil, fmt.Errorf("nats: serve authentication: %w", err)
		}
	}
	if !nc.IsConnected() {
		return c, nil
	}
	if err := nc.FlushTimeout(calloutTimeout); err != nil {
		c.Close()
		return nil, fmt.Errorf("nats: serve authentication: %w", err)
	}
	return c, nil
}

// Close stops admitting clients and waits for look-ups in progress.
func (c *Callout) Close() {
	c.cancel()
	if err := c.nc.Drain(); err != nil { // not connected: there is nothing to drain
		c.nc.Close()
	}
	<-c.closed
}

// answer decides about one connection. Refusals are logged here because nobody else hears of them; the token never is.
func (c *Callout) answer(m *nats.Msg) {
	req, err := jwt.DecodeAuthorizationRequestClaims(string(m.Data))
	if err != nil {
		c.log.Error("nats authentication request is not readable", "error", err)
		return
	}
	res := jwt.NewAuthorizationResponseClaims(req.UserNkey)
	res.Audience = req.Server.ID
	if res.Jwt, err = c.admit(req); err != nil {
		res.Error = "refused"
		from := "host"
		if req.ClientInformation.Type == "websocket" { // NATS tells who passed it on; that one's log has its address
			from = "gateway"
		}
		c.log.Warn("nats client refused", "nats_client", req.ConnectOptions.Name, from, req.ClientInformation.Host, "error", err)
	}
	out, err := res.Encode(c.issuer)
	if err == nil {
		err = m.Respond([]byte(out))
	}
	if err != nil {
		c.log.Error("nats authentication answer not sent", "nats_client", req.ConnectOptions.Name, "error", err)
	}
}

// admit returns the signed user for the client, or why it is not let in.
func (c *Callout) admit(req *jwt.AuthorizationRequestClaims) (string, error) {
	ctx, cancel := context.WithTimeout(c.ctx, calloutTimeout)
	defer cancel()
	id, err := c.auth.Authenticate(ctx, req.ConnectOptions.Token, req.ConnectOptions.Name)
	if err != nil {
		return "", err
	}
	if err := id.validate(); err != nil {
		return "", err
	}
	user := jwt.NewUserClaims(req.UserNkey)
	user.Name, user.Audience = id.Name, appAccount
	if id.TokenID != "" {
		user.Name = id.TokenID // what Disconnect finds it by
	}
	user.Permissions = id.permissions()
	user.Expires = id.expires().Unix()
	user.Subs = maxSubscriptions
	return user.Encode(c.issuer)
}
