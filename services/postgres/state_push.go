package postgres

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"gantry.example/messages"
	"gantry.example/services/run"
)

// StateVersions lists a workspace's state versions, newest first, and the number of all. Those that were kept aside are
// among them.
func (d *DB) StateVersions(ctx context.Context, workspaceID string, p Page) ([]StateVersion, int, error) {
	var total int
	if err := d.q(ctx).GetContext(ctx, &total, `SELECT count(*) FROM state_versions WHERE workspace_id = $1`, workspaceID); err != nil {
		return nil, 0, err
	}
	var out []StateVersion
	err := d.q(ctx).SelectContext(ctx, &out, `SELECT `+stateColumns+` FROM state_versions WHERE workspace_id = $1
		ORDER BY created_at DESC, serial DESC, id LIMIT $2 OFFSET $3`, workspaceID, p.limit(), p.offset())
	return out, total, err
}

// StatePush is a state that a person gives a workspace.
type StatePush struct {
	WorkspaceID string
	Body        []byte
	Force       bool // also when serial or lineage do not follow
	By          string
	// As is the serial and lineage to store the state under, which it is given if its own are others. The zero value: its own.
	As StateNumber
}

// StateNumber says where a state is among the versions of a state. Nil and "" mean "not said".
type StateNumber struct {
	Serial  *int64
	Lineage string
}

