package postgres

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // TFE's API identifies states by MD5; nothing is secured by it
	"encoding/hex"
	"io"
	"time"

	"gantry.example/internal/statefile"
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

// incomingState is a state that came, and may become the version with the id.
type incomingState struct {
	statefile.Head
	id, md5 string
	body    received
}

// receiveState takes a state. Errors: invalid; those of receive.
func (d *DB) receiveState(ctx context.Context, in Upload) (incomingState, error) {
	s := incomingState{id: messages.NewID("sv-")}
	sum := md5.New() //nolint:gosec // see the import
	in.Body = io.TeeReader(in.Body, sum)
	body, err := d.receive(ctx, s.id, BlobState, in, func(r io.Reader) (err error) {
		s.Head, err = readStateHead(r)
		return err
	})
	s.body, s.md5 = body, hex.EncodeToString(sum.Sum(nil))
	return s, err
}

// stateInMemory is a state that is there already.
func stateInMemory(body []byte) (incomingState, error) {
	head, err := readStateHead(bytes.NewReader(body))
	id := messages.NewID("sv-")
	return incomingState{Head: head, id: id, md5: md5Hex(body), body: received{owner: id, kind: BlobState, size: int64(len(body)), content: body}}, err
}

func readStateHead(body io.Reader) (statefile.Head, error) {
	h, err := statefile.ReadHead(body)
	if err != nil {
		err = fail(messages.CodeInvalid, "the body is not a Terraform state: it needs version, serial and lineage")
	}
	return h, err
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
// invalid; what its check finds.
func (d *DB) PutState(ctx context.Context, a Attempt, in Upload) (wire.StateRef, error) {
	s, err := d.receiveState(ctx, in)
	defer s.body.discard(ctx, d)
	var refusal error
	if err == nil {
		err = d.tx(ctx, func(tx *txn) (err error) { // its last try is what counts
			refusal, err = d.takeState(ctx, tx, a, s)
			return err
		})
	}
	return wire.StateRef{Serial: s.Serial, Lineage: s.Lineage}, firstError(err, refusal)
}

// takeState makes the state the current one, or keeps it aside and says why.
func (d *DB) takeState(ctx context.Context, tx *txn, a Attempt, head incomingState) (refusal, err error) {
	l, err := a.lock(ctx, tx)
	if err != nil {
		return nil, err
	}
	if l.ws == nil {
		return nil, fail(messages.CodeForbidden, "a plan-only run never writes state")
	}
	t, at := l.run.Attempt(a.ID)
	if t != nil && t.Phase != messages.PhaseApply {
		return nil, fail(messages.CodeForbidden, "attempt %s is a plan: only an apply writes state", a.ID)
	}
	current := at != nil && at.Epoch == l.ws.Epoch && at.StartedAt != nil && l.run.TakesResult(a.ID)
	if !current {
		refusal = fail(messages.CodeStateStaleEpoch, "attempt %s no longer stands: state serial %d was kept aside, not applied", a.ID, head.Serial)
		return refusal, d.insertState(ctx, tx, l, a, at, head, true)
	}
	have, err := l.current(ctx)
	if err != nil {
		return nil, err
	}
	same, err := sameState(ctx, tx, l.run.WorkspaceID, have == run.StateRef{Serial: head.Serial, Lineage: head.Lineage}, head.md5)
	if err != nil || same {
		return nil, err
	}
	if have != (run.StateRef{}) && (have.Lineage != head.Lineage || have.Serial >= head.Serial) {
		refusal = fail(messages.CodeStateConflict, "state serial %d of lineage %s does not follow the workspace's serial %d of lineage %s: it was kept aside, not applied",
			head.Serial, head.Lineage, have.Serial, have.Lineage)
		return refusal, d.insertState(ctx, tx, l, a, at, head, true)
	}
	if l.run.OutcomeUnknown && l.run.Recovery != "" {
		if err := l.withdraw(ctx, l.run.Recovery, "The runner of run "+l.run.ID+" came back and stored another state."); err != nil {
			return nil, err
		}
	}
	return nil, d.insertState(ctx, tx, l, a, at, head, false)
}

// sameState reports whether what has the MD5 is the workspace's current state, uploaded again; sameRef tells that serial and lineage
// are.
func sameState(ctx context.Context, tx *txn, workspaceID string, sameRef bool, md5 string) (bool, error) {
	if !sameRef {
		return false, nil
	}
	var sum string
	err := tx.GetContext(ctx, &sum, `
		SELECT s.md5 FROM workspaces w JOIN state_versions s ON s.id = w.state_id WHERE w.id = $1`, workspaceID)
	if noRows(err) {
		return false, nil // both have no state, which is what an empty reference says
	}
	return sum == md5, err
}

func (d *DB) insertState(ctx context.Context, tx *txn, l *locked, a Attempt, at *run.Attempt, s incomingState, superseded bool) error {
	from := newState{workspace: l.run.WorkspaceID, run: &a.RunID, attempt: &a.ID, superseded: superseded}
	if at != nil {
		from.epoch = at.Epoch
	}
	if superseded { // kept once, however often it is sent
		var kept bool
		if err := tx.GetContext(ctx, &kept, `
			SELECT EXISTS (SELECT 1 FROM state_versions WHERE workspace_id = $1 AND attempt_id = $2 AND superseded AND md5 = $3)`,
			l.run.WorkspaceID, a.ID, s.md5); err != nil || kept {
			return err
		}
	}
	return d.storeState(ctx, tx, from, s)
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

// LastStateOf returns the last state version that an attempt wrote. Errors: not_found when it wrote none that was taken.
func (d *DB) LastStateOf(ctx context.Context, attemptID string) (StateVersion, error) {
	var sv StateVersion
	err := d.q(ctx).GetContext(ctx, &sv, `SELECT `+stateColumns+` FROM state_versions
		WHERE attempt_id = $1 AND NOT superseded ORDER BY serial DESC LIMIT 1`, attemptID)
	if noRows(err) {
		return sv, notFound("state of attempt", attemptID)
	}
	return sv, err
}

// State opens the state itself. Errors: not_found.
func (d *DB) State(ctx context.Context, id string) (*Blob, error) {
	return d.state(ctx, d.q(ctx), id)
}

// state opens a state. One that is more than a part is a blob, and nothing in its row; it is whole in its row if it is of the time
// before.
func (d *DB) state(ctx context.Context, q querier, id string) (*Blob, error) {
	var sealed []byte
	err := q.GetContext(ctx, &sealed, `SELECT sealed FROM state_versions WHERE id = $1`, id)
	if noRows(err) {
		return nil, notFound("state version", id)
	}
	if err != nil {
		return nil, err
	}
	if len(sealed) == 0 {
		return d.blob(ctx, q, id, BlobState)
	}
	body, err := d.seal.Open(sealed, []byte("state/"+id))
	return &Blob{Size: int64(len(body)), rest: body}, err
}

// StateBody returns the state itself, whole. Errors: not_found.
func (d *DB) StateBody(ctx context.Context, id string) ([]byte, error) {
	return d.stateBody(ctx, d.q(ctx), id)
}

func (d *DB) stateBody(ctx context.Context, q querier, id string) ([]byte, error) {
	b, err := d.state(ctx, q, id)
	if err != nil {
		return nil, err
	}
	body := make([]byte, b.Size)
	_, err = io.ReadFull(b, body)
	return body, err
}

func md5Hex(b []byte) string {
	sum := md5.Sum(b) //nolint:gosec // see the import
	return hex.EncodeToString(sum[:])
}
