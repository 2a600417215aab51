package agent

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"gantry.example/client"
	"gantry.example/messages"
)

// plainError is one that says all there is to say.
type plainError struct{ error }

// explain says what is wrong between agent and server, and what to do about it here.
func explain(err error, s *Settings) string {
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var host x509.HostnameError
	var notTLS tls.RecordHeaderError
	var version *versionError
	var plain plainError
	var refused *client.Error
	switch {
	case errors.As(err, &version):
		return version.Error()
	case errors.As(err, &plain):
		return plain.Error()
	case client.HasCode(err, messages.CodeUnauthorized):
		return fmt.Sprintf("the server %s does not take the token of %s: it is unknown, expired or revoked, or its pool was deleted. "+
			"Make a new one with gantry pools tokens new ORG/POOL and put it there", s.Address, cmp.Or(s.TokenFile, "the environment"))
	case errors.As(err, &authority):
		return fmt.Sprintf("the certificate of %s is signed by nobody that this agent trusts: give the authority's certificate with --ca-file; of a Gantry with its own it is ca.pem in the data folder, see gantry trust (%v)", s.Address, authority)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Sprintf("the certificate of %s is not valid now, %s by the clock of this machine: if that is not the time, set the clock, else renew the certificate (%v)", s.Address, time.Now().UTC().Format(time.DateTime+" MST"), invalid)
	case errors.As(err, &host):
		return fmt.Sprintf("the certificate of %s is for other names: use one of them with --address, or give the server one with this name (%v)", s.Address, host)
	case errors.As(err, &notTLS), strings.Contains(err.Error(), "HTTP response to HTTPS client"): // the error of net/http has no name
		return fmt.Sprintf("%s does not speak TLS: is the port of --address right?", s.Address)
	case errors.As(err, &refused) && refused.Status == http.StatusNotFound && refused.Code == "":
		return fmt.Sprintf("%s is no Gantry that knows agents: is --address right, and the server not too old?", s.Address)
	case errors.As(err, &refused):
		return fmt.Sprintf("the server %s refuses this agent: %v", s.Address, refused)
	}
	return fmt.Sprintf("the server %s cannot be reached: %v", s.Address, err)
}
