package kubetest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// pki is the certificates of a cluster, as files of a folder.
type pki struct {
	dir    string
	ca     *x509.Certificate
	key    crypto.Signer
	serial int64
}

// newPKI makes an authority, the certificates of an API server on this machine and of an admin, and the key that signs the tokens of
// ServiceAccounts.
func newPKI(dir string) (*pki, error) {
	p := &pki{dir: dir}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := p.issue("ca", pkix.Name{CommonName: "kubernetes"}); err != nil {
		return nil, err
	}
	hosts := []string{"127.0.0.1", "localhost"}
	for name, subject := range map[string]pkix.Name{
		"apiserver": {CommonName: "kube-apiserver"},
		"admin":     {CommonName: "admin", Organization: []string{"system:masters"}},
	} {
		if err := p.issue(name, subject, hosts...); err != nil {
			return nil, err
		}
	}
	return p, p.signTokens()
}

func (p *pki) file(name string) string { return filepath.Join(p.dir, name) }

// issue makes a key and a certificate for it: the first one is the authority.
func (p *pki) issue(name string, subject pkix.Name, hosts ...string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	p.serial++
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(p.serial), Subject: subject, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			cert.IPAddresses = append(cert.IPAddresses, ip)
		} else {
			cert.DNSNames = append(cert.DNSNames, host)
		}
	}
	parent, signer := p.ca, p.key
	if parent == nil {
		cert.IsCA, cert.BasicConstraintsValid, cert.ExtKeyUsage = true, true, nil
		cert.KeyUsage |= x509.KeyUsageCertSign
		parent, signer = cert, key
		p.ca, p.key = cert, key
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, key.Public(), signer)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := p.write(name+".crt", "CERTIFICATE", der); err != nil {
		return err
	}
	return p.write(name+".key", "PRIVATE KEY", private)
}

func (p *pki) signTokens() error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	if err := p.write("sa.pub", "PUBLIC KEY", public); err != nil {
		return err
	}
	return p.write("sa.key", "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))
}

func (p *pki) write(name, kind string, der []byte) error {
	return os.WriteFile(p.file(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}
