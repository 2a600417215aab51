package pki

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// retryAfter is how long the library answers handshakes after a failure without asking the authority again, and without its
// reason.
const retryAfter = time.Minute

// ACMEConfig says which certificates to get from whom.
type ACMEConfig struct {
	Hosts     []string // names in lower case
	Email     string   // whom the authority tells about problems; may be empty
	Directory string   // URL of the authority; empty means Let's Encrypt
	Dir       string   // folder of the account's key and the certificates with theirs; made, for its owner only
	// Told hears why there is no certificate for a host, at most once a minute, and nil when there is one again.
	Told func(host string, err error)
}

// ACME gets certificates from an authority that checks that the server is reached by their names, and renews them in time. Safe
// for concurrent use.
type ACME struct {
	hosts   []string
	manager *autocert.Manager
	told    func(string, error)

	mu     sync.Mutex
	failed map[string]time.Time // when a failure was told, by host; guarded by mu
}

// OpenACME makes the folder and asks nobody yet.
func OpenACME(cfg ACMEConfig) (*ACME, error) {
	if err := errors.Join(os.MkdirAll(cfg.Dir, 0o700), os.Chmod(cfg.Dir, 0o700)); err != nil {
		return nil, err
	}
	return &ACME{
		hosts: cfg.Hosts, told: cfg.Told, failed: map[string]time.Time{},
		manager: &autocert.Manager{
			Prompt: autocert.AcceptTOS, Cache: autocert.DirCache(cfg.Dir), HostPolicy: autocert.HostWhitelist(cfg.Hosts...),
			Email: cfg.Email, Client: &acme.Client{DirectoryURL: cfg.Directory, UserAgent: "gantry"},
		},
	}, nil
}

// Covers reports whether the name is one of the hosts.
func (a *ACME) Covers(name string) bool { return slices.Contains(a.hosts, strings.ToLower(name)) }

// Certificate is the one of the host that the client names. The first for a host takes as long as the authority does.
func (a *ACME) Certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	cert, err := a.manager.GetCertificate(hello)
	if challenge := slices.Contains(hello.SupportedProtos, acme.ALPNProto); a.Covers(hello.ServerName) && !challenge {
		a.tell(strings.ToLower(hello.ServerName), err)
	}
	return cert, err
}

func (a *ACME) tell(host string, err error) {
	a.mu.Lock()
	last, failing := a.failed[host]
	news := err != nil && (!failing || time.Since(last) > retryAfter) || err == nil && failing
	switch {
	case err == nil:
		delete(a.failed, host)
	case news:
		a.failed[host] = time.Now()
	}
	a.mu.Unlock()
	if news {
		a.told(host, err)
	}
}

// Obtain gets the certificates that are not there yet, so that nobody waits for them and a mistake shows at once. The server
// must answer meanwhile. It returns when each was tried or ctx ends; what failed was told and is tried again at handshakes.
func (a *ACME) Obtain(ctx context.Context) {
	var tries sync.WaitGroup
	for _, host := range a.hosts {
		tries.Go(func() {
			_, _ = a.Certificate(&tls.ClientHelloInfo{ // told
				ServerName: host, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
			})
		})
	}
	done := make(chan struct{})
	go func() { // the library bounds it, and takes no context
		defer close(done)
		tries.Wait()
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// Handler answers the authority's questions on plain HTTP, and lets next answer all others.
func (a *ACME) Handler(next http.Handler) http.Handler { return a.manager.HTTPHandler(next) }
