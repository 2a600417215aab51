package postgres

import (
	"context"
	"net/mail"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"gantry.example/internal/secrets"
	"gantry.example/messages"
)

// User is a person.
type User struct {
	ID          string    `db:"id"`
	Username    string    `db:"username"`
	Email       string    `db:"email"` // empty: none
	SiteAdmin   bool      `db:"site_admin"`
	HasPassword bool      `db:"has_password"`
	CreatedAt   time.Time `db:"created_at"`
}

const prefixUser = "user-"

const selectUser = `
	SELECT u.id, u.username, COALESCE(u.email, '') AS email, u.site_admin, u.password <> '' AS has_password, u.created_at FROM users u`

// holder is the user as the holder of a session that a password began.
func (u User) holder() Token {
	return Token{Kind: TokenUser, UserID: u.ID, Username: u.Username, SiteAdmin: u.SiteAdmin, CreatedAt: u.CreatedAt}
}

// NewUser is what a user is created from.
type NewUser struct {
	Username  string
	Email     string // optional
	Password  string // optional: without one the user has tokens only
	SiteAdmin bool
}

// Bounds of a password in characters. There is no rule about its kinds of characters: length is what counts.
const (
	MinPassword = 10
	MaxPassword = 200
)

// CreateUser creates a user, who is a member of nothing yet. Errors: invalid, name_taken.
func (d *DB) CreateUser(ctx context.Context, in NewUser) (User, error) {
	if err := in.check(); err != nil {
		return User{}, err
	}
	hash := ""
	if in.Password != "" {
		var err error
		if hash, err = d.hashPassword(ctx, in.Password); err != nil {
			return User{}, err
		}
	}
	u := User{
		ID: messages.NewID(prefixUser), Username: in.Username, Email: in.Email, SiteAdmin: in.SiteAdmin,
		HasPassword: hash != "", CreatedAt: now(),
	}
	_, err := d.q(ctx).ExecContext(ctx, `
		INSERT INTO users (id, username, email, password, site_admin, created_at) VALUES ($1, $2, NULLIF($3, ''), $4, $5, $6)`,
		u.ID, u.Username, u.Email, hash, u.SiteAdmin, u.CreatedAt)
	if uniqueViolation(err) {
		return User{}, fail(messages.CodeNameTaken, "a user with the name %q or the same email address exists already, or existed: "+
			"names are not given twice, because they stand in the history of runs", in.Username)
	}
	return u, err
}

func (in NewUser) check() error {
	if strings.HasPrefix(in.Username, prefixUser) {
		return fail(messages.CodeInvalid, "field username: %q looks like an id: begin it with something else than %s", in.Username, prefixUser)
	}
	if !regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,89}$`).MatchString(in.Username) {
		return fail(messages.CodeInvalid, "field username: %q must be 1 to 90 characters of A-Z a-z 0-9 . _ - and begin with a letter or digit", in.Username)
	}
	if in.Email != "" {
		if err := checkEmail(in.Email); err != nil {
			return err
		}
	}
	if in.Password == "" {
		return nil
	}
	return checkPassword(in.Password)
}

func checkEmail(email string) error {
	if a, err := mail.ParseAddress(email); err != nil || a.Address != email || len(email) > 254 {
		return fail(messages.CodeInvalid, "field email: %q is not an email address, such as ann@example.com", email)
	}
	return nil
}

func checkPassword(password string) error {
	if n := utf8.RuneCountInString(password); n < MinPassword || n > MaxPassword {
		return fail(messages.CodeInvalid, "field password: want %d to %d characters", MinPassword, MaxPassword)
	}
	return nil
}

// User returns a user by id, name or email address. Errors: not_found, also of one that was deleted.
func (d *DB) User(ctx context.Context, ref string) (User, error) {
	var u User
	err := d.q(ctx).GetContext(ctx, &u, selectUser+`
		WHERE (u.id = $1 OR lower(u.username) = lower($1) OR lower(u.email) = lower($1)) AND u.deleted_at IS NULL`, ref)
	if noRows(err) {
		return u, notFound("user", ref)
	}
	return u, err
}

// Users lists all users by name and the number of them.
func (d *DB) Users(ctx context.Context, p Page) ([]User, int, error) {
	var total int
	if err := d.q(ctx).GetContext(ctx, &total, `SELECT count(*) FROM users WHERE deleted_at IS NULL`); err != nil {
		return nil, 0, err
	}
	var out []User
	err := d.q(ctx).SelectContext(ctx, &out, selectUser+` WHERE u.deleted_at IS NULL ORDER BY lower(u.username) LIMIT $1 OFFSET $2`, p.limit(), p.offset())
	return out, total, err
}

// Knows reports whether the holder of a token may see a user: a person themselves and who shares an organization with them, a
// site admin everybody.
func (d *DB) Knows(ctx context.Context, t Token, userID string) (bool, error) {
	if t.Site() || t.UserID == userID {
		return true, nil
	}
	var found bool
	err := d.q(ctx).GetContext(ctx, &found, `
		SELECT EXISTS (SELECT 1 FROM memberships them WHERE them.user_id = $1 AND (them.organization_id = NULLIF($2, '')
		OR EXISTS (SELECT 1 FROM memberships mine WHERE mine.user_id = NULLIF($3, '') AND mine.organization_id = them.organization_id)))`,
		userID, t.OrganizationID, t.UserID)
	return found, err
}

// SetEmail changes a user's email address; empty takes it away. Errors: not_found, invalid, name_taken.
func (d *DB) SetEmail(ctx context.Context, id, email string) error {
	if email != "" {
		if err := checkEmail(email); err != nil {
			return err
		}
	}
	err := d.changeUser(ctx, id, `UPDATE users SET email = NULLIF($2, '') WHERE id = $1 AND deleted_at IS NULL`, email)
	if uniqueViolation(err) {
		return fail(messages.CodeNameTaken, "another user has the email address %s", email)
	}
	return err
}

// SetPassword changes a user's password and ends the user's sessions, all but the one whose cookie is keep. Tokens stay good.
// Errors: not_found, invalid.
func (d *DB) SetPassword(ctx context.Context, id, password, keep string) error {
	if err := checkPassword(password); err != nil {
		return err
	}
	hash, err := d.hashPassword(ctx, password)
	if err != nil {
		return err
	}
	return d.tx(ctx, func(tx *txn) error {
		res, err := tx.ExecContext(ctx, `UPDATE users SET password = $2 WHERE id = $1 AND deleted_at IS NULL`, id, hash)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return firstError(err, notFound("user", id))
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM sessions WHERE user_id = $1 AND hash <> $2`, id, secrets.HashToken(keep))
		return err
	})
}

