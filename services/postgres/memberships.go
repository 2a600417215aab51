package postgres

import (
	"context"
	"time"

	"gantry.example/messages"
)

// Membership is what a user may do in an organization.
type Membership struct {
	ID             string    `db:"id"`
	OrganizationID string    `db:"organization_id"`
	Organization   string    `db:"organization"` // its name
	UserID         string    `db:"user_id"`
	Username       string    `db:"username"`
	Email          string    `db:"email"`
	Role           Role      `db:"role"`
	CreatedAt      time.Time `db:"created_at"`
}

const selectMembership = `
	SELECT m.id, m.organization_id, o.name AS organization, m.user_id, u.username, COALESCE(u.email, '') AS email, m.role, m.created_at
	FROM memberships m JOIN organizations o ON o.id = m.organization_id JOIN users u ON u.id = m.user_id`

// SetMember makes a user a member of the organization (id), or changes the role of one. Errors: invalid, not_found; conflict
// where the last admin would lose the role.
func (d *DB) SetMember(ctx context.Context, organizationID, userID string, role Role) (Membership, error) {
	if err := checkRole(role); err != nil {
		return Membership{}, err
	}
	var out Membership
	err := d.tx(ctx, func(tx *txn) error {
		if err := setMember(ctx, tx, organizationID, userID, role); err != nil {
			return err
		}
		return tx.GetContext(ctx, &out, selectMembership+` WHERE m.organization_id = $1 AND m.user_id = $2`, organizationID, userID)
	})
	return out, err
}

func setMember(ctx context.Context, tx *txn, organizationID, userID string, role Role) error {
	if role != RoleAdmin {
		if err := keepAdmin(ctx, tx, organizationID, userID); err != nil {
			return err
		}
	}
	res, err := tx.ExecContext(ctx, `
		INSERT INTO memberships (id, organization_id, user_id, role, created_at)
		SELECT $1, $2, id, $4, $5 FROM users WHERE id = $3 AND deleted_at IS NULL
		ON CONFLICT (organization_id, user_id) DO UPDATE SET role = $4`, messages.NewID("ou-"), organizationID, userID, role, now())
	if refersToNothing(err) {
		return notFound("organization", organizationID)
	}
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return firstError(err, notFound("user", userID))
	}
	return nil
}

// RemoveMember ends a membership. Errors: not_found; conflict for the last admin.
func (d *DB) RemoveMember(ctx context.Context, organizationID, userID string) error {
	return d.tx(ctx, func(tx *txn) error {
		if err := keepAdmin(ctx, tx, organizationID, userID); err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, `DELETE FROM memberships WHERE organization_id = $1 AND user_id = $2`, organizationID, userID)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if err == nil && n == 0 {
			err = notFound("member", userID)
		}
		return err
	})
}

// Membership returns a membership by id. Errors: not_found.
func (d *DB) Membership(ctx context.Context, id string) (Membership, error) {
	var m Membership
	err := d.q(ctx).GetContext(ctx, &m, selectMembership+` WHERE m.id = $1`, id)
	if noRows(err) {
		return m, notFound("membership", id)
	}
	return m, err
}

// MemberFilter selects members. Its zero value selects all.
type MemberFilter struct {
	Emails []string // nil: of any
	Part   string   // of the username or the email address
	Page   Page
}

// Members lists the members of an organization (id) by name and the number of them.
func (d *DB) Members(ctx context.Context, organizationID string, f MemberFilter) ([]Membership, int, error) {
	var c conditions
	c.add(`m.organization_id = $$`, organizationID)
	if f.Emails != nil {
		c.add(`lower(u.email) = ANY (SELECT lower(e) FROM unnest($$::text[]) e)`, textArray(f.Emails))
	}
	if f.Part != "" {
		part := c.arg(f.Part)
		c.add(`(strpos(lower(u.username), lower(` + part + `)) > 0 OR strpos(lower(COALESCE(u.email, '')), lower(` + part + `)) > 0)`)
	}
	var total int
	if err := d.q(ctx).GetContext(ctx, &total, `SELECT count(*) FROM memberships m JOIN users u ON u.id = m.user_id`+c.where(), c.args...); err != nil {
		return nil, 0, err
	}
	var out []Membership
	where := c.where()
	err := d.q(ctx).SelectContext(ctx, &out, selectMembership+where+` ORDER BY lower(u.username) LIMIT `+c.arg(f.Page.limit())+` OFFSET `+c.arg(f.Page.offset()), c.args...)
	return out, total, err
}

// MembershipsOf lists what a user is a member of, by the organizations' names.
func (d *DB) MembershipsOf(ctx context.Context, userID string) ([]Membership, error) {
	var out []Membership
	err := d.q(ctx).SelectContext(ctx, &out, selectMembership+` WHERE m.user_id = $1 ORDER BY lower(o.name)`, userID)
	return out, err
}

// keepAdmin refuses to lose the last admin among the members of an organization. The lock makes two who leave at once wait
// for each other.
func keepAdmin(ctx context.Context, tx *txn, organizationID, userID string) error {
	if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('admins of ' || $1, 0))`, organizationID); err != nil {
		return err
	}
	var admins []string
	if err := tx.SelectContext(ctx, &admins, `SELECT user_id FROM memberships WHERE organization_id = $1 AND role = 'admin'`, organizationID); err != nil {
		return err
	}
	if len(admins) == 1 && admins[0] == userID {
		return fail(messages.CodeConflict, "this is the last admin of the organization: make another member its admin first")
	}
	return nil
}
