package postgres

import (
	"context"
	"time"

	"gantry.example/messages"
)

// Organization is the tenant boundary.
type Organization struct {
	ID        string    `db:"id"`
	Name      string    `db:"name"`
	Execution []byte    `db:"execution"` // default execution document, JSON
	CreatedAt time.Time `db:"created_at"`
}

// CreateOrganization creates an organization. Errors: invalid (name), name_taken.
func (d *DB) CreateOrganization(ctx context.Context, name string) (Organization, error) {
	o := Organization{ID: messages.NewID("org-"), Name: name, Execution: []byte("{}"), CreatedAt: now()}
	if err := checkName("organization", name); err != nil {
		return o, err
	}
	_, err := d.q(ctx).ExecContext(ctx, `INSERT INTO organizations (id, name, created_at) VALUES ($1, $2, $3)`, o.ID, o.Name, o.CreatedAt)
	if uniqueViolation(err) {
		return o, fail(messages.CodeNameTaken, "an organization named %q exists already", name)
	}
	return o, err
}

// Organization finds an organization by id or name.
func (d *DB) Organization(ctx context.Context, ref string) (Organization, error) {
	var o Organization
	err := d.q(ctx).GetContext(ctx, &o, `SELECT id, name, execution, created_at FROM organizations WHERE id = $1 OR lower(name) = lower($1) ORDER BY id = $1 DESC LIMIT 1`, ref)
	if noRows(err) {
		return o, notFound("organization", ref)
	}
	return o, err
}

// Organizations lists the organizations that the holder of a token may see, by name, and the number of them.
func (d *DB) Organizations(ctx context.Context, t Token, p Page) ([]Organization, int, error) {
	const visible = ` WHERE $1 OR o.id = $2 OR o.id IN (SELECT organization_id FROM memberships WHERE user_id = $3)`
	var total int
	if err := d.q(ctx).GetContext(ctx, &total, `SELECT count(*) FROM organizations o`+visible, t.Site(), t.OrganizationID, t.UserID); err != nil {
		return nil, 0, err
	}
	var out []Organization
	err := d.q(ctx).SelectContext(ctx, &out, `SELECT o.id, o.name, o.execution, o.created_at FROM organizations o`+visible+`
		ORDER BY lower(o.name) LIMIT $4 OFFSET $5`, t.Site(), t.OrganizationID, t.UserID, p.limit(), p.offset())
	return out, total, err
}

func checkName(what, name string) error {
	if !messages.ValidName(name) {
		return fail(messages.CodeInvalid, "%s: field name: %q must be 1 to %d characters of A-Z a-z 0-9 _ -", what, name, messages.MaxNameLength)
	}
	return nil
}
