package postgres

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"

	"gantry.example/internal/secrets"
	"gantry.example/messages"
)

// MaxDescription bounds the description of a token in bytes: people read it in lists.
const MaxDescription = 200

// CreateToken makes a token of a person. It is returned here and never again: only its hash is kept. life 0 means that it
// does not expire. Errors: invalid.
func (d *DB) CreateToken(ctx context.Context, description string, life time.Duration) (Token, string, error) {
	if description == "" || len(description) > MaxDescription {
		return Token{}, "", fail(messages.CodeInvalid, "field description: want 1 to %d characters that say what the token is for", MaxDescription)
	}
	if life < 0 {
		return Token{}, "", fail(messages.CodeInvalid, "the token would be expired already: its life must be positive")
	}
	t := Token{ID: messages.NewID("at-"), Kind: TokenAdmin, Description: description, CreatedAt: now()}
	if life > 0 {
		until := t.CreatedAt.Add(life)
		t.ExpiresAt = &until
	}
	secret := secrets.NewToken(PrefixAdmin)
	_, err := d.q(ctx).ExecContext(ctx, `
		INSERT INTO tokens (id, hash, kind, description, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)`,
		t.ID, secrets.HashToken(secret), t.Kind, t.Description, t.CreatedAt, t.ExpiresAt)
	return t, secret, err
}

// Tokens lists the tokens of people that are not revoked, oldest first. Expired ones are among them.
func (d *DB) Tokens(ctx context.Context) ([]Token, error) {
	var out []Token
	err := d.q(ctx).SelectContext(ctx, &out, selectToken+` WHERE kind = $1 AND revoked_at IS NULL ORDER BY created_at, id`, TokenAdmin)
	return out, err
}

// RevokeToken ends a token of a person, and the sessions that were begun with it, at once. Errors: not_found.
func (d *DB) RevokeToken(ctx context.Context, id string) error {
	return d.tx(ctx, func(tx *sqlx.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE tokens SET revoked_at = $2 WHERE id = $1 AND kind = $3 AND revoked_at IS NULL`, id, now(), TokenAdmin)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return firstError(err, notFound("token", id))
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM sessions WHERE token_id = $1`, id)
		return err
	})
}
