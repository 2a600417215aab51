package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strconv"
	"strings"
	"time"

	"gantry.example/internal/secrets"
	"gantry.example/messages"
)

// What "terraform login" may ask for: service discovery names the ports it may listen on.
const (
	LoginClient  = "terraform-cli"
	LoginPortMin = 10000
	LoginPortMax = 10010
)

// CheckRedirect refuses every address that a code must not be sent to: all but that of a program on the browser's own
// machine, which listens on one of the ports. Errors: invalid.
func CheckRedirect(address string) error {
	u, err := url.Parse(address)
	if err == nil {
		port, _ := strconv.Atoi(u.Port())
		if u.Scheme == "http" && u.Hostname() == "localhost" && u.User == nil && u.Opaque == "" && port >= LoginPortMin && port <= LoginPortMax &&
			u.RawQuery == "" && !u.ForceQuery && u.Fragment == "" && !strings.Contains(address, "#") {
			return nil
		}
	}
	return fail(messages.CodeInvalid, "field redirect_uri: want http://localhost:PORT/… with a port from %d to %d", LoginPortMin, LoginPortMax)
}

// codeLife is how long a program has to exchange a code that the browser brought it.
const codeLife = 60 * time.Second

// CreateCode makes a code that the program behind the redirect address exchanges for a token of the session's holder, once
// and within a minute. challenge is the S256 PKCE challenge. session is the cookie's value: a logout takes the code back.
// Errors: invalid.
func (d *DB) CreateCode(ctx context.Context, session, challenge, redirectURI string) (string, error) {
	if err := CheckRedirect(redirectURI); err != nil {
		return "", err
	}
	if b, err := base64.RawURLEncoding.DecodeString(challenge); err != nil || len(b) != sha256.Size {
		return "", fail(messages.CodeInvalid, "field code_challenge: want the SHA-256 of the verifier in base64url")
	}
	code := secrets.NewToken(prefixCode)
	_, err := d.q(ctx).ExecContext(ctx, `
		INSERT INTO oauth_codes (hash, session_hash, challenge, redirect_uri, expires_at) VALUES ($1, $2, $3, $4, $5)`,
		secrets.HashToken(code), secrets.HashToken(session), challenge, redirectURI, now().Add(codeLife))
	return code, err
}

// ExchangeCode makes the token. A code is used up by the first try, also by one with a wrong verifier or address. Errors:
// unauthorized, whatever was wrong.
func (d *DB) ExchangeCode(ctx context.Context, code, verifier, redirectURI, description string) (Token, string, error) {
	var row struct {
		Session   []byte    `db:"session_hash"`
		Challenge string    `db:"challenge"`
		Redirect  string    `db:"redirect_uri"`
		Expires   time.Time `db:"expires_at"`
	}
	refused := fail(messages.CodeUnauthorized, "the code is unknown, used or expired, or was given to another program: log in again")
	err := d.q(ctx).GetContext(ctx, &row, `DELETE FROM oauth_codes WHERE hash = $1 RETURNING session_hash, challenge, redirect_uri, expires_at`, secrets.HashToken(code))
	if noRows(err) {
		return Token{}, "", refused
	}
	if err != nil {
		return Token{}, "", err
	}
	sum := sha256.Sum256([]byte(verifier))
	if row.Challenge != base64.RawURLEncoding.EncodeToString(sum[:]) || row.Redirect != redirectURI || row.Expires.Before(now()) {
		return Token{}, "", refused
	}
	s, err := d.session(ctx, row.Session)
	if err != nil {
		return Token{}, "", err
	}
	in := NewToken{Description: description, UserID: s.Holder.UserID, CreatedBy: s.Holder.Actor()}
	if until := s.Holder.ExpiresAt; until != nil { // a token does not outlive the one that vouched for it
		in.Life = time.Until(*until)
	}
	return d.CreateToken(ctx, in)
}
