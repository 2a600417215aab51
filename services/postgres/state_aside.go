package postgres

import (
	"context"

	"gantry.example/messages"
	"gantry.example/services/run"
)

// PromoteState makes a state that was kept aside the workspace's current one, as a new version with a serial that follows.
// It may be done while the outcome of the run that holds the workspace is unknown, and withdraws a recovery that looks at
// another state. Errors: not_found; invalid for a version that was not kept aside; state.conflict when the current state is
// neither of the same run nor the one that run began with, unless forced; workspace.locked as for PushState.
func (d *DB) PromoteState(ctx context.Context, stateID, by string, force bool) (StateVersion, error) {
	aside, err := d.StateVersion(ctx, stateID)
	if err != nil {
		return aside, err
	}
	if !aside.Superseded {
		return aside, fail(messages.CodeInvalid, "state version %s was not kept aside: to go back to it, roll back", stateID)
	}
	return d.giveState(ctx, gift{aside.WorkspaceID, by, true}, func(tx *txn, have *StateVersion) ([]byte, error) {
		body, err := d.stateBody(ctx, tx, stateID)
		if err != nil || have == nil {
			return body, err
		}
		follows, err := follows(ctx, tx, aside, *have)
		if err != nil {
			return nil, err
		}
		if !follows && !force {
			return nil, fail(messages.CodeStateConflict,
				"state version %s does not know what made the current state, serial %d (%s): it would be forgotten. Compare the two, then force it", stateID, have.Serial, have.writer())
		}
		return renumber(body, run.StateRef{Serial: max(have.Serial+1, aside.Serial), Lineage: have.Lineage})
	})
}

// follows reports whether the current state is one that the run of the aside one wrote, or began with: then whoever wrote the
// aside one knew all of it.
func follows(ctx context.Context, tx *txn, aside, have StateVersion) (bool, error) {
	if aside.RunID == nil {
		return false, nil
	}
	if have.RunID != nil && *have.RunID == *aside.RunID {
		return true, nil
	}
	var attempt string
	if err := tx.GetContext(ctx, &attempt, `SELECT COALESCE(attempt_id, '') FROM state_versions WHERE id = $1`, aside.ID); err != nil {
		return false, err
	}
	var doc []byte
	err := tx.GetContext(ctx, &doc, `SELECT doc FROM runs WHERE id = $1`, *aside.RunID)
	if noRows(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	r, err := decodeRun(doc)
	if err != nil {
		return false, err
	}
	_, a := r.Attempt(attempt)
	return a != nil && a.Base == run.StateRef{Serial: have.Serial, Lineage: have.Lineage}, nil
}

// writer is who wrote the state, for people.
func (sv StateVersion) writer() string {
	if sv.RunID != nil {
		return "of run " + *sv.RunID
	}
	return "pushed by " + sv.CreatedBy
}