// numbered is the state with the serial and lineage that are asked for.
func (n StateNumber) numbered(body []byte) ([]byte, error) {
	head, err := readStateHead(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	as := run.StateRef{Serial: head.Serial, Lineage: head.Lineage}
	if n.Serial != nil {
		as.Serial = *n.Serial
	}
	if n.Lineage != "" {
		as.Lineage = n.Lineage
	}
	if as.Serial == head.Serial && as.Lineage == head.Lineage {
		return body, nil // as it is, to the byte
	}
	return renumber(body, as)
}

// PushState makes the state the workspace's current one. A plan made before is stale from then on: its apply is refused.
// The current state again is no change. Errors: not_found; invalid; workspace.locked while a run holds the gate or another
// person locked the workspace; state.conflict when serial or lineage do not follow.
func (d *DB) PushState(ctx context.Context, in StatePush) (StateVersion, error) {
	var err error
	if in.Body, err = in.As.numbered(in.Body); err != nil {
		return StateVersion{}, err
	}
	head, err := readStateHead(bytes.NewReader(in.Body))
	if err != nil {
		return StateVersion{}, err
	}
	return d.giveState(ctx, gift{in.WorkspaceID, in.By, false}, func(tx *txn, have *StateVersion) ([]byte, error) {
		switch {
		case have == nil, in.Force && have.MD5 != md5Hex(in.Body):
			return in.Body, nil
		case have.MD5 == md5Hex(in.Body):
			return nil, nil
		case have.Lineage != head.Lineage:
			return nil, fail(messages.CodeStateConflict,
				"the state has lineage %s, the workspace's current one %s: they are states of different things. Force the push to replace it all the same", head.Lineage, have.Lineage)
		case have.Serial >= head.Serial:
			return nil, fail(messages.CodeStateConflict,
				"the state has serial %d, the workspace's current one %d: it is older, or another under the same serial. Raise its serial, or force the push", head.Serial, have.Serial)
		}
		return in.Body, nil
	})
}

// RollbackState stores an old state version of the workspace anew, with the serial that follows the current one, and makes
// it current. Errors: not_found; workspace.locked as for PushState.
func (d *DB) RollbackState(ctx context.Context, workspaceID, stateID, by string) (StateVersion, error) {
	return d.giveState(ctx, gift{workspaceID, by, false}, func(tx *txn, have *StateVersion) ([]byte, error) {
		var old StateVersion
		err := tx.GetContext(ctx, &old, `SELECT `+stateColumns+` FROM state_versions WHERE id = $1 AND workspace_id = $2`, stateID, workspaceID)
		if noRows(err) {
			return nil, fail(messages.CodeNotFound, "workspace %s has no state version %q", workspaceID, stateID)
		}
		if err != nil {
			return nil, err
		}
		body, err := d.stateBody(ctx, tx, stateID)
		if err != nil {
			return nil, err
		}
		if have == nil { // there are only states that were kept aside
			have = &old
		}
		return renumber(body, run.StateRef{Serial: have.Serial + 1, Lineage: have.Lineage})
	})
}

// renumber is the state with another serial and lineage. All else stays as it was written, numbers included.
func renumber(body []byte, as run.StateRef) ([]byte, error) {
	var state map[string]json.RawMessage
	if err := json.Unmarshal(body, &state); err != nil {
		return nil, fmt.Errorf("read the state to roll back to: %w", err)
	}
	lineage, err := json.Marshal(as.Lineage)
	if err != nil {
		return nil, err
	}
	state["serial"], state["lineage"] = json.RawMessage(fmt.Sprint(as.Serial)), lineage
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ") // as terraform writes it
	err = enc.Encode(state)
	return out.Bytes(), err
}

// gift says who gives a workspace a state.
type gift struct {
	workspace, by string
	unsettled     bool // also while the outcome of the run that holds the workspace is unknown
}

// giveState stores the state that choose returns as the workspace's current one, while no run can be between its plan and
// its end. choose is given the current version, or nil; it returns no state to leave that as it is.
func (d *DB) giveState(ctx context.Context, g gift, choose func(*txn, *StateVersion) ([]byte, error)) (StateVersion, error) {
	var out StateVersion
	err := d.tx(ctx, func(tx *txn) error {
		w, at, err := lockedWorkspace(ctx, tx, g.workspace)
		if err != nil {
			return err
		}
		if !g.unsettled || !w.OutcomeUnknown {
			err = w.heldByRun()
		}
		if err := firstError(err, w.heldByOther(g.by)); err != nil {
			return err
		}
		var have *StateVersion
		var current StateVersion
		switch err := tx.GetContext(ctx, &current, `SELECT `+stateColumns+` FROM state_versions
			WHERE id = (SELECT state_id FROM workspaces WHERE id = $1)`, g.workspace); {
		case err == nil:
			have = &current
		case !noRows(err):
			return err
		}
		body, err := choose(tx, have)
		if err != nil {
			return err
		}
		if body == nil {
			out = current
			return nil
		}
		s, err := stateInMemory(body)
		if err != nil {
			return err
		}
		if err := d.storeState(ctx, tx, newState{workspace: g.workspace, epoch: at.Epoch, by: g.by}, s); err != nil {
			return err
		}
		if w.OutcomeUnknown { // whatever looks into it looked at another state
			if err := withdrawRecovery(ctx, tx, at, g.by); err != nil {
				return err
			}
		}
		return tx.GetContext(ctx, &out, `SELECT `+stateColumns+` FROM state_versions WHERE id = $1`, s.id)
	})
	return out, err
}

// newState says where a state comes from: from an attempt of a run, or from a person.
type newState struct {
	workspace    string
	run, attempt *string
	epoch        int64
	by           string
	superseded   bool
}

// storeState writes the state version and, unless it is superseded, makes it the workspace's current one.
func (d *DB) storeState(ctx context.Context, tx *txn, from newState, s incomingState) error {
	sealed, err := d.sealState(ctx, tx, s)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `
		INSERT INTO state_versions (id, workspace_id, run_id, attempt_id, epoch, serial, lineage, superseded, terraform_version, md5, size,
		                            sealed, created_at, created_by)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
		s.id, from.workspace, from.run, from.attempt, from.epoch, s.Serial, s.Lineage, from.superseded, s.TerraformVersion, s.md5, s.body.size,
		sealed, now(), from.by); err != nil {
		return err
	}
	if from.superseded {
		return nil
	}
	_, err = tx.ExecContext(ctx, `UPDATE workspaces SET state_id = $2, updated_at = $3 WHERE id = $1`, from.workspace, s.id, now())
	return err
}

// sealState returns what is in the row of the version: its body, or nothing of one that is more than a part, which is stored beside.
func (d *DB) sealState(ctx context.Context, tx *txn, s incomingState) ([]byte, error) {
	if s.body.size > blobPart {
		return []byte{}, s.body.store(ctx, d, tx)
	}
	return d.seal.Seal(s.body.content, []byte("state/"+s.id))
}
