package postgres

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"gantry.example/internal/secrets"
	"gantry.example/messages"
)

// TokenKind says what a token may do.
type TokenKind string

// The kinds. More come with users and agent pools.
const (
	TokenAdmin TokenKind = "admin" // everything a person can do
	TokenPool  TokenKind = "pool"  // take the tasks of one pool
)

// Prefixes by which people and secret scanners recognize a token.
const (
	prefixAttempt = "gantry-att-"
	prefixSession = "gantry-se-"
	prefixCSRF    = "gantry-cs-"
	// PrefixAdmin and PrefixPool are those of the tokens written to files at first start.
	PrefixAdmin = "gantry-"
	PrefixPool  = "gantry-pool-"
)

// IsAttemptToken tells by its form whether a token can only be one of an attempt.
func IsAttemptToken(token string) bool { return strings.HasPrefix(token, prefixAttempt) }

// Token is the holder of a token, without the token.
type Token struct {
	ID          string     `db:"id"`
	Kind        TokenKind  `db:"kind"`
	PoolID      *string    `db:"pool_id"`
	Description string     `db:"description"`
	CreatedAt   time.Time  `db:"created_at"`
	ExpiresAt   *time.Time `db:"expires_at"`
}

const selectToken = `SELECT id, kind, pool_id, description, created_at, expires_at FROM tokens`

// Pool returns the pool of a pool token, or "".
func (t Token) Pool() string {
	if t.PoolID == nil {
		return ""
	}
	return *t.PoolID
}

// EnsureToken stores the hash of a token unless it is known, so that a token written to a file at first start stays good,
// and one that was revoked stays revoked.
func (d *DB) EnsureToken(ctx context.Context, token string, kind TokenKind, pool, description string) error {
	_, err := d.q(ctx).ExecContext(ctx, `
		INSERT INTO tokens (id, hash, kind, pool_id, description, created_at) VALUES ($1, $2, $3, NULLIF($4, ''), $5, $6)
		ON CONFLICT (hash) DO NOTHING`, messages.NewID("at-"), secrets.HashToken(token), kind, pool, description, now())
	return err
}

// Token authenticates. Errors: unauthorized for an unknown or expired token.
func (d *DB) Token(ctx context.Context, token string) (Token, error) {
	var t Token
	err := d.q(ctx).GetContext(ctx, &t, selectToken+` WHERE hash = $1 AND revoked_at IS NULL`, secrets.HashToken(token))
	if noRows(err) || (err == nil && t.ExpiresAt != nil && t.ExpiresAt.Before(now())) {
		return Token{}, fail(messages.CodeUnauthorized, "the token is unknown, expired or revoked")
	}
	return t, err
}

// Session is a browser's login.
type Session struct {
	TokenID string `db:"token_id"`
	CSRF    string `db:"csrf"`
}

// CreateSession starts a session for the token's holder. The returned secret is the cookie's value; only its hash is kept.
func (d *DB) CreateSession(ctx context.Context, t Token, life time.Duration) (secret string, s Session, err error) {
	secret = secrets.NewToken(prefixSession)
	s = Session{TokenID: t.ID, CSRF: secrets.NewToken(prefixCSRF)}
	_, err = d.q(ctx).ExecContext(ctx, `INSERT INTO sessions (hash, token_id, csrf, expires_at) VALUES ($1, $2, $3, $4)`,
		secrets.HashToken(secret), s.TokenID, s.CSRF, now().Add(life))
	return secret, s, err
}

// Session returns the live session of a cookie, while its token is good. Errors: unauthorized.
func (d *DB) Session(ctx context.Context, secret string) (Session, error) {
	var s Session
	err := d.q(ctx).GetContext(ctx, &s, `
		SELECT s.token_id, s.csrf FROM sessions s JOIN tokens t ON t.id = s.token_id
		WHERE s.hash = $1 AND s.expires_at > $2 AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > $2)`, secrets.HashToken(secret), now())
	if noRows(err) {
		return s, fail(messages.CodeUnauthorized, "the session is over: log in again")
	}
	return s, err
}

// EndSession logs out. Expired sessions of everybody go with it.
func (d *DB) EndSession(ctx context.Context, secret string) error {
	_, err := d.q(ctx).ExecContext(ctx, `DELETE FROM sessions WHERE hash = $1 OR expires_at < $2`, secrets.HashToken(secret), now())
	return err
}

// EnsureBasics creates what every installation has: the local pool and the organization "default".
func (d *DB) EnsureBasics(ctx context.Context) error {
	if _, err := d.q(ctx).ExecContext(ctx, `
		INSERT INTO pools (id, mode, name, created_at) VALUES ($1, $2, 'local', $3) ON CONFLICT (id) DO NOTHING`,
		messages.LocalPool, messages.ModeLocal, now()); err != nil {
		return err
	}
	_, err := d.q(ctx).ExecContext(ctx, `
		INSERT INTO organizations (id, name, created_at) SELECT $1, 'default', $2
		WHERE NOT EXISTS (SELECT 1 FROM organizations) ON CONFLICT DO NOTHING`, messages.NewID("org-"), now())
	return err
}

// SigningKey returns the installation's key for signed URLs, made at first use and kept sealed.
func (d *DB) SigningKey(ctx context.Context) ([]byte, error) {
	const name = "signing-key"
	sealed, err := d.seal.Seal([]byte(secrets.NewToken("")), []byte(name))
	if err != nil {
		return nil, err
	}
	var stored string
	if err := d.q(ctx).GetContext(ctx, &stored, `
		INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = meta.value RETURNING value`,
		name, base64.StdEncoding.EncodeToString(sealed)); err != nil {
		return nil, err
	}
	b, err := base64.StdEncoding.DecodeString(stored)
	if err != nil {
		return nil, err
	}
	key, err := d.seal.Open(b, []byte(name))
	if err != nil {
		return nil, fmt.Errorf("the encryption key is not the one this database was made with: %w", err)
	}
	return key, nil
}
