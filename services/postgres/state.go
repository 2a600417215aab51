package postgres

import (
	"context"
	"crypto/md5" //nolint:gosec // TFE's API identifies states by MD5; nothing is secured by it
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/jmoiron/sqlx"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/run"
)

// StateVersion is one stored state, without its body.
type StateVersion struct {
	ID               string    `db:"id"`
	WorkspaceID      string    `db:"workspace_id"`
	RunID            *string   `db:"run_id"`
	Serial           int64     `db:"serial"`
	Lineage          string    `db:"lineage"`
	Superseded       bool      `db:"superseded"`
	TerraformVersion string    `db:"terraform_version"`
	MD5              string    `db:"md5"` // hex
	Size             int64     `db:"size"`
	CreatedAt        time.Time `db:"created_at"`
	CreatedBy        string    `db:"created_by"` // who pushed it or rolled back to it; empty when a run wrote it
}

const stateColumns = `id, workspace_id, run_id, serial, lineage, superseded, terraform_version, md5, size, created_at, created_by`

// stateHead is what every Terraform state says about itself.
type stateHead struct {
	Version          int    `json:"version"`
	TerraformVersion string `json:"terraform_version"`
	Serial           int64  `json:"serial"`
	Lineage          string `json:"lineage"`
}

func readStateHead(body []byte) (stateHead, error) {
	var h struct {
		stateHead
		Serial *int64 `json:"serial"` // 0 is a serial, none is not
	}
	if err := json.Unmarshal(body, &h); err != nil || h.Lineage == "" || h.Version == 0 || h.Serial == nil || *h.Serial < 0 {
		return h.stateHead, fail(messages.CodeInvalid, "the body is not a Terraform state: it needs version, serial and lineage")
	}
	h.stateHead.Serial = *h.Serial
	return h.stateHead, nil
}

// currentState names the workspace's current state.
func currentState(ctx context.Context, tx *txn, workspaceID string) (run.StateRef, error) {
	var ref struct {
		Serial  int64  `db:"serial"`
		Lineage string `db:"lineage"`
	}
	err := tx.GetContext(ctx, &ref, `
		SELECT s.serial, s.lineage FROM workspaces w JOIN state_versions s ON s.id = w.state_id WHERE w.id = $1`, workspaceID)
	if noRows(err) {
		return run.StateRef{}, nil
	}
	return run.StateRef(ref), err
}

// PutState stores a state the attempt's terraform wrote and makes it the workspace's current one. The same state again is
// no change. Errors: state.stale_epoch, state.conflict (serial or lineage do not follow), both with the state kept aside;
// invalid.
func (d *DB) PutState(ctx context.Context, a Attempt, body []byte) (wire.StateRef, error) {
	head, err := readStateHead(body)
	if err != nil {
		return wire.StateRef{}, err
	}
	ref := run.StateRef{Serial: head.Serial, Lineage: head.Lineage}
	var refusal error
	err = d.tx(ctx, func(tx *txn) error {
		refusal = nil // that of a try which was undone
		l, err := a.lock(ctx, tx)
		if err != nil {
			return err
		}
		if l.ws == nil {
			return fail(messages.CodeForbidden, "a plan-only run never writes state")
		}
		t, at := l.run.Attempt(a.ID)
		if t != nil && t.Phase != messages.PhaseApply {
			return fail(messages.CodeForbidden, "attempt %s is a plan: only an apply writes state", a.ID)
		}
		current := at != nil && at.Epoch == l.ws.Epoch && at.StartedAt != nil && l.run.TakesResult(a.ID)
		if !current {
			refusal = fail(messages.CodeStateStaleEpoch, "attempt %s no longer stands: state serial %d was kept aside, not applied", a.ID, head.Serial)
			return d.insertState(ctx, tx, l, a, at, head, body, true)
		}
		have, err := l.current(ctx)
		if err != nil {
			return err
		}
		same, err := sameState(ctx, tx, l.run.WorkspaceID, have == ref, body)
		if err != nil || same {
			return err
		}
		if have != (run.StateRef{}) && (have.Lineage != head.Lineage || have.Serial >= head.Serial) {
			refusal = fail(messages.CodeStateConflict, "state serial %d of lineage %s does not follow the workspace's serial %d of lineage %s: it was kept aside, not applied",
				head.Serial, head.Lineage, have.Serial, have.Lineage)
			return d.insertState(ctx, tx, l, a, at, head, body, true)
		}
		if l.run.OutcomeUnknown && l.run.Recovery != "" {
			if err := l.withdraw(ctx, l.run.Recovery, "The runner of run "+l.run.ID+" came back and stored another state."); err != nil {
				return err
			}
		}
		return d.insertState(ctx, tx, l, a, at, head, body, false)
	})
	return wire.StateRef(ref), firstError(err, refusal)
}

