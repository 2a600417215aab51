package postgres

import (
	"context"
	"time"

	"gantry.example/internal/secrets"
	"gantry.example/messages"
)

// Session is a browser's login.
type Session struct {
	Holder     Token // who logged in, as they are now
	CSRF       string
	Kubernetes bool // there are k8s configs, so that pages lead to theirs; not of a session that was just made
}

// CreateSession starts a session for the holder of a token or, where it has no id, for its user. The returned secret is the
// cookie's value; only its hash is kept.
func (d *DB) CreateSession(ctx context.Context, holder Token, life time.Duration) (secret string, s Session, err error) {
	secret = secrets.NewToken(prefixSession)
	s = Session{Holder: holder, CSRF: secrets.NewToken(prefixCSRF)}
	_, err = d.q(ctx).ExecContext(ctx, `
		INSERT INTO sessions (hash, token_id, user_id, csrf, expires_at) VALUES ($1, NULLIF($2, ''), NULLIF($3, ''), $4, $5)`,
		secrets.HashToken(secret), holder.ID, holder.UserID, s.CSRF, now().Add(life))
	return secret, s, err
}

// liveSession is a condition on sessions s, tokens t and users u at the time $2.
const liveSession = `s.expires_at > $2 AND (s.token_id IS NULL OR t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > $2)) AND u.deleted_at IS NULL`

// Session returns the live session of a cookie, while its token is good and its user is there. Errors: unauthorized.
func (d *DB) Session(ctx context.Context, secret string) (Session, error) {
	return d.session(ctx, secrets.HashToken(secret))
}

func (d *DB) session(ctx context.Context, hash []byte) (Session, error) {
	var row struct {
		CSRF       string  `db:"csrf"`
		TokenID    *string `db:"token_id"`
		UserID     *string `db:"user_id"`
		Kubernetes bool    `db:"kubernetes"`
	}
	err := d.q(ctx).GetContext(ctx, &row, `
		SELECT s.csrf, s.token_id, s.user_id, EXISTS (SELECT FROM k8s_configs) AS kubernetes FROM sessions s LEFT JOIN tokens t ON t.id = s.token_id LEFT JOIN users u ON u.id = s.user_id
		WHERE s.hash = $1 AND `+liveSession, hash, now())
	if noRows(err) {
		return Session{}, fail(messages.CodeUnauthorized, "the session is over: log in again")
	}
	if err != nil {
		return Session{}, err
	}
	out := Session{CSRF: row.CSRF, Kubernetes: row.Kubernetes}
	if row.TokenID != nil {
		err = d.q(ctx).GetContext(ctx, &out.Holder, selectToken+` WHERE t.id = $1`, *row.TokenID)
		return out, err
	}
	u, err := d.User(ctx, *row.UserID)
	out.Holder = u.holder()
	return out, err
}

// EndSession logs out. Expired sessions of everybody go with it.
func (d *DB) EndSession(ctx context.Context, secret string) error {
	_, err := d.q(ctx).ExecContext(ctx, `DELETE FROM sessions WHERE hash = $1 OR expires_at < $2`, secrets.HashToken(secret), now())
	return err
}
