package postgres

import (
	"context"
	"strings"
	"time"

	"github.com/lib/pq"

	"gantry.example/messages"
)

// Pool is where the tasks of agents queue.
type Pool struct {
	ID                 string         `db:"id"`
	Number             int64          `db:"number"` // names the pool wherever an id does
	Name               string         `db:"name"`
	OrganizationID     string         `db:"organization_id"`
	Organization       string         `db:"organization"` // its name
	OrganizationScoped bool           `db:"organization_scoped"`
	Agents             int            `db:"agents"`            // that were heard of a moment ago
	Allowed            pq.StringArray `db:"allowed"`           // ids of the chosen workspaces, of a pool that is not for all
	Workspaces         pq.StringArray `db:"workspaces"`        // ids of those whose own document names the pool
	LeaseTTLSeconds    int            `db:"lease_ttl_seconds"` // 0: the server's
	CreatedAt          time.Time      `db:"created_at"`
}

const selectPool = `
	SELECT p.id, p.number, p.name, p.organization_id, o.name AS organization, p.organization_scoped, p.lease_ttl_seconds, p.created_at,
	       (SELECT count(*) FROM workers w WHERE w.pool_id = p.id AND w.seen_at > now() - interval '35 seconds' AND w.state <> 'exited') AS agents,
	       ARRAY(SELECT workspace_id FROM pool_workspaces w WHERE w.pool_id = p.id ORDER BY 1) AS allowed,
	       ARRAY(SELECT w.id FROM workspaces w WHERE w.organization_id = p.organization_id AND w.execution->>'agent_pool_id' = p.id ORDER BY 1) AS workspaces
	FROM pools p JOIN organizations o ON o.id = p.organization_id`

// PoolChange is what a pool is created from, and how it is changed: nil fields stay.
type PoolChange struct {
	Name               *string
	OrganizationScoped *bool     // false: only the workspaces chosen
	Workspaces         *[]string // ids of the chosen ones
	LeaseTTLSeconds    *int      // 0: the server's
}

// Bounds of a pool's own lease: a shorter one is lost in the hiccups of a network, a longer one makes everybody wait for the dead.
const (
	minLeaseTTL = 5
	maxLeaseTTL = 300
)

// check refuses what no pool may be.
func (in PoolChange) check() error {
	if in.Name != nil {
		if err := checkPoolName("pool", *in.Name); err != nil {
			return err
		}
	}
	if ttl := in.LeaseTTLSeconds; ttl != nil && *ttl != 0 && (*ttl < minLeaseTTL || *ttl > maxLeaseTTL) {
		return fail(messages.CodeInvalid, "pool: field lease-ttl-seconds: %d: want %d to %d, or 0 for the server's", *ttl, minLeaseTTL, maxLeaseTTL)
	}
	return nil
}

// checkPoolName refuses, beside what no name may be, a number: it would name two pools.
func checkPoolName(what, name string) error {
	if name != "" && strings.Trim(name, "0123456789") == "" {
		return fail(messages.CodeInvalid, "%s: field name: %q is a number, and every %[1]s has one of its own that names it", what, name)
	}
	return checkName(what, name)
}

// CreatePool creates a pool of agents in the organization (id or name). Errors: not_found, invalid, name_taken.
func (d *DB) CreatePool(ctx context.Context, organization string, in PoolChange) (Pool, error) {
	o, err := d.Organization(ctx, organization)
	if err != nil {
		return Pool{}, err
	}
	if in.Name == nil {
		return Pool{}, checkPoolName("pool", "")
	}
	id := messages.NewID("apool-")
	err = d.tx(ctx, func(tx *txn) error {
		if err := in.check(); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO pools (id, organization_id, mode, name, created_at) VALUES ($1, $2, $3, $4, $5)`,
			id, o.ID, messages.ModeAgent, *in.Name, now()); err != nil {
			return err
		}
		return in.store(ctx, tx, id, o.ID)
	})
	if uniqueViolation(err) {
		return Pool{}, fail(messages.CodeNameTaken, "organization %s already has a pool or k8s config named %q", o.Name, *in.Name)
	}
	if err != nil {
		return Pool{}, err
	}
	return d.Pool(ctx, id)
}

// UpdatePool changes a pool (id or number). Runs that exist stay in it. Errors: not_found, invalid, name_taken.
func (d *DB) UpdatePool(ctx context.Context, ref string, in PoolChange) (Pool, error) {
	p, err := d.Pool(ctx, ref)
	if err != nil {
		return p, err
	}
	err = d.tx(ctx, func(tx *txn) error {
		if err := in.check(); err != nil {
			return err
		}
		return in.store(ctx, tx, p.ID, p.OrganizationID)
	})
	if uniqueViolation(err) {
		return p, fail(messages.CodeNameTaken, "organization %s already has a pool or k8s config named %q", p.Organization, *in.Name)
	}
	if err != nil {
		return p, err
	}
	return d.Pool(ctx, p.ID)
}

func (in PoolChange) store(ctx context.Context, tx *txn, id, organization string) error {
	if _, err := tx.ExecContext(ctx, `
		UPDATE pools SET name = COALESCE($2, name), organization_scoped = COALESCE($3, organization_scoped),
			lease_ttl_seconds = COALESCE($4, lease_ttl_seconds) WHERE id = $1`,
		id, in.Name, in.OrganizationScoped, in.LeaseTTLSeconds); err != nil || in.Workspaces == nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM pool_workspaces WHERE pool_id = $1`, id); err != nil {
		return err
	}
	for _, w := range *in.Workspaces {
		res, err := tx.ExecContext(ctx, `
			INSERT INTO pool_workspaces (pool_id, workspace_id) SELECT $1, id FROM workspaces WHERE id = $2 AND organization_id = $3
			ON CONFLICT DO NOTHING`, id, w, organization)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return firstError(err, notFound("workspace", w))
		}
	}
	return nil
}

