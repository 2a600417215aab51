package postgres

import (
	"context"
	"errors"
	"fmt"
	"path"
	"reflect"

	"gantry.example/internal/variable"
	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/run"
)

// ParseRequest reads a messages.RunRequest: the run it asks for, to which the caller adds who asks and by which way. Errors are
// *messages.Failure; none quotes the value of a variable.
func ParseRequest(body []byte) (NewRun, error) {
	r, err := messages.ParseRunRequest(body)
	if err != nil {
		return NewRun{}, err
	}
	o := r.Options
	return NewRun{
		WorkspaceID: r.WorkspaceID, ConfigurationVersionID: r.ConfigurationVersionID, Message: r.Message, Execution: r.Execution,
		Variables: o.Variables,
		Options: run.Options{
			PlanOnly: o.PlanOnly, AutoApply: o.AutoApply, Destroy: o.Destroy, RefreshOnly: o.RefreshOnly, SkipRefresh: o.SkipRefresh,
			SavePlan: o.SavePlan, TargetAddrs: o.TargetAddrs, ReplaceAddrs: o.ReplaceAddrs,
		},
	}, CheckRunVariables("options.variables", o.Variables)
}

// CheckRunVariables checks the variables given with a run, in the list that field names. Errors are *messages.Failure.
func CheckRunVariables(field string, vars []wire.RunVariable) error {
	for i, v := range vars {
		var problem *variable.Error
		err := variable.Check(wire.Variable{Key: v.Key, Value: v.Value, Category: wire.CategoryTerraform, HCL: true})
		if err == nil {
			err = variable.CheckExpression(v.Key, v.Value)
		}
		if errors.As(err, &problem) {
			return &messages.Failure{Code: messages.CodeInvalid, Field: fmt.Sprintf("%s[%d].%s", field, i, problem.Field), Message: problem.Problem}
		}
	}
	return nil
}

// Needs is the role that creating the run takes: where it executes is for admins to say, because a server or a cluster may
// have more to lose than the workspace.
func (in NewRun) Needs() Role {
	switch e := in.Execution; {
	case path.IsAbs(e.Workdir) || !reflect.DeepEqual(e, e.Common()):
		return RoleAdmin
	case in.Options.AutoApply, !reflect.DeepEqual(e, messages.Execution{}):
		return RoleWrite
	default:
		return RolePlan
	}
}

// CreateRunOnce creates the run as CreateRun does, at most once per organization of the run and key, and returns its id.
// request is the whole of what was asked for: the same one again gets the same run, another one under the same key is
// refused. What was refused is not remembered. Concurrent calls under one key may fail with an uncoded error; repeat them.
// Errors: those of CreateRun, idempotency.mismatch.
func (d *DB) CreateRunOnce(ctx context.Context, key string, request []byte, in NewRun) (string, error) {
	hash := requestHash(request)
	var id string
	err := d.tx(ctx, func(tx *txn) error {
		var known struct {
			Request []byte `db:"request"`
			RunID   string `db:"run_id"`
		}
		err := tx.GetContext(ctx, &known, `SELECT request, run_id FROM run_requests WHERE organization_id = $1 AND key = $2`, in.OrganizationID, key)
		switch {
		case err == nil && string(known.Request) != string(hash):
			return inField(fail(messages.CodeIdempotencyMismatch, "%q was used before with another request: use a new key", key), messages.HeaderIdempotencyKey)
		case err == nil:
			id = known.RunID
			return nil
		case !noRows(err):
			return err
		}
		created, err := d.CreateRun(context.WithValue(ctx, txKey{}, tx), in)
		if err != nil {
			return err
		}
		id = created.ID
		_, err = tx.ExecContext(ctx, `INSERT INTO run_requests (organization_id, key, request, run_id) VALUES ($1, $2, $3, $4)`,
			in.OrganizationID, key, hash, id)
		return err
	})
	return id, err
}
