// Package pki gives the server its certificates: of an authority of its own (terraform insists on HTTPS, and a first start has
// no certificate anybody else would have signed), from files of the operator, or from an authority that speaks ACME.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"gantry.example/internal/secrets"
)

const (
	caLife   = 10 * 365 * 24 * time.Hour
	leafLife = 90 * 24 * time.Hour
	renewAt  = 30 * 24 * time.Hour // of life left
)

// CAFile is the name of the authority's certificate in the data folder: what users trust.
const CAFile = "ca.pem"

// CAKeyFile is the name of its key.
const CAKeyFile = "ca-key.pem"

// Authority signs certificates for this server. Safe for concurrent use.
type Authority struct {
	cert  *x509.Certificate
	key   *ecdsa.PrivateKey
	hosts []string

	mu   sync.Mutex
	leaf *tls.Certificate // guarded by mu
}

// Open reads the authority of a data folder, or makes one at the first start. hosts are the names and addresses its
// certificates are for, in lower case.
func Open(dir string, hosts []string) (*Authority, error) {
	a, err := read(dir)
	if errors.Is(err, os.ErrNotExist) {
		a, err = create(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("certificate authority in %s: %w", dir, err)
	}
	// It is shown to whoever connects, and other users of this machine may want to trust it.
	if err := os.Chmod(filepath.Join(dir, CAFile), 0o644); err != nil {
		return nil, err
	}
	a.hosts = hosts
	return a, nil
}

func read(dir string) (*Authority, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, CAFile), filepath.Join(dir, CAKeyFile))
	if err != nil {
		return nil, err
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s is not an ECDSA key", CAKeyFile)
	}
	return &Authority{cert: pair.Leaf, key: key}, nil
}

func create(dir string) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{Organization: []string{"Gantry"}, CommonName: "Gantry CA on " + host},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(caLife), IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	// The key first: a crash in between leaves no certificate, and the next start makes both anew.
	if err := secrets.WriteFile0600(filepath.Join(dir, CAKeyFile), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})); err != nil {
		return nil, err
	}
	if err := secrets.WriteFile0600(filepath.Join(dir, CAFile), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})); err != nil {
		return nil, err
	}
	return read(dir)
}

// Covers reports whether its certificates are for the host or IP address.
func (a *Authority) Covers(name string) bool { return slices.Contains(a.hosts, strings.ToLower(name)) }

// Certificate is one for all of its hosts, renewed in time. It is made anew at each start, so it has the names of today.
func (a *Authority) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return a.certificate(time.Now())
}

// Fingerprint is that of the authority's own certificate.
func (a *Authority) Fingerprint() string { return Fingerprint(a.cert) }

// Fingerprint is the SHA-256 of a certificate as people compare it, in upper case hexadecimal digits with colons, which is what
// openssl x509 -fingerprint -sha256 shows.
func Fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return strings.ReplaceAll(fmt.Sprintf("% X", sum[:]), " ", ":")
}

func (a *Authority) certificate(now time.Time) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.leaf != nil && a.leaf.Leaf.NotAfter.Sub(now) > renewAt {
		return a.leaf, nil
	}
	leaf, err := a.sign(a.hosts, now, leafLife, x509.ExtKeyUsageServerAuth)
	if err != nil {
		return nil, err
	}
	a.leaf = leaf
	return a.leaf, nil
}

func serial() *big.Int {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	return new(big.Int).SetBytes(b)
}
