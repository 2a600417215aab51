package postgres

import (
	"context"
	"time"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/run"
)

// K8sConfigsOf lists the configs that the holder of a token may see, by organization and name.
func (d *DB) K8sConfigsOf(ctx context.Context, t Token) ([]wire.K8sConfig, error) {
	var rows []k8sRow
	if err := d.q(ctx).SelectContext(ctx, &rows, selectK8s+` WHERE `+visible+` ORDER BY lower(o.name), lower(p.name)`,
		t.Site(), t.OrganizationID, t.UserID); err != nil {
		return nil, err
	}
	out := make([]wire.K8sConfig, len(rows))
	for i, r := range rows {
		var err error
		if out[i], err = r.config(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// PlacedPod is an attempt that has a Pod, or is about to have one.
type PlacedPod struct {
	PlacedRun
	AttemptID string
	Phase     messages.Phase
	State     run.AttemptState
	Waits     string // for what, in the words of the cluster; "" once its runner has started, or when nobody said
	ClaimedAt time.Time
	StartedAt *time.Time
}

// PodsInFlight lists the open attempts of a k8s config (id), those that wait for longest first, limit at most, and how many there are.
func (d *DB) PodsInFlight(ctx context.Context, id string, limit int) (pods []PlacedPod, total int, err error) {
	var rows []struct {
		Doc          []byte           `db:"doc"`
		Organization string           `db:"organization"`
		Workspace    string           `db:"workspace"`
		AttemptID    string           `db:"id"`
		Phase        messages.Phase   `db:"phase"`
		State        run.AttemptState `db:"state"`
		Waits        string           `db:"waits"`
		ClaimedAt    time.Time        `db:"claimed_at"`
		StartedAt    *time.Time       `db:"started_at"`
		Total        int              `db:"total"`
	}
	err = d.q(ctx).SelectContext(ctx, &rows, `
		SELECT r.doc, o.name AS organization, w.name AS workspace, a.id, t.phase, a.state, a.claimed_at, a.started_at,
		       CASE WHEN a.state = $3 THEN COALESCE(p.reason, '') ELSE '' END AS waits, count(*) OVER () AS total
		FROM attempts a JOIN tasks t ON t.id = a.task_id JOIN runs r ON r.id = a.run_id JOIN organizations o ON o.id = r.organization_id
		JOIN workspaces w ON w.id = r.workspace_id LEFT JOIN placements p ON p.attempt_id = a.id AND p.until > $4
		WHERE a.state <> 'closed' AND t.pool_id = $1 ORDER BY a.started_at IS NOT NULL, a.claimed_at, a.id LIMIT $2`, id, limit, run.AttemptClaimed, now())
	if err != nil {
		return nil, 0, err
	}
	for _, row := range rows {
		r, err := decodeRun(row.Doc)
		if err != nil {
			return nil, 0, err
		}
		pods = append(pods, PlacedPod{
			PlacedRun: PlacedRun{r, row.Organization, row.Workspace}, AttemptID: row.AttemptID, Phase: row.Phase, State: row.State, Waits: row.Waits,
			ClaimedAt: row.ClaimedAt, StartedAt: row.StartedAt,
		})
		total = row.Total
	}
	return pods, total, nil
}
