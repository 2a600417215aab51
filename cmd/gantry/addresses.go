package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"gantry.example/internal/pki"
)

// publicURL checks the address that links begin with, and returns it without a slash at its end. Empty stays empty.
func publicURL(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	u, err := url.Parse(strings.TrimSuffix(text, "/"))
	switch {
	case err != nil, u.Hostname() == "", u.Scheme != "http" && u.Scheme != "https", u.User != nil, u.RawQuery != "", u.ForceQuery, u.Fragment != "":
		return "", fmt.Errorf("%q: want https://host[:port]", text)
	case u.Path != "":
		return "", fmt.Errorf("%q: Gantry cannot be below the path %s, because terraform looks for it on a host and knows no paths: give it a host name or a port of its own", text, u.Path)
	}
	u.Host = strings.ToLower(u.Host)
	return u.String(), nil
}

// publicURL is what links begin with: what the operator says, else the best that is known.
func (s *server) publicURL() string {
	switch {
	case s.cfg.PublicURL != "":
		return s.cfg.PublicURL
	case len(s.cfg.TLS.ACMEHosts) > 0:
		return "https://" + s.cfg.TLS.ACMEHosts[0]
	case s.https == nil || !reachable(s.https):
		return s.localURL()
	}
	host, _, _ := net.SplitHostPort(s.cfg.HTTPS)
	if name, err := os.Hostname(); wildcard(host) && err == nil {
		host = name
	}
	return "https://" + net.JoinHostPort(strings.ToLower(host), port(s.https))
}

// localURL is where programs on this machine reach the server: without certificates, if that does not leave the machine. It is
// empty where nothing is served.
func (s *server) localURL() string {
	if s.http == nil && s.https == nil {
		return ""
	}
	if s.http != nil && (s.https == nil || !reachable(s.http) || wildcardOf(s.http)) {
		return "http://" + near(s.http)
	}
	return "https://" + near(s.https)
}

// tellHTTPS leaves in the data folder where terraform on this machine reaches the server, for gantry trust.
func (s *server) tellHTTPS() error {
	if s.https == nil {
		return nil
	}
	address := s.publicURL()
	if !strings.HasPrefix(address, "https:") {
		address = "https://" + near(s.https)
		if !reachable(s.https) || wildcardOf(s.https) {
			address = "https://localhost:" + port(s.https)
		}
	}
	path := filepath.Join(s.cfg.DataDir, httpsAddressFile)
	return errors.Join(os.WriteFile(path, []byte(address+"\n"), 0o644), os.Chmod(path, 0o644))
}

// near is the listener's address for programs of this machine.
func near(ln net.Listener) string {
	if wildcardOf(ln) {
		return net.JoinHostPort("127.0.0.1", port(ln))
	}
	return ln.Addr().String()
}

func port(ln net.Listener) string {
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	return port
}

// reachable reports whether others than this machine can connect.
func reachable(ln net.Listener) bool {
	host, _, _ := net.SplitHostPort(ln.Addr().String())
	return !net.ParseIP(host).IsLoopback()
}

func wildcardOf(ln net.Listener) bool {
	host, _, _ := net.SplitHostPort(ln.Addr().String())
	return wildcard(host)
}

// wildcard reports whether a host to listen on stands for all addresses of the machine.
func wildcard(host string) bool { return host == "" || net.ParseIP(host).IsUnspecified() }

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// trusted are the authorities that the worker trusts: those of --ca-file, and, where it has to use HTTPS to the API in this
// process, the server's own and what the operator's certificate comes from, in case that one is for this machine, too.
func (s *server) trusted() ([]byte, error) {
	out, err := s.cfg.ca()
	if err != nil || !s.cfg.has(roleAPI) || !strings.HasPrefix(s.localURL(), "https:") {
		return out, err
	}
	for _, path := range []string{filepath.Join(s.cfg.DataDir, pki.CAFile), s.cfg.TLS.Cert} {
		if path == "" {
			continue
		}
		more, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("the certificates by which runners know the server: %w", err)
		}
		out = append(append(out, more...), '\n')
	}
	return out, nil
}
