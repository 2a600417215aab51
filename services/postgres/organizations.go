package postgres

import (
	"context"
	"encoding/json"
	"time"

	"gantry.example/messages"
)

// Organization is the tenant boundary.
type Organization struct {
	ID        string    `db:"id"`
	Name      string    `db:"name"`
	Email     string    `db:"email"`     // whom to ask about it
	Execution []byte    `db:"execution"` // default execution document, JSON
	Kept      []byte    `db:"kept"`      // what clients of TFE set and Gantry only keeps, JSON by TFE's names
	CreatedAt time.Time `db:"created_at"`
}

const selectOrganization = `SELECT o.id, o.name, o.email, o.execution, o.kept, o.created_at FROM organizations o`

// NewOrganization is what an organization is created from.
type NewOrganization struct {
	Name, Email string
	Execution   messages.Execution
	Kept        json.RawMessage // see Organization
}

// CreateOrganization creates an organization with a name. Errors: invalid (name), name_taken.
func (d *DB) CreateOrganization(ctx context.Context, name string) (Organization, error) {
	return d.AddOrganization(ctx, NewOrganization{Name: name})
}

// AddOrganization creates an organization. Errors: invalid (name), name_taken, execution.*.
func (d *DB) AddOrganization(ctx context.Context, in NewOrganization) (Organization, error) {
	o := Organization{ID: messages.NewID("org-"), Name: in.Name, Email: in.Email, Kept: keptDocument(in.Kept), CreatedAt: now()}
	if err := checkName("organization", in.Name); err != nil {
		return o, err
	}
	if _, err := d.usableTarget(ctx, d.q(ctx), place{organization: o.ID}, in.Execution); err != nil {
		return o, err
	}
	var err error
	if o.Execution, err = json.Marshal(in.Execution); err != nil {
		return o, err
	}
	_, err = d.q(ctx).ExecContext(ctx, `INSERT INTO organizations (id, name, email, execution, kept, created_at) VALUES ($1, $2, $3, $4, $5, $6)`,
		o.ID, o.Name, o.Email, o.Execution, o.Kept, o.CreatedAt)
	if uniqueViolation(err) {
		return o, fail(messages.CodeNameTaken, "an organization named %q exists already", in.Name)
	}
	return o, err
}

// Organization finds an organization by id or name.
func (d *DB) Organization(ctx context.Context, ref string) (Organization, error) {
	var o Organization
	err := d.q(ctx).GetContext(ctx, &o, selectOrganization+` WHERE o.id = $1 OR lower(o.name) = lower($1) ORDER BY o.id = $1 DESC LIMIT 1`, ref)
	if noRows(err) {
		return o, notFound("organization", ref)
	}
	return o, err
}

// OrganizationFilter selects organizations by parts of their name and email address; Any is a part of either. Empty fields
// select all.
type OrganizationFilter struct{ Name, Email, Any string }

// Organizations lists the organizations that the holder of a token may see, by name, and the number of them.
func (d *DB) Organizations(ctx context.Context, t Token, p Page) ([]Organization, int, error) {
	return d.FindOrganizations(ctx, t, OrganizationFilter{}, p)
}

// FindOrganizations lists those that the filter selects as well.
func (d *DB) FindOrganizations(ctx context.Context, t Token, f OrganizationFilter, p Page) ([]Organization, int, error) {
	const where = ` WHERE ` + visible + `
		AND strpos(lower(o.name), lower($4)) > 0 AND strpos(lower(o.email), lower($5)) > 0
		AND (strpos(lower(o.name), lower($6)) > 0 OR strpos(lower(o.email), lower($6)) > 0)`
	args := []any{t.Site(), t.OrganizationID, t.UserID, f.Name, f.Email, f.Any}
	var total int
	if err := d.q(ctx).GetContext(ctx, &total, `SELECT count(*) FROM organizations o`+where, args...); err != nil {
		return nil, 0, err
	}
	var out []Organization
	err := d.q(ctx).SelectContext(ctx, &out, selectOrganization+where+` ORDER BY lower(o.name) LIMIT $7 OFFSET $8`, append(args, p.limit(), p.offset())...)
	return out, total, err
}

// OrganizationChange is a partial update: nil fields stay.
type OrganizationChange struct {
	Name, Email *string
	Kept        json.RawMessage // merged over what is kept
	// Revise computes the default execution document from the organization as it is under its row lock.
	Revise func(Organization) (messages.Execution, error)
}

// UpdateOrganization changes an organization (id or name). Runs that exist keep their target. Errors: not_found, invalid,
// name_taken, execution.*.
func (d *DB) UpdateOrganization(ctx context.Context, ref string, c OrganizationChange) (Organization, error) {
	if c.Name != nil {
		if err := checkName("organization", *c.Name); err != nil {
			return Organization{}, err
		}
	}
	found, err := d.Organization(ctx, ref)
	if err != nil {
		return found, err
	}
	var out Organization
	err = d.tx(ctx, func(tx *txn) error {
		if err := tx.GetContext(ctx, &out, selectOrganization+` WHERE o.id = $1 FOR UPDATE`, found.ID); err != nil {
			return err
		}
		doc := out.Execution
		if c.Revise != nil {
			own, err := c.Revise(out)
			if err != nil {
				return err
			}
			target, err := d.usableTarget(ctx, tx, place{organization: out.ID}, own)
			if err != nil {
				return err
			}
			if doc, err = json.Marshal(settle(own, target)); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, `
			UPDATE organizations SET name = COALESCE($2, name), email = COALESCE($3, email), execution = $4, kept = kept || $5 WHERE id = $1`,
			out.ID, c.Name, c.Email, doc, keptDocument(c.Kept)); err != nil {
			return err
		}
		return tx.GetContext(ctx, &out, selectOrganization+` WHERE o.id = $1`, found.ID)
	})
	if uniqueViolation(err) {
		return out, fail(messages.CodeNameTaken, "an organization named %q exists already", *c.Name)
	}
	return out, err
}

// DeleteOrganization removes an organization (id or name) with all that belongs to it. Errors: not_found; workspace.locked
// while a run holds one of its workspaces.
func (d *DB) DeleteOrganization(ctx context.Context, ref, by string) error {
	o, err := d.Organization(ctx, ref)
	if err != nil {
		return err
	}
	return d.tx(ctx, func(tx *txn) error {
		// No workspace is created from here on: that takes a reference to the row.
		if _, err := tx.ExecContext(ctx, `SELECT 1 FROM organizations WHERE id = $1 FOR UPDATE`, o.ID); err != nil {
			return err
		}
		var workspaces []string
		if err := tx.SelectContext(ctx, &workspaces, `SELECT id FROM workspaces WHERE organization_id = $1 ORDER BY id`, o.ID); err != nil {
			return err
		}
		for _, id := range workspaces {
			if err := d.deleteWorkspace(ctx, tx, id, by, false); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM organizations WHERE id = $1`, o.ID)
		return err
	})
}

// keptDocument is what to merge over what is kept.
func keptDocument(kept json.RawMessage) []byte {
	if kept == nil {
		return []byte("{}")
	}
	return kept
}

func checkName(what, name string) error {
	if !messages.ValidName(name) {
		return fail(messages.CodeInvalid, "%s: field name: %q must be 1 to %d characters of A-Z a-z 0-9 _ -", what, name, messages.MaxNameLength)
	}
	return nil
}
