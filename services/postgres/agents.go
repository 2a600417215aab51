package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"gantry.example/internal/wire"
	"gantry.example/messages"
)

// AgentStatus is how an agent does, in TFE's words and one more.
type AgentStatus string

// The statuses. An agent that is not heard of is unknown at first and errored after a while; that it exited is its own word.
const (
	AgentIdle     AgentStatus = "idle"
	AgentBusy     AgentStatus = "busy"
	AgentDraining AgentStatus = "draining" // finishes what runs and takes nothing new
	AgentUnknown  AgentStatus = "unknown"
	AgentErrored  AgentStatus = "errored"
	AgentExited   AgentStatus = "exited"
)

// agentErrored is how long an agent is unknown before it is taken for dead.
const agentErrored = 5 * time.Minute

// Agent is a worker of an organization's pool, as it described itself when it was last heard of.
type Agent struct {
	ID          string           `db:"id"`
	PoolID      string           `db:"pool_id"`
	Pool        string           `db:"pool"` // its name
	Name        string           `db:"name"`
	Slots       int              `db:"slots"`
	Busy        int              `db:"busy"`
	Refusing    string           `db:"refusing"`
	Labels      jsonTexts        `db:"labels"`
	Version     string           `db:"version"`
	Address     string           `db:"address"`
	Runs        jsonTexts        `db:"runs"`
	State       wire.WorkerState `db:"state"`
	Drain       bool             `db:"drain"`
	SeenAt      time.Time        `db:"seen_at"`
	FirstSeenAt time.Time        `db:"first_seen_at"`
}

// jsonTexts is a list of texts in a jsonb column.
type jsonTexts []string

// Scan implements sql.Scanner.
func (t *jsonTexts) Scan(v any) error {
	b, ok := v.([]byte)
	if !ok {
		return fmt.Errorf("a list of texts is stored as %T", v)
	}
	return json.Unmarshal(b, t)
}

// Status is how the agent does at the time.
func (a Agent) Status(at time.Time) AgentStatus {
	silent := at.Sub(a.SeenAt)
	switch {
	case a.State == wire.WorkerExited:
		return AgentExited
	case silent > agentErrored:
		return AgentErrored
	case silent > WorkerSilent:
		return AgentUnknown
	case a.State == wire.WorkerDraining, a.Drain:
		return AgentDraining
	case a.Busy > 0:
		return AgentBusy
	default:
		return AgentIdle
	}
}

const selectAgent = `
	SELECT w.id, w.pool_id, p.name AS pool, w.name, w.slots, w.busy, w.refusing, w.labels, w.version, w.address, w.runs, w.state, w.drain, w.seen_at,
	       COALESCE(w.first_seen_at, w.seen_at) AS first_seen_at
	FROM workers w JOIN pools p ON p.id = w.pool_id AND p.organization_id IS NOT NULL`

// Agents lists the agents of a pool (id), those heard of last first, and the number of them.
func (d *DB) Agents(ctx context.Context, pool string, p Page) ([]Agent, int, error) {
	var total int
	if err := d.q(ctx).GetContext(ctx, &total, `SELECT count(*) FROM workers WHERE pool_id = $1`, pool); err != nil {
		return nil, 0, err
	}
	var out []Agent
	err := d.q(ctx).SelectContext(ctx, &out, selectAgent+` WHERE w.pool_id = $1 ORDER BY w.state = 'exited', w.name LIMIT $2 OFFSET $3`,
		pool, p.limit(), p.offset())
	return out, total, err
}

// Agent returns one agent by id.
func (d *DB) Agent(ctx context.Context, id string) (Agent, error) {
	var a Agent
	err := d.q(ctx).GetContext(ctx, &a, selectAgent+` WHERE w.id = $1`, id)
	if noRows(err) {
		return a, notFound("agent", id)
	}
	return a, err
}

// DrainAgent asks the agent to finish what runs, take nothing new, and end. Asking again changes nothing. Errors: not_found,
// conflict for one that is not there to hear it.
func (d *DB) DrainAgent(ctx context.Context, id string) (Agent, error) {
	a, err := d.Agent(ctx, id)
	if err != nil {
		return a, err
	}
	if s := a.Status(now()); s == AgentExited || s == AgentErrored {
		return a, fail(messages.CodeConflict, "agent %s is %s: it does not hear this", a.Name, s)
	}
	if _, err := d.q(ctx).ExecContext(ctx, `UPDATE workers SET drain = true WHERE id = $1`, id); err != nil {
		return a, err
	}
	return d.Agent(ctx, id)
}

// ForgetAgent removes what is known of an agent. Errors: not_found, conflict for one that is there.
func (d *DB) ForgetAgent(ctx context.Context, id string) error {
	a, err := d.Agent(ctx, id)
	if err != nil {
		return err
	}
	if s := a.Status(now()); s != AgentExited && s != AgentErrored && s != AgentUnknown {
		return fail(messages.CodeConflict, "agent %s is %s and would be back in a moment: stop it first, for example with gantry agents drain %s", a.Name, s, a.ID)
	}
	_, err = d.q(ctx).ExecContext(ctx, `DELETE FROM workers WHERE id = $1`, id)
	return err
}

// Bounds of the sets of labels that are remembered of a pool. Each is a consumer on its stream.
const (
	maxLabelSets  = 100
	labelSetStays = 24 * time.Hour // since a run used it last
)

// wantLabels remembers the labels (sorted) that a run of the pool requires, so that its agents look for such work. Errors:
// execution.invalid when the pool has too many different sets.
func wantLabels(ctx context.Context, tx *txn, pool string, labels []string) error {
	doc, err := json.Marshal(append([]string{}, labels...))
	if err != nil {
		return err
	}
	res, err := tx.ExecContext(ctx, `INSERT INTO pool_label_sets (pool_id, labels, used_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, pool, doc, now())
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE pool_label_sets SET used_at = $3 WHERE pool_id = $1 AND labels = $2 AND used_at < $4`,
			pool, doc, now(), now().Add(-labelSetStays/24))
		return err
	}
	var sets int
	if err := tx.GetContext(ctx, &sets, `SELECT count(*) FROM pool_label_sets WHERE pool_id = $1`, pool); err != nil || sets <= maxLabelSets {
		return err
	}
	res, err = tx.ExecContext(ctx, `
		DELETE FROM pool_label_sets s WHERE s.pool_id = $1 AND s.used_at < $2 AND NOT EXISTS (
		  SELECT 1 FROM runs r WHERE r.status IN `+openStatuses+` AND r.doc->>'pool' = $1
		  AND COALESCE(r.doc->'execution'->'required_labels', '[]') = s.labels)`, pool, now().Add(-labelSetStays))
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n > 0 {
		return err
	}
	return &messages.FieldError{Path: "required_labels", Code: messages.CodeExecutionInvalid,
		Problem: fmt.Sprintf("the pool has runs for %d different sets of labels already, and more would slow all of them down: use one of those", maxLabelSets)}
}
