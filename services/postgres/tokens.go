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

// The kinds.
const (
	TokenAdmin        TokenKind = "admin"        // everything a person can do, everywhere
	TokenUser         TokenKind = "user"         // what its user may do
	TokenOrganization TokenKind = "organization" // what its role allows in one organization
	TokenTeam         TokenKind = "team"         // what its team may do
	TokenPool         TokenKind = "pool"         // take the tasks of one pool
)

// Prefixes by which people and secret scanners recognize a token.
const (
	prefixAttempt = "gantry-att-"
	prefixSession = "gantry-se-"
	prefixCSRF    = "gantry-cs-"
	prefixCode    = "gantry-oc-"
	// PrefixAdmin and PrefixPool are those of the tokens written to files at first start.
	PrefixAdmin = "gantry-"
	PrefixPool  = "gantry-pool-"
)

// IsAttemptToken tells by its form whether a token can only be one of an attempt.
func IsAttemptToken(token string) bool { return strings.HasPrefix(token, prefixAttempt) }

// Token is the holder of a token, without the token. The holder of a session that a password began has no ID.
type Token struct {
	ID             string     `db:"id"`
	Kind           TokenKind  `db:"kind"`
	PoolID         *string    `db:"pool_id"`
	Description    string     `db:"description"`
	CreatedAt      time.Time  `db:"created_at"`
	CreatedBy      string     `db:"created_by"`
	CreatedByID    string     `db:"created_by_id"` // the same for TFE's clients, "" of older tokens
	ExpiresAt      *time.Time `db:"expires_at"`
	OrganizationID string     `db:"organization_id"` // of an organization's or a team's token, with the Role it has there
	Organization   string     `db:"organization"`    // its name
	Role           Role       `db:"role"`
	TeamID         string     `db:"team_id"` // of a team's token
	Team           string     `db:"team"`    // its name
	UserID         string     `db:"user_id"` // of a user's token
	Username       string     `db:"username"`
	SiteAdmin      bool       `db:"site_admin"`
}

const selectToken = `
	SELECT t.id, t.kind, t.pool_id, t.description, t.created_at, t.created_by, t.created_by_id, t.expires_at, t.role,
	       COALESCE(t.team_id, '') AS team_id, COALESCE(tm.name, '') AS team,
	       COALESCE(t.organization_id, '') AS organization_id, COALESCE(o.name, '') AS organization, COALESCE(t.user_id, '') AS user_id,
	       COALESCE(u.username, '') AS username, COALESCE(u.site_admin, false) AS site_admin
	FROM tokens t LEFT JOIN users u ON u.id = t.user_id LEFT JOIN organizations o ON o.id = t.organization_id
	LEFT JOIN pools p ON p.id = t.pool_id LEFT JOIN teams tm ON tm.id = t.team_id`

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
	err := d.q(ctx).GetContext(ctx, &t, selectToken+` WHERE t.hash = $1 AND t.revoked_at IS NULL`, secrets.HashToken(token))
	if noRows(err) || (err == nil && t.ExpiresAt != nil && t.ExpiresAt.Before(now())) {
		return Token{}, fail(messages.CodeUnauthorized, "the token is unknown, expired or revoked")
	}
	return t, err
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

// metaSigningKey is the key of meta that has the SigningKey.
const metaSigningKey = "signing-key"

// SigningKey returns the installation's key for signed URLs, made at first use and kept sealed.
func (d *DB) SigningKey(ctx context.Context) ([]byte, error) {
	const name = metaSigningKey
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