// SetSiteAdmin makes a user a site admin or takes that away. Errors: not_found; conflict for the last one there is while no
// admin token is good either.
func (d *DB) SetSiteAdmin(ctx context.Context, id string, admin bool) error {
	return d.tx(ctx, func(tx *txn) error {
		if !admin {
			if err := keepSiteAdmin(ctx, tx, id); err != nil {
				return err
			}
		}
		res, err := tx.ExecContext(ctx, `UPDATE users SET site_admin = $2 WHERE id = $1 AND deleted_at IS NULL`, id, admin)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if err == nil && n == 0 {
			err = notFound("user", id)
		}
		return err
	})
}

// DeleteUser deletes a user with all memberships, tokens and sessions. What the user did stays in the history, and the name
// is not given again. Errors: not_found; conflict for the last admin of an organization or of the site.
func (d *DB) DeleteUser(ctx context.Context, id string) error {
	return d.tx(ctx, func(tx *txn) error {
		if err := keepSiteAdmin(ctx, tx, id); err != nil {
			return err
		}
		var of []string
		if err := tx.SelectContext(ctx, &of, `SELECT organization_id FROM memberships WHERE user_id = $1 ORDER BY organization_id`, id); err != nil {
			return err
		}
		for _, organization := range of {
			if err := keepAdmin(ctx, tx, organization, id); err != nil {
				return err
			}
		}
		res, err := tx.ExecContext(ctx, `UPDATE users SET deleted_at = $2, email = NULL, password = '', site_admin = false WHERE id = $1 AND deleted_at IS NULL`, id, now())
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return firstError(err, notFound("user", id))
		}
		for _, q := range []string{
			`DELETE FROM memberships WHERE user_id = $1`, `DELETE FROM sessions WHERE user_id = $1`,
			`UPDATE tokens SET revoked_at = now() WHERE user_id = $1 AND revoked_at IS NULL`,
		} {
			if _, err := tx.ExecContext(ctx, q, id); err != nil {
				return err
			}
		}
		return nil
	})
}

// changeUser carries out a statement on the one user $1.
func (d *DB) changeUser(ctx context.Context, id, statement string, value any) error {
	res, err := d.q(ctx).ExecContext(ctx, statement, id, value)
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err == nil && n == 0 {
		err = notFound("user", id)
	}
	return err
}

// keepSiteAdmin refuses to lose the last who can administrate the site. The lock makes two who leave at once wait for each
// other.
func keepSiteAdmin(ctx context.Context, tx *txn, userID string) error {
	if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('site admins', 0))`); err != nil {
		return err
	}
	var last bool
	err := tx.GetContext(ctx, &last, `
		SELECT EXISTS (SELECT 1 FROM users WHERE id = $1 AND site_admin)
		   AND NOT EXISTS (SELECT 1 FROM users WHERE id <> $1 AND site_admin AND deleted_at IS NULL)
		   AND NOT EXISTS (SELECT 1 FROM tokens WHERE kind = 'admin' AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2))`,
		userID, now())
	if err == nil && last {
		err = fail(messages.CodeConflict, "this is the last site admin, and there is no admin token: make another user a site admin first")
	}
	return err
}
