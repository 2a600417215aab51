package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gantry.example/internal/pki"
)

// handshakeLimit bounds one look at a server's certificate.
const handshakeLimit = 10 * time.Second

// findAuthority finds whom to trust: by file, from the server of this machine, or from the one at the address, which the user
// compares then.
func (a *app) findAuthority(ctx context.Context, f trustFlags) (authority, error) {
	given, _, err := a.setting(a.flags.address, "GANTRY_ADDRESS")
	if err != nil {
		return authority{}, err
	}
	if given != "" && !strings.HasPrefix(given, "https://") {
		return authority{}, fmt.Errorf("%s: give the https address of the server, as https://gantry.example.com:8443: plain http has no certificate to trust", given)
	}
	given = strings.TrimSuffix(given, "/")
	dataDir := a.flags.dataDir
	if dataDir == "" {
		if dataDir, err = DataDir(a.env.Getenv); err != nil {
			return authority{}, err
		}
	}
	own, err := readOptional(filepath.Join(dataDir, httpsAddressFile))
	if err != nil && !errors.Is(err, fs.ErrPermission) {
		return authority{}, err
	}
	path := a.flags.caFile
	if path == "" {
		path = a.env.Getenv("GANTRY_CA_FILE")
	}
	switch {
	case path != "":
		return checked(ctx, f, given, path)
	case given == "" || given == own:
		found, err := checked(ctx, f, own, filepath.Join(dataDir, caFile))
		if token, readable := readOptional(filepath.Join(dataDir, adminTokenFile)); token != "" && readable == nil {
			found.token = filepath.Join(dataDir, adminTokenFile)
		}
		return found, err
	}
	return a.fetched(ctx, f, given)
}

// checked is the authority of a file, by which the server must be known if there is one, before anything is changed for it.
func checked(ctx context.Context, f trustFlags, address, path string) (authority, error) {
	none := authority{}
	path, err := filepath.Abs(path)
	if err != nil {
		return none, err
	}
	cert, err := readAuthority(path)
	if errors.Is(err, fs.ErrNotExist) && address == "" {
		return none, fmt.Errorf("there is no server of this machine (%w): give the https address of a server, or its authority by --ca-file", err)
	}
	if err != nil {
		return none, err
	}
	found := authority{address: address, file: path, cert: cert}
	if address == "" || f.show || f.remove {
		return found, nil
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	var untrusted *tls.CertificateVerificationError
	if _, err := handshake(ctx, address, &tls.Config{RootCAs: roots}); errors.As(err, &untrusted) {
		if _, err := handshake(ctx, address, &tls.Config{}); err == nil {
			return authority{address: address, public: true}, nil
		}
		return none, fmt.Errorf("%s shows a certificate that is not of the authority in %s: %w. If it is of an authority of your company, add that one "+
			"to the system's store", address, path, untrusted)
	} else if err != nil {
		return none, &Exit{Code: ExitUnreachable, Message: fmt.Sprintf("%s does not answer: %v", address, err)}
	}
	return found, nil
}

// fetched is the authority that the server shows. Anybody could: it counts only when the user has compared it.
func (a *app) fetched(ctx context.Context, f trustFlags, address string) (authority, error) {
	none := authority{}
	kept, err := a.keptAuthority(address)
	if err != nil {
		return none, fmt.Errorf("%s: %w", address, err)
	}
	if cert, err := readAuthority(kept); err == nil { // compared already
		if f.remove {
			return authority{address: address, file: kept, cert: cert}, nil
		}
		if found, err := checked(ctx, f, address, kept); err == nil {
			return found, nil
		}
	}
	if f.remove {
		return none, fmt.Errorf("the authority of %s is not kept in %s: name its certificate by --ca-file", address, kept)
	}
	if _, err := handshake(ctx, address, &tls.Config{}); err == nil {
		return authority{address: address, public: true}, nil
	}
	cert, err := shown(ctx, address)
	if err != nil {
		return none, err
	}
	found := authority{address: address, file: "the handshake of " + address, cert: cert}
	if f.show {
		return found, nil
	}
	if err := a.compare(ctx, f, found); err != nil {
		return none, err
	}
	found.file, err = a.keep(address, cert)
	return found, err
}

// compare makes sure that the authority is the server's.
func (a *app) compare(ctx context.Context, f trustFlags, of authority) error {
	fingerprint := pki.Fingerprint(of.cert)
	if f.fingerprint != "" {
		return f.match(of)
	}
	if !a.env.StdinTerminal || !a.env.StderrTerminal {
		return fmt.Errorf("%s shows an authority of its own, and so could anybody who stands between you and it. Ask the server's administrator for the "+
			"output of gantry trust --show, and give it in --fingerprint", of.address)
	}
	a.tell("%s shows a certificate of its own authority, %q.\n\n  SHA-256 %s\n\nAnybody who stands between you and the server could show one.", of.address,
		of.cert.Subject.CommonName, fingerprint)
	fmt.Fprint(a.env.Stderr, "Is this what its administrator sees in gantry trust --show?\n  Only 'yes' is accepted.\n\n  Enter a value: ")
	select {
	case text := <-a.input.next():
		if text == "yes" {
			return nil
		}
		return errors.New("nothing was changed")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// shown is the authority at the end of the chain that the server shows.
func shown(ctx context.Context, address string) (*x509.Certificate, error) {
	chain, err := handshake(ctx, address, &tls.Config{InsecureSkipVerify: true}) // whom to trust is what is asked for
	if err != nil {
		return nil, &Exit{Code: ExitUnreachable, Message: fmt.Sprintf("%s does not answer: %v", address, err)}
	}
	last := chain[len(chain)-1]
	if !last.IsCA || last.CheckSignatureFrom(last) != nil {
		return nil, fmt.Errorf("%s shows a certificate that this system does not trust (issuer %q), and not that of its authority: get the authority's "+
			"certificate from the server's administrator and give it in --ca-file", address, chain[0].Issuer)
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(last)
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	if _, err := chain[0].Verify(x509.VerifyOptions{DNSName: u.Hostname(), Roots: roots, Intermediates: between}); err != nil {
		return nil, fmt.Errorf("the certificate that %s shows is not for that address: %w. Start the server with --public-url %s", address, err, address)
	}
	return last, nil
}

// handshake connects and returns the chain that the server shows.
func handshake(ctx context.Context, address string, conf *tls.Config) ([]*x509.Certificate, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	port := u.Port()
	if port == "" {
		port = "443"
	}
	conf.MinVersion = tls.VersionTLS12
	ctx, cancel := context.WithTimeout(ctx, handshakeLimit)
	defer cancel()
	conn, err := (&tls.Dialer{Config: conf}).DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	secured, ok := conn.(*tls.Conn)
	if !ok {
		return nil, fmt.Errorf("no TLS with %s", address)
	}
	return secured.ConnectionState().PeerCertificates, nil
}

// keptCA is the file of the authority that gantry trust kept for a server, or empty.
func (a *app) keptCA(address string) (string, error) {
	path, err := a.keptAuthority(address)
	if err != nil {
		return "", err
	}
	if _, err = os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return path, err
}
