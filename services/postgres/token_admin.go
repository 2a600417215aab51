package postgres

import (
	"context"
	"time"

	"gantry.example/internal/secrets"
	"gantry.example/messages"
)

// MaxDescription bounds the description of a token in bytes: people read it in lists.
const MaxDescription = 200

// NewToken is what a token is created from: one of the pool, of the user, of the team, or of the organization with a role there, or
// else an admin token.
type NewToken struct {
	Description    string
	Life           time.Duration // 0: it does not expire
	UserID         string
	OrganizationID string
	Role           Role   // of an organization's token
	Team           Team   // with an id: a token of the team, in its organization
	PoolID         string // of agents, whose token may do nothing but their work
	CreatedBy      string
	CreatedByID    string // see Token
}

func (in NewToken) check() error {
	switch {
	case in.Description == "" || len(in.Description) > MaxDescription:
		return fail(messages.CodeInvalid, "field description: want 1 to %d characters that say what the token is for", MaxDescription)
	case in.Life < 0:
		return fail(messages.CodeInvalid, "the token would be expired already: its life must be positive")
	case in.OrganizationID != "":
		return checkRole(in.Role)
	default:
		return nil
	}
}

// CreateToken makes a token. It is returned here and never again: only its hash is kept. Errors: invalid.
func (d *DB) CreateToken(ctx context.Context, in NewToken) (Token, string, error) {
	return createToken(ctx, d.q(ctx), in)
}

// CreateSoleToken makes a token of a team or an organization that is the only one of these with its description, also when two ask at
// once. With replace it takes the place of the one there is, which is revoked. Errors: invalid; not_found (team, organization); conflict
// if there is one and it is not to be replaced.
func (d *DB) CreateSoleToken(ctx context.Context, in NewToken, replace bool) (t Token, secret string, err error) {
	kind, table, column, holder := TokenOrganization, "organizations", "organization_id", in.OrganizationID
	if in.Team.ID != "" {
		kind, table, column, holder = TokenTeam, "teams", "team_id", in.Team.ID
	}
	err = d.tx(ctx, func(tx *txn) error {
		var locked string
		err := tx.GetContext(ctx, &locked, `SELECT id FROM `+table+` WHERE id = $1 FOR NO KEY UPDATE`, holder)
		if noRows(err) {
			return notFound(string(kind), holder)
		}
		var before []string
		if err == nil {
			err = tx.SelectContext(ctx, &before, `SELECT id FROM tokens WHERE kind = $1 AND `+column+` = $2 AND description = $3 AND revoked_at IS NULL`, kind, holder, in.Description)
		}
		if err == nil && len(before) > 0 && !replace {
			return fail(messages.CodeConflict, "the %s has a token with this description already: describe this one in other words, or revoke that", kind)
		}
		if err == nil {
			err = revokeTokens(ctx, tx, before)
		}
		if err == nil {
			t, secret, err = createToken(ctx, tx, in)
		}
		return err
	})
	return t, secret, err
}

