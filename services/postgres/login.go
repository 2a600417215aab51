package postgres

import (
	"context"
	"strings"
	"time"

	"gantry.example/internal/secrets"
	"gantry.example/messages"
)

// How many logins may fail within the window, per name and per address. Behind a proxy everybody has one address.
const (
	loginWindow     = 5 * time.Minute
	loginsOfName    = 10
	loginsOfAddress = 100
)

// hashesAtOnce bounds the memory that hashing takes: 19 MiB each.
const hashesAtOnce = 4

// LogIn checks a password. name is a username or an email address, from the caller's address without a port. An attempt is
// counted before the password is looked at, so that many at once are limited too, and taken back when it was right.
// Errors: unauthorized, the same for an unknown name and a wrong password; too_many_requests.
func (d *DB) LogIn(ctx context.Context, name, password, from string) (Token, error) {
	var row struct {
		ID       string `db:"id"`
		Password string `db:"password"`
	}
	err := d.q(ctx).GetContext(ctx, &row, `
		SELECT id, password FROM users WHERE (lower(username) = lower($1) OR lower(email) = lower($1)) AND deleted_at IS NULL`, name)
	if err != nil && !noRows(err) {
		return Token{}, err
	}
	who := row.ID // however it is spelled, and by email too
	if who == "" {
		who = strings.ToLower(name)
	}
	subjects, at := []string{"name " + who, "address " + from}, now()
	if err := d.countLogin(ctx, subjects, at); err != nil {
		return Token{}, err
	}
	if len(password) > 4*MaxPassword {
		password = "" // no user's: do not hash what anybody sends
	}
	right, err := d.checkPassword(ctx, row.Password, password)
	if err != nil {
		return Token{}, err
	}
	if !right {
		return Token{}, fail(messages.CodeUnauthorized, "the name or the password is wrong")
	}
	if _, err := d.q(ctx).ExecContext(ctx, `DELETE FROM login_attempts WHERE subject = $1 OR subject = $2 AND at = $3`, subjects[0], subjects[1], at); err != nil {
		return Token{}, err
	}
	u, err := d.User(ctx, row.ID)
	return u.holder(), err
}

// countLogin notes an attempt, or refuses it where there were too many.
func (d *DB) countLogin(ctx context.Context, subjects []string, at time.Time) error {
	return d.tx(ctx, func(tx *txn) error {
		for i, most := range []int{loginsOfName, loginsOfAddress} {
			if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('login ' || $1, 0))`, subjects[i]); err != nil {
				return err
			}
			var n int
			if err := tx.GetContext(ctx, &n, `SELECT count(*) FROM login_attempts WHERE subject = $1 AND at > $2`, subjects[i], at.Add(-loginWindow)); err != nil {
				return err
			}
			if n >= most {
				return fail(messages.CodeTooManyRequests, "too many logins failed: wait %d minutes and try again", int(loginWindow/time.Minute))
			}
			if _, err := tx.ExecContext(ctx, `INSERT INTO login_attempts (subject, at) VALUES ($1, $2)`, subjects[i], at); err != nil {
				return err
			}
		}
		return nil
	})
}

func (d *DB) hashPassword(ctx context.Context, password string) (string, error) {
	release, err := d.turn(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	return secrets.HashPassword(password), nil
}

func (d *DB) checkPassword(ctx context.Context, hash, password string) (bool, error) {
	release, err := d.turn(ctx)
	if err != nil {
		return false, err
	}
	defer release()
	return secrets.CheckPassword(hash, password), nil
}

// turn waits until a password may be hashed.
func (d *DB) turn(ctx context.Context) (release func(), err error) {
	select {
	case d.hashing <- struct{}{}:
		return func() { <-d.hashing }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
