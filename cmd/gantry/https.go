package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/pflag"

	"gantry.example/internal/forwarded"
	"gantry.example/internal/pki"
)

// httpsConfig says whose certificates the server shows.
type httpsConfig struct {
	Cert, Key string

	ACMEHosts     []string
	ACMEEmail     string
	ACMEDirectory string
}

func (c *httpsConfig) flags(f *pflag.FlagSet) {
	f.StringVar(&c.Cert, "tls-cert", "", "certificate chain for --https, PEM; a new one in the file is taken into use (default: one of the server's own authority, <data-dir>/ca.pem)")
	f.StringVar(&c.Key, "tls-key", "", "key of --tls-cert, PEM")
	f.StringSliceVar(&c.ACMEHosts, "acme-host", nil, "public names for which to get certificates from Let's Encrypt, whose terms of service you thereby accept; port 443 of the name must lead to --https, or port 80 to --http; separated by commas")
	f.StringVar(&c.ACMEEmail, "acme-email", "", "whom Let's Encrypt tells about problems with them")
	f.StringVar(&c.ACMEDirectory, "acme-directory", "", "directory URL of another authority that speaks ACME (default: Let's Encrypt's)")
}

func (c *httpsConfig) validate(https string) error {
	switch {
	case (c.Cert == "") != (c.Key == ""):
		return errors.New("--tls-cert and --tls-key go together: give both or neither")
	case c.Cert != "" && len(c.ACMEHosts) > 0:
		return errors.New("--tls-cert and --acme-host exclude each other: choose whose certificates the server shows")
	case (c.Cert != "" || len(c.ACMEHosts) > 0) && https == "":
		return errors.New("--tls-cert and --acme-host need an address in --https")
	case len(c.ACMEHosts) == 0 && (c.ACMEEmail != "" || c.ACMEDirectory != ""):
		return errors.New("--acme-email and --acme-directory are for --acme-host, which is missing")
	}
	for i, host := range c.ACMEHosts {
		if !strings.Contains(strings.Trim(host, "."), ".") || strings.ContainsAny(host, "*:/ ") || net.ParseIP(host) != nil {
			return fmt.Errorf("--acme-host %q: want a public name like gantry.example.com, without port and wildcard", host)
		}
		c.ACMEHosts[i] = strings.ToLower(host)
	}
	return nil
}

// openCertificates opens the server's own authority and, if the operator wants others, the source of those.
func (s *server) openCertificates(context.Context) error {
	if s.https == nil {
		return nil
	}
	own, err := pki.Open(s.cfg.DataDir, s.hosts())
	if err != nil {
		return err
	}
	var source pki.Source
	switch {
	case s.cfg.TLS.Cert != "":
		if s.pair, err = pki.OpenPair(s.cfg.TLS.Cert, s.cfg.TLS.Key, s.tellPair); err != nil {
			return fmt.Errorf("--tls-cert, --tls-key: %w", err)
		}
		source = s.pair
	case len(s.cfg.TLS.ACMEHosts) > 0:
		s.acme, err = pki.OpenACME(pki.ACMEConfig{
			Hosts: s.cfg.TLS.ACMEHosts, Email: s.cfg.TLS.ACMEEmail, Directory: s.cfg.TLS.ACMEDirectory,
			Dir: filepath.Join(s.cfg.DataDir, "acme"), Told: s.tellACME,
		})
		if err != nil {
			return fmt.Errorf("--acme-host: %w", err)
		}
		source = s.acme
	default:
		s.log.Info("certificates are signed by the server's own authority: see gantry trust", "names", s.hosts(), "fingerprint", own.Fingerprint())
	}
	s.tls = pki.TLS(own, source)
	return nil
}

func (s *server) tellPair(err error) {
	if err != nil {
		s.log.Error("the new certificate cannot be used, so the old one stays in use: correct --tls-cert or --tls-key", "error", err)
		return
	}
	s.log.Info("a new certificate is in use", "file", s.cfg.TLS.Cert)
}

func (s *server) tellACME(host string, err error) {
	if err != nil {
		s.log.Error("no certificate by ACME: port 443 of the name must lead to --https, or port 80 to --http. It is tried again when somebody connects", "host", host, "error", err)
		return
	}
	s.log.Info("has a certificate by ACME", "host", host)
}

// keepCertificates gets what is missing, and looks at the operator's files when it is told to by SIGHUP.
func (s *server) keepCertificates(ctx context.Context) error {
	if s.acme != nil {
		s.acme.Obtain(ctx)
	}
	if s.pair == nil {
		<-ctx.Done()
		return nil
	}
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGHUP)
	defer signal.Stop(told)
	for {
		select {
		case <-told:
			s.pair.Reload()
		case <-ctx.Done():
			return nil
		}
	}
}

// answersACME is the handler of plain HTTP, where an authority may ask its questions too.
func (s *server) answersACME(next http.Handler) http.Handler {
	if s.acme == nil {
		return next
	}
	return s.acme.Handler(next)
}

// ofProxies gives the handler requests that have their clients' addresses.
func (s *server) ofProxies(next http.Handler) (http.Handler, error) {
	proxies, err := forwarded.Parse(s.cfg.TrustedProxies)
	if err != nil {
		return nil, err
	}
	return proxies.Handler(next), nil
}

// hosts are the names and addresses that the server's own certificate is for.
func (s *server) hosts() []string {
	out := []string{"localhost", "127.0.0.1", "::1"}
	host, _, _ := net.SplitHostPort(s.cfg.HTTPS) // validate has split it
	if wildcard(host) {
		host = ""
	}
	more := []string{host}
	if s.cfg.TLS.Cert == "" && len(s.cfg.TLS.ACMEHosts) == 0 { // otherwise those are for what users see
		more = append(more, hostOf(s.publicURL()))
	}
	for _, h := range more {
		if h = strings.ToLower(h); h != "" && !slices.Contains(out, h) {
			out = append(out, h)
		}
	}
	return out
}
