package bus

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// dialLimit bounds a connection, and what a proxy is asked for.
const dialLimit = 5 * time.Second

// proxied dials the server of a WebSocket the way an HTTP client does: through the proxy that HTTPS_PROXY and NO_PROXY say.
type proxied struct{ target string }

// Dial implements nats.CustomDialer.
func (p proxied) Dial(network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), dialLimit)
	defer cancel()
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: httpURL(p.target)})
	if err != nil {
		return nil, fmt.Errorf("proxy of the environment: %w", err)
	}
	dialer := &net.Dialer{KeepAlive: 15 * time.Second}
	if proxy == nil {
		return dialer.DialContext(ctx, network, address)
	}
	port := proxy.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[proxy.Scheme]
	}
	if proxy.Scheme != "http" && proxy.Scheme != "https" {
		return nil, fmt.Errorf("proxy %s: only http and https proxies can be used", proxy.Redacted())
	}
	conn, err := dialer.DialContext(ctx, network, net.JoinHostPort(proxy.Hostname(), port))
	if err != nil {
		return nil, fmt.Errorf("proxy %s: %w", proxy.Redacted(), err)
	}
	if proxy.Scheme == "https" {
		conn = tls.Client(conn, &tls.Config{MinVersion: tls.VersionTLS12, ServerName: proxy.Hostname()})
	}
	if err := tunnel(conn, proxy, address); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("proxy %s: %w", proxy.Redacted(), err)
	}
	return conn, nil
}

func httpURL(ws string) *url.URL {
	u, err := url.Parse("http" + strings.TrimPrefix(ws, "ws"))
	if err != nil {
		return &url.URL{}
	}
	return u
}

// tunnel asks the proxy for a connection to the address.
func tunnel(conn net.Conn, proxy *url.URL, address string) error {
	if err := conn.SetDeadline(time.Now().Add(dialLimit)); err != nil {
		return err
	}
	ask := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: address}, Host: address, Header: http.Header{}}
	if user := proxy.User; user != nil {
		password, _ := user.Password()
		ask.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)))
	}
	if err := ask.Write(conn); err != nil {
		return err
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), ask) // the server behind it says nothing until it is spoken to
	if err != nil {
		return err
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("answered %s to CONNECT %s", answer.Status, address)
	}
	return conn.SetDeadline(time.Time{})
}
