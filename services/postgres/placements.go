package postgres

import (
	"context"
	"time"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/run"
)

// placementsKept is how long a word about a placement is kept that was not said again.
const placementsKept = time.Hour

// SawPlacements gives claimed attempts of the pool that are still being placed their claim's time again, counted from now, and tells
// which of those asked about have started or are over. One that the pool does not have is over.
func (d *DB) SawPlacements(ctx context.Context, pool string, in []wire.Placement) (wire.PlacingAnswer, error) {
	out := wire.PlacingAnswer{Started: []string{}, Closed: []string{}}
	ids := make([]string, len(in))
	for i, p := range in {
		ids[i] = p.AttemptID
	}
	err := d.tx(ctx, func(tx *txn) error {
		var rows []struct {
			ID    string           `db:"id"`
			State run.AttemptState `db:"state"`
		}
		if err := tx.SelectContext(ctx, &rows, `
			SELECT a.id, a.state FROM attempts a JOIN tasks t ON t.id = a.task_id WHERE a.id = ANY ($1) AND t.pool_id = $2`, textArray(ids), pool); err != nil {
			return err
		}
		states := make(map[string]run.AttemptState, len(rows))
		for _, row := range rows {
			states[row.ID] = row.State
		}
		var placing, reasons []string
		for _, p := range in {
			switch state, known := states[p.AttemptID]; {
			case !known || state == run.AttemptClosed:
				out.Closed = append(out.Closed, p.AttemptID)
			case state != run.AttemptClaimed:
				out.Started = append(out.Started, p.AttemptID)
			case p.Extend:
				placing, reasons = append(placing, p.AttemptID), append(reasons, p.Reason)
			}
		}
		return d.extend(ctx, tx, placing, reasons)
	})
	return out, err
}

// KeepClaim gives a claimed attempt, which is being prepared, its claim's time again, counted from now. reason is for people.
func (d *DB) KeepClaim(ctx context.Context, a Attempt, reason string) error {
	return d.tx(ctx, func(tx *txn) error { return d.extend(ctx, tx, []string{a.ID}, []string{reason}) })
}

func (d *DB) extend(ctx context.Context, tx *txn, attempts, reasons []string) error {
	if len(attempts) > 0 {
		if _, err := tx.ExecContext(ctx, `
			INSERT INTO placements (attempt_id, until, reason) SELECT i, $3, r FROM unnest($1::text[], $2::text[]) AS x (i, r) ORDER BY i
			ON CONFLICT (attempt_id) DO UPDATE SET until = EXCLUDED.until, reason = EXCLUDED.reason`,
			textArray(attempts), textArray(reasons), now().Add(d.timing.StartWithin)); err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM placements WHERE until < $1`, now().Add(-placementsKept))
	return err
}

// placing is what keeps the attempt from starting, in the words of who places it.
func (d *DB) placing(ctx context.Context, attemptID string) (string, error) {
	var reason string
	err := d.q(ctx).GetContext(ctx, &reason, `SELECT COALESCE((SELECT reason FROM placements WHERE attempt_id = $1 AND until > $2), '')`, attemptID, now())
	return reason, err
}

// maxPlacements is how many attempts one call may ask about.
const maxPlacements = 10_000

// CheckPlacements reports what is wrong with the request.
func CheckPlacements(in wire.PlacingRequest) error {
	if len(in.Attempts) > maxPlacements {
		return fail(messages.CodeInvalid, "field attempts: %d of them, and a call may ask about %d", len(in.Attempts), maxPlacements)
	}
	return nil
}
