package pki

import (
	"crypto/tls"
	"net"

	"golang.org/x/crypto/acme"
)

// Source has certificates that others than the server's own authority signed. Its methods are called concurrently, Certificate
// once for every handshake.
type Source interface {
	// Covers reports whether it has, or can get, a certificate for a host or IP address.
	Covers(name string) bool
	Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
}

// TLS is a server configuration that shows certificates of the source, and those of the server's own authority where the
// source has none and the authority does: programs of this machine come by loopback addresses, which no public authority
// certifies. A nil source stands for one that has none.
func TLS(own *Authority, source Source) *tls.Config {
	protocols := []string{"h2", "http/1.1"}
	if _, ok := source.(*ACME); ok {
		protocols = append(protocols, acme.ALPNProto)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: protocols,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			name := asked(hello)
			if source == nil || own.Covers(name) && !source.Covers(name) {
				return own.Certificate(hello)
			}
			return source.Certificate(hello)
		},
	}
}

// asked is what the client thinks it talks to: a name, or the address it connected to, because it names no addresses.
func asked(hello *tls.ClientHelloInfo) string {
	if hello.ServerName != "" || hello.Conn == nil {
		return hello.ServerName
	}
	host, _, err := net.SplitHostPort(hello.Conn.LocalAddr().String())
	if err != nil {
		return ""
	}
	return host
}
