package pki

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"
)

// lookAgain is how long a pair is used before its files are looked at again.
const lookAgain = 5 * time.Second

// Pair is a certificate chain and its key in files, which whoever renews the certificate replaces. Safe for concurrent use.
type Pair struct {
	certFile, keyFile string
	told              func(error)

	mu     sync.Mutex
	cert   *tls.Certificate // guarded by mu, like all below
	seen   [2]os.FileInfo   // of the files that cert is from
	looked time.Time
	failed string // the failure that was told last
}

// OpenPair reads the files. told hears of each later change: nil when a new certificate is in use, and why not when the old one
// stays in use, once for each reason. It must not call the pair.
func OpenPair(certFile, keyFile string, told func(error)) (*Pair, error) {
	p := &Pair{certFile: certFile, keyFile: keyFile, told: told}
	if err := p.load(); err != nil {
		return nil, err
	}
	p.looked = time.Now()
	return p, nil
}

// Covers reports whether the certificate is for the host or IP address.
func (p *Pair) Covers(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cert.Leaf.VerifyHostname(name) == nil
}

// Certificate is the one in the files. It looks for a new one when it has not for some seconds.
func (p *Pair) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.looked) >= lookAgain {
		p.look()
	}
	return p.cert, nil
}

// Reload looks at the files now.
func (p *Pair) Reload() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.look()
}

// look takes a new certificate into use if there is one. Files that are only half replaced do not fit together: the next look
// finds them whole.
func (p *Pair) look() {
	p.looked = time.Now()
	now, err := p.stat()
	if err == nil && same(now[0], p.seen[0]) && same(now[1], p.seen[1]) {
		return
	}
	if err == nil {
		err = p.load()
	}
	if err == nil || err.Error() != p.failed {
		p.told(err)
	}
	if p.failed = ""; err != nil {
		p.failed = err.Error()
	}
}

// load reads the files. What it has seen is from before the reading, so that a change during it is found by the next look.
func (p *Pair) load() error {
	seen, err := p.stat()
	if err != nil {
		return err
	}
	cert, err := tls.LoadX509KeyPair(p.certFile, p.keyFile)
	if err != nil {
		return fmt.Errorf("certificate %s with key %s: %w", p.certFile, p.keyFile, err)
	}
	p.cert, p.seen = &cert, seen
	return nil
}

func (p *Pair) stat() (out [2]os.FileInfo, err error) {
	for i, path := range []string{p.certFile, p.keyFile} {
		if out[i], err = os.Stat(path); err != nil {
			return out, err
		}
	}
	return out, nil
}

func same(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}