// revokeTokens ends the tokens, and the sessions that were begun with them.
func revokeTokens(ctx context.Context, tx *txn, ids []string) error {
	if _, err := tx.ExecContext(ctx, `UPDATE tokens SET revoked_at = $2 WHERE id = ANY ($1)`, textArray(ids), now()); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM sessions WHERE token_id = ANY ($1)`, textArray(ids))
	return err
}

func createToken(ctx context.Context, q querier, in NewToken) (Token, string, error) {
	if err := in.check(); err != nil {
		return Token{}, "", err
	}
	kind, prefix := TokenAdmin, PrefixAdmin
	switch {
	case in.Team.ID != "":
		kind, in.OrganizationID, in.Role = TokenTeam, in.Team.OrganizationID, RoleRead
		if in.Team.Owners() {
			in.Role = RoleAdmin
		}
	case in.PoolID != "":
		kind, prefix = TokenPool, PrefixPool
	case in.OrganizationID != "":
		kind = TokenOrganization
	case in.UserID != "":
		kind = TokenUser
	}
	created := now()
	var expires *time.Time
	if in.Life > 0 {
		until := created.Add(in.Life)
		expires = &until
	}
	id, secret := messages.NewID("at-"), secrets.NewToken(prefix)
	if _, err := q.ExecContext(ctx, `
		INSERT INTO tokens (id, hash, kind, description, created_at, expires_at, user_id, organization_id, role, created_by, pool_id, team_id, created_by_id)
		VALUES ($1, $2, $3, $4, $5, $6, NULLIF($7, ''), NULLIF($8, ''), $9, $10, NULLIF($11, ''), NULLIF($12, ''), $13)`,
		id, secrets.HashToken(secret), kind, in.Description, created, expires, in.UserID, in.OrganizationID, in.Role, in.CreatedBy, in.PoolID, in.Team.ID, in.CreatedByID); err != nil {
		return Token{}, "", err
	}
	var t Token
	err := q.GetContext(ctx, &t, selectToken+` WHERE t.id = $1`, id)
	return t, secret, err
}

// manageable is the condition that the holder $1 (site), $2 (user), $3 (organization, of a token with an admin's role there) looks
// after a token: a person after their own, an organization's admin after those of the organization and of its pools, a site
// admin after all. That of the server's own worker is in a file and nobody's business.
const manageable = `
	t.revoked_at IS NULL AND (t.kind <> 'pool' OR p.organization_id IS NOT NULL) AND ($1 OR t.user_id = NULLIF($2, '')
	OR COALESCE(t.organization_id, p.organization_id) = NULLIF($3, '')
	OR COALESCE(t.organization_id, p.organization_id) IN (SELECT organization_id FROM memberships WHERE user_id = NULLIF($2, '') AND role = 'admin'))`

func manager(t Token) []any {
	organization := ""
	if t.Role == RoleAdmin {
		organization = t.OrganizationID
	}
	return []any{t.Site(), t.UserID, organization}
}

// Tokens lists the tokens the holder looks after, oldest first: none of workers, none that is revoked. Expired ones are
// among them.
func (d *DB) Tokens(ctx context.Context, by Token) ([]Token, error) {
	var out []Token
	err := d.q(ctx).SelectContext(ctx, &out, selectToken+` WHERE t.kind <> 'pool' AND `+manageable+` ORDER BY t.created_at, t.id`, manager(by)...)
	return out, err
}

// TeamTokens lists the tokens of the organization's (id) teams that are not revoked, by the teams' names and oldest first, and
// only those of teams with the part in their name. Expired ones are among them.
func (d *DB) TeamTokens(ctx context.Context, organizationID, part string) ([]Token, error) {
	var out []Token
	err := d.q(ctx).SelectContext(ctx, &out, selectToken+`
		WHERE tm.organization_id = $1 AND strpos(lower(tm.name), lower($2)) > 0 AND t.revoked_at IS NULL ORDER BY lower(tm.name), t.created_at, t.id`, organizationID, part)
	return out, err
}

// PoolTokens lists the tokens of a pool (id) that are not revoked, oldest first. Expired ones are among them.
func (d *DB) PoolTokens(ctx context.Context, pool string) ([]Token, error) {
	var out []Token
	err := d.q(ctx).SelectContext(ctx, &out, selectToken+` WHERE t.pool_id = $1 AND t.revoked_at IS NULL ORDER BY t.created_at, t.id`, pool)
	return out, err
}

// ManagedToken returns a token the holder looks after. Errors: not_found.
func (d *DB) ManagedToken(ctx context.Context, by Token, id string) (Token, error) {
	var t Token
	err := d.q(ctx).GetContext(ctx, &t, selectToken+` WHERE `+manageable+` AND t.id = $4`, append(manager(by), id)...)
	if noRows(err) {
		return t, notFound("token", id)
	}
	return t, err
}

// RevokedTokens lists the ids of tokens of workers and producers that were revoked less than that long ago.
func (d *DB) RevokedTokens(ctx context.Context, within time.Duration) ([]string, error) {
	var ids []string
	err := d.q(ctx).SelectContext(ctx, &ids, `SELECT id FROM tokens WHERE revoked_at > $1 AND kind IN ($2, $3) ORDER BY id`,
		now().Add(-within), TokenPool, TokenOrganization)
	return ids, err
}

// RevokeToken ends a token the holder looks after, and the sessions that were begun with it, at once. Errors: not_found.
func (d *DB) RevokeToken(ctx context.Context, by Token, id string) error {
	return d.tx(ctx, func(tx *txn) error {
		var found []string
		if err := tx.SelectContext(ctx, &found, `SELECT t.id FROM tokens t LEFT JOIN pools p ON p.id = t.pool_id WHERE `+manageable+` AND t.id = $4 FOR UPDATE OF t`, append(manager(by), id)...); err != nil {
			return err
		}
		if len(found) == 0 {
			return notFound("token", id)
		}
		return revokeTokens(ctx, tx, found)
	})
}
