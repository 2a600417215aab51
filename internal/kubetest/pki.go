package kubetest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
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

// newPKI makes an authority, the certificates of an API server with the address and of whoever speaks with it, and the key that signs
// the tokens of ServiceAccounts.
func newPKI(dir, ip string) (*pki, error) {
	p := &pki{dir: dir}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := p.issue("ca", pkix.Name{CommonName: "kubernetes"}); err != nil {
		return nil, err
	}
	hosts := []string{"127.0.0.1", "10.0.0.1", ip, "localhost", "node1", "kubernetes", "kubernetes.default", "kubernetes.default.svc"}
	for name, subject := range map[string]pkix.Name{
		"apiserver":         {CommonName: "kube-apiserver"},
		"apiserver-kubelet": {CommonName: "kube-apiserver-kubelet", Organization: []string{"system:masters"}},
		"kubelet-serving":   {CommonName: "system:node:node1", Organization: []string{"system:nodes"}},
		"admin":             {CommonName: "admin", Organization: []string{"system:masters"}},
		"manager":           {CommonName: "system:kube-controller-manager"},
		"scheduler":         {CommonName: "system:kube-scheduler"},
		"kubelet":           {CommonName: "system:node:node1", Organization: []string{"system:nodes"}},
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

// kubeconfig writes the kubeconfig of somebody who has a certificate and returns its path. It has all in it, as a server wants it.
func (p *pki) kubeconfig(name, url string) (string, error) {
	var user [2]string
	for i, file := range []string{name + ".crt", name + ".key"} {
		b, err := os.ReadFile(p.file(file))
		if err != nil {
			return "", err
		}
		user[i] = base64.StdEncoding.EncodeToString(b)
	}
	return p.writeKubeconfig(name, url, fmt.Sprintf("client-certificate-data: %s, client-key-data: %s", user[0], user[1]))
}

// tokenKubeconfig writes that of somebody who has a token.
func (p *pki) tokenKubeconfig(name, url, token string) (string, error) {
	return p.writeKubeconfig(name, url, fmt.Sprintf("token: %q", token))
}

func (p *pki) writeKubeconfig(name, url, user string) (string, error) {
	ca, err := os.ReadFile(p.file("ca.crt"))
	if err != nil {
		return "", err
	}
	path := p.file(name + ".kubeconfig")
	return path, os.WriteFile(path, fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: %q, certificate-authority-data: %s}}]
users: [{name: test, user: {%s}}]
contexts: [{name: test, context: {cluster: test, user: test}}]
current-context: test
`, url, base64.StdEncoding.EncodeToString(ca), user), 0o600)
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
