package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	gatewayDial = 5 * time.Second // to reach NATS
	// refusedWithin is how soon NATS sends away whom it does not let in, and a little.
	refusedWithin = calloutTimeout + time.Second
	// gatewayBuffer is small because there are two for each agent, and what passes is small too.
	gatewayBuffer = 4 << 10
)

// Gateway passes WebSockets on to NATS. Who they are is found out there, as for every other client. What it passes it does not
// look into, and no limit of HTTP ends a connection that is quiet: clients and NATS ping each other. It is an http.Handler.
type Gateway struct {
	urls  func() []string // of NATS, ws or wss; asked for each client
	trust *tls.Config
	log   *slog.Logger
}

// Gateway implements Broker.
func (s *Server) Gateway() *Gateway {
	return &Gateway{urls: func() []string { return []string{s.WebSocketURL()} }, log: s.log}
}

// ServeHTTP implements http.Handler.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet || !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		w.Header().Set("Upgrade", "websocket")
		http.Error(w, "this is where agents connect to NATS, by WebSocket; see docs/agents.md", http.StatusUpgradeRequired)
		return
	}
	nats, err := g.dial(r.Context())
	if err != nil {
		g.log.Warn("an agent could not be passed on to NATS", "host", r.RemoteAddr, "error", err)
		http.Error(w, "NATS cannot be reached: try again", http.StatusBadGateway)
		return
	}
	defer nats.Close()
	if err := forward(r, nats); err != nil {
		g.log.Warn("an agent could not be passed on to NATS", "host", r.RemoteAddr, "error", err)
		http.Error(w, "NATS cannot be reached: try again", http.StatusBadGateway)
		return
	}
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "a WebSocket takes HTTP/1.1", http.StatusHTTPVersionNotSupported)
		return
	}
	defer client.Close()
	if err := client.SetDeadline(time.Time{}); err != nil {
		return
	}
	g.passBoth(r.RemoteAddr, client, buffered, nats)
}

// passBoth passes bytes both ways until either side ends; the other ends with the connections. Whom NATS sends away at once is said
// here, because the callout, which refuses, hears our address and not the client's.
func (g *Gateway) passBoth(address string, client io.Writer, sent io.Reader, nats io.ReadWriter) {
	began, byNATS := time.Now(), make(chan bool, 2)
	go pass(nats, sent, func() { byNATS <- false })
	go pass(client, nats, func() { byNATS <- true })
	if <-byNATS && time.Since(began) < refusedWithin {
		g.log.Warn("NATS sent a client away that was passed on to it", "host", address)
	}
}

func pass(to io.Writer, from io.Reader, ended func()) {
	_, _ = io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, make([]byte, gatewayBuffer))
	ended()
}

// dial connects to one of the servers, chosen at random so that the clients are spread.
func (g *Gateway) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, gatewayDial)
	defer cancel()
	urls := g.urls()
	failed := errors.New("no NATS server takes WebSockets: give --nats-websocket-url, or agents --nats-url")
	for _, i := range rand.Perm(len(urls)) {
		u, err := url.Parse(urls[i])
		if err != nil || u.Host == "" {
			continue
		}
		dialer := &net.Dialer{KeepAlive: 15 * time.Second}
		var conn net.Conn
		if u.Scheme == "wss" {
			conn, err = (&tls.Dialer{NetDialer: dialer, Config: g.trust}).DialContext(ctx, "tcp", u.Host)
		} else {
			conn, err = dialer.DialContext(ctx, "tcp", u.Host)
		}
		if err == nil {
			return conn, nil
		}
		failed = err
	}
	return nil, failed
}

// forward sends the request on. NATS looks at the address of the client, which is ours to tell, and at nothing else of it.
func forward(r *http.Request, nats net.Conn) error {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	out := &http.Request{
		Method: http.MethodGet, URL: &url.URL{Path: "/"}, Host: r.Host,
		Header: http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}, "X-Forwarded-For": {host}},
	}
	for _, name := range []string{"Sec-Websocket-Key", "Sec-Websocket-Version", "Sec-Websocket-Extensions", "Origin"} {
		if v := r.Header.Values(name); len(v) > 0 {
			out.Header[name] = v
		}
	}
	if err := nats.SetWriteDeadline(time.Now().Add(gatewayDial)); err != nil {
		return err
	}
	if err := out.Write(nats); err != nil {
		return fmt.Errorf("pass on a WebSocket: %w", err)
	}
	return nats.SetWriteDeadline(time.Time{})
}