// Pool finds a pool of agents by id or number.
func (d *DB) Pool(ctx context.Context, ref string) (Pool, error) {
	var p Pool
	err := d.q(ctx).GetContext(ctx, &p, selectPool+` WHERE p.mode = $2 AND (p.id = $1 OR p.number::text = $1)`, ref, messages.ModeAgent)
	if noRows(err) {
		return p, notFound("pool", ref)
	}
	return p, err
}

// leaseTTL is that of the pool (id), which may be gone.
func (d *DB) leaseTTL(ctx context.Context, pool string) (time.Duration, error) {
	var own int
	err := d.q(ctx).GetContext(ctx, &own, `SELECT COALESCE(max(lease_ttl_seconds), 0) FROM pools WHERE id = $1`, pool)
	if own == 0 {
		return d.timing.LeaseTTL, err
	}
	return time.Duration(own) * time.Second, err
}

// AllPools lists the ids of all pools of any kind.
func (d *DB) AllPools(ctx context.Context) ([]string, error) {
	var out []string
	return out, d.q(ctx).SelectContext(ctx, &out, `SELECT id FROM pools`)
}

// Pools lists the pools of an organization (id or name) whose name has the part in it, by name, and the number of all of them.
func (d *DB) Pools(ctx context.Context, organization, part string, page Page) ([]Pool, int, error) {
	o, err := d.Organization(ctx, organization)
	if err != nil {
		return nil, 0, err
	}
	const where = ` WHERE p.mode = 'agent' AND p.organization_id = $1 AND strpos(lower(p.name), lower($2)) > 0`
	var total int
	if err := d.q(ctx).GetContext(ctx, &total, `SELECT count(*) FROM pools p`+where, o.ID, part); err != nil {
		return nil, 0, err
	}
	var out []Pool
	err = d.q(ctx).SelectContext(ctx, &out, selectPool+where+` ORDER BY lower(p.name) LIMIT $3 OFFSET $4`, o.ID, part, page.limit(), page.offset())
	return out, total, err
}

// DeletePool removes a pool (id or number) with its tokens, unless somebody still needs it. Errors: not_found, conflict.
func (d *DB) DeletePool(ctx context.Context, ref string) error {
	p, err := d.Pool(ctx, ref)
	if err != nil {
		return err
	}
	return d.deletePool(ctx, poolUse{what: "pool", id: p.ID, name: p.Name, organizationID: p.OrganizationID, organization: p.Organization, field: "agent_pool_id"})
}

// poolUse is a pool of either kind, and the field of execution documents that names it.
type poolUse struct{ what, id, name, organizationID, organization, field string }

func (d *DB) deletePool(ctx context.Context, p poolUse) error {
	return d.tx(ctx, func(tx *txn) error {
		if _, err := tx.ExecContext(ctx, `SELECT 1 FROM pools WHERE id = $1 FOR UPDATE`, p.id); err != nil {
			return err
		}
		var used struct {
			Workspaces int  `db:"workspaces"`
			Default    bool `db:"is_default"`
			Runs       int  `db:"runs"`
		}
		if err := tx.GetContext(ctx, &used, `
			SELECT (SELECT count(*) FROM workspaces WHERE organization_id = $2 AND execution->>$3 = $1) AS workspaces,
			       (SELECT (execution->>$3 = $1) IS TRUE FROM organizations WHERE id = $2) AS is_default,
			       (SELECT count(*) FROM runs WHERE organization_id = $2 AND status IN `+openStatuses+` AND doc->>'pool' = $1) AS runs`,
			p.id, p.organizationID, p.field); err != nil {
			return err
		}
		switch {
		case used.Runs > 0:
			return fail(messages.CodeConflict, "%s %s has %d runs that are not over: let them end, or cancel them", p.what, p.name, used.Runs)
		case used.Default:
			return fail(messages.CodeConflict, "%s %s is the default of organization %s: give its execution document another one first", p.what, p.name, p.organization)
		case used.Workspaces > 0:
			return fail(messages.CodeConflict, "%s %s is what %d workspaces execute in: give their execution documents another one first", p.what, p.name, used.Workspaces)
		}
		// They stay as revoked ones, so that whoever is connected with them is found.
		if _, err := tx.ExecContext(ctx, `UPDATE tokens SET revoked_at = COALESCE(revoked_at, $2), pool_id = NULL WHERE pool_id = $1`, p.id, now()); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM pools WHERE id = $1`, p.id)
		return err
	})
}