// sameState reports whether the body is the workspace's current state, uploaded again; sameRef tells that serial and lineage
// are.
func sameState(ctx context.Context, tx *txn, workspaceID string, sameRef bool, body []byte) (bool, error) {
	if !sameRef {
		return false, nil
	}
	var sum string
	err := tx.GetContext(ctx, &sum, `
		SELECT s.md5 FROM workspaces w JOIN state_versions s ON s.id = w.state_id WHERE w.id = $1`, workspaceID)
	if noRows(err) {
		return false, nil // both have no state, which is what an empty reference says
	}
	return sum == md5Hex(body), err
}

func (d *DB) insertState(ctx context.Context, tx *txn, l *locked, a Attempt, at *run.Attempt, h stateHead, body []byte, superseded bool) error {
	from := newState{workspace: l.run.WorkspaceID, run: &a.RunID, attempt: &a.ID, superseded: superseded}
	if at != nil {
		from.epoch = at.Epoch
	}
	if superseded { // kept once, however often it is sent
		var kept bool
		if err := tx.GetContext(ctx, &kept, `
			SELECT EXISTS (SELECT 1 FROM state_versions WHERE workspace_id = $1 AND attempt_id = $2 AND superseded AND md5 = $3)`,
			l.run.WorkspaceID, a.ID, md5Hex(body)); err != nil || kept {
			return err
		}
	}
	_, err := d.storeState(ctx, tx, from, h, body)
	return err
}

// CurrentStateVersion returns the workspace's current state version. Errors: not_found when it has no state yet.
func (d *DB) CurrentStateVersion(ctx context.Context, workspaceID string) (StateVersion, error) {
	var sv StateVersion
	err := d.q(ctx).GetContext(ctx, &sv, `SELECT `+stateColumns+` FROM state_versions
		WHERE id = (SELECT state_id FROM workspaces WHERE id = $1)`, workspaceID)
	if noRows(err) {
		return sv, fail(messages.CodeNotFound, "workspace %s has no state yet", workspaceID)
	}
	return sv, err
}

// StateVersion returns one state version by id.
func (d *DB) StateVersion(ctx context.Context, id string) (StateVersion, error) {
	var sv StateVersion
	err := d.q(ctx).GetContext(ctx, &sv, `SELECT `+stateColumns+` FROM state_versions WHERE id = $1`, id)
	if noRows(err) {
		return sv, notFound("state version", id)
	}
	return sv, err
}

// StateBody returns the state itself.
func (d *DB) StateBody(ctx context.Context, id string) ([]byte, error) {
	return d.stateBody(ctx, d.q(ctx), id)
}

func (d *DB) stateBody(ctx context.Context, q sqlx.QueryerContext, id string) ([]byte, error) {
	var sealed []byte
	err := sqlx.GetContext(ctx, q, &sealed, `SELECT sealed FROM state_versions WHERE id = $1`, id)
	if noRows(err) {
		return nil, notFound("state version", id)
	}
	if err != nil {
		return nil, err
	}
	return d.seal.Open(sealed, []byte("state/"+id))
}

func md5Hex(b []byte) string {
	sum := md5.Sum(b) //nolint:gosec // see the import
	return hex.EncodeToString(sum[:])
}
