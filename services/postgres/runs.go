package postgres

import (
	"context"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/run"
)

// NewRun is what a user asks for.
type NewRun struct {
	WorkspaceID            string
	OrganizationID         string // the workspace must belong to it; empty: any will do
	ConfigurationVersionID string // empty: the newest uploaded one of the workspace
	Options                run.Options
	AutoApplyAsSet         bool // auto-apply is what the workspace says
	Variables              []wire.RunVariable
	Execution              messages.Execution // the run's own document, merged over the workspace's
	Message                string
	Source                 string
	CreatedBy              string
	Traceparent            string // of the run, empty where nobody traces it; see run.Spec
	TraceParentSpan        string
}

// CreateRun stores the run and, when it may run at once, its task: one transaction. Errors: not_found for the workspace,
// configuration.missing, execution.*.
func (d *DB) CreateRun(ctx context.Context, in NewRun) (run.Run, error) {
	var out run.Run
	err := d.tx(ctx, func(tx *txn) error {
		ws, err := lockTarget(ctx, tx, in.WorkspaceID)
		if err != nil {
			return inField(err, "workspace_id")
		}
		spec, err := d.runSpec(ctx, tx, in, ws)
		if err != nil {
			return err
		}
		created, err := d.createIn(ctx, tx, ws, spec, in)
		if err != nil {
			return err
		}
		doc, err := document(created) // as it is stored, which takes not every text
		if err != nil {
			return err
		}
		out, err = decodeRun(doc)
		return err
	})
	return out, err
}

// createIn stores a run and, where nothing is before it, its task with it.
func (d *DB) createIn(ctx context.Context, tx *txn, ws *runTarget, spec run.Spec, in NewRun) (run.Run, error) {
	l, cause := &locked{tx: tx}, Cause{Actor: in.CreatedBy}
	events, _ := l.decide(run.Create{Spec: spec}, cause)
	goes, by := spec.Options.PlanOnly, cause
	if !goes {
		l.ws, by = &ws.gate, Cause{Actor: "gate"}
		if goes = l.ws.Run == nil && !l.ws.Locked && !ws.waited; goes {
			l.ws.hold(spec.ID)
		}
	}
	if goes {
		queued, _ := l.decide(run.Queue{}, by)
		events = append(events, queued...)
	}
	if err := l.keep(ctx, run.Run{}, events, cause); err != nil {
		return run.Run{}, err
	}
	if err := d.putRunVariables(ctx, tx, spec.ID, in.Variables); err != nil || l.ws == nil {
		return l.run, err
	}
	return l.run, releaseNext(ctx, tx, l.ws) // which is one that was before it
}

// runTarget is a workspace under its row lock, with what a new run takes from it.
type runTarget struct {
	gate
	Organization string `db:"organization_id"`
	Name         string `db:"name"`
	Execution    []byte `db:"execution"`
	Defaults     []byte `db:"defaults"` // of its organization
	Elsewhere    bool   `db:"runs_elsewhere"`
	AutoApply    bool   `db:"auto_apply"`
	NeverDestroy bool   `db:"never_destroy"`
	waited       bool   // other runs wait for the gate
}

func lockTarget(ctx context.Context, tx *txn, workspaceID string) (*runTarget, error) {
	var ws runTarget
	err := tx.GetContext(ctx, &ws, `
		SELECT w.id, w.locked, w.gate_run_id, w.epoch, w.organization_id, w.name, w.execution, o.execution AS defaults, w.runs_elsewhere, w.auto_apply,
		       COALESCE(w.kept ->> 'allow-destroy-plan' = 'false', false) AS never_destroy
		FROM workspaces w JOIN organizations o ON o.id = w.organization_id WHERE w.id = $1 FOR NO KEY UPDATE OF w`, workspaceID)
	if noRows(err) {
		return nil, notFound("workspace", workspaceID)
	}
	return &ws, err
}

// runSpec resolves everything that is frozen into the run.
func (d *DB) runSpec(ctx context.Context, tx *txn, in NewRun, ws *runTarget) (run.Spec, error) {
	if in.OrganizationID != "" && in.OrganizationID != ws.Organization {
		return run.Spec{}, inField(notFound("workspace", in.WorkspaceID), "workspace_id") // in the words for one that does not exist anywhere
	}
	if ws.Elsewhere {
		return run.Spec{}, fail(messages.CodeExecutionUnsupported,
			"workspace %s keeps only its state here (execution mode \"local\"): run terraform on your own machine, or set its execution mode to \"remote\"", ws.Name)
	}
	if in.Options.Destroy && ws.NeverDestroy {
		return run.Spec{}, fail(messages.CodeConflict, "workspace %s takes no runs that destroy: set its allow-destroy-plan first", ws.Name)
	}
	target, err := d.usableTarget(ctx, tx, place{ws.Organization, in.WorkspaceID, ws.Name}, in.Execution, ws.Execution, ws.Defaults)
	if err != nil {
		return run.Spec{}, inField(err, "execution.execution_mode")
	}
	if target.Mode == messages.ModeAgent {
		if target.RequiredLabels, err = messages.CanonicalLabels(target.RequiredLabels); err == nil {
			err = wantLabels(ctx, tx, poolOf(target), target.RequiredLabels)
		}
		if err != nil {
			return run.Spec{}, inField(err, "execution.required_labels")
		}
	}
	cv, err := usableConfiguration(ctx, tx, in, ws.Name)
	if err != nil {
		return run.Spec{}, inField(err, "configuration_version_id")
	}
	ws.waited = cv.Waited
	in.Options.PlanOnly = in.Options.PlanOnly || cv.Speculative
	if in.AutoApplyAsSet {
		in.Options.AutoApply = ws.AutoApply
	}
	return run.Spec{
		ID: messages.NewID("run-"), Position: cv.Position, OrganizationID: ws.Organization, WorkspaceID: in.WorkspaceID, ConfigurationVersionID: cv.ID,
		Options: in.Options, Execution: target, Pool: poolOf(target), Note: in.Message, Source: in.Source, CreatedBy: in.CreatedBy,
		Traceparent: in.Traceparent, TraceParentSpan: in.TraceParentSpan,
	}, nil
}

// usable is a configuration version that a run may have, and what else is read with it once the workspace is locked.
type usable struct {
	ID          string `db:"id"`
	Workspace   string `db:"workspace_id"`
	Status      string `db:"status"`
	Speculative bool   `db:"speculative"`
	Position    int64  `db:"position"` // for the run
	Waited      bool   `db:"waited"`   // runs of the workspace wait for its gate
}

func usableConfiguration(ctx context.Context, tx *txn, in NewRun, workspace string) (cv usable, err error) {
	const columns = `
		SELECT c.id, c.workspace_id, c.status, c.speculative, nextval('run_positions') AS position,
		       EXISTS (SELECT 1 FROM runs WHERE workspace_id = $1 AND status IN ('pending', 'confirmed') AND exclusive) AS waited`
	if in.ConfigurationVersionID == "" {
		err = tx.GetContext(ctx, &cv, columns+`
			FROM (SELECT * FROM configuration_versions WHERE workspace_id = $1 AND status = 'uploaded' AND NOT speculative
			      ORDER BY created_at DESC LIMIT 1) c`, in.WorkspaceID)
	} else {
		err = tx.GetContext(ctx, &cv, columns+` FROM configuration_versions c WHERE c.id = $2`, in.WorkspaceID, in.ConfigurationVersionID)
	}
	switch {
	case noRows(err) && in.ConfigurationVersionID == "":
		return usable{}, fail(messages.CodeConfigurationMissing, "workspace %s has no configuration yet: upload a configuration version first", workspace)
	case noRows(err), err == nil && cv.Workspace != in.WorkspaceID:
		return usable{}, notFound("configuration version", in.ConfigurationVersionID)
	case err != nil:
		return usable{}, err
	case cv.Status == ConfigurationArchived:
		return usable{}, fail(messages.CodeConfigurationMissing, "the archive of configuration version %s was removed for its age: upload the configuration again", cv.ID)
	case cv.Status != ConfigurationUploaded:
		return usable{}, fail(messages.CodeConfigurationMissing, "configuration version %s is %s: upload its archive before starting a run", cv.ID, cv.Status)
	}
	return cv, nil
}

// Run returns one run.
func (d *DB) Run(ctx context.Context, id string) (run.Run, error) {
	var doc []byte
	err := d.q(ctx).GetContext(ctx, &doc, `SELECT doc FROM runs WHERE id = $1`, id)
	if noRows(err) {
		return run.Run{}, notFound("run", id)
	}
	if err != nil {
		return run.Run{}, err
	}
	return decodeRun(doc)
}

// RunOfTask returns the run a plan or apply belongs to.
func (d *DB) RunOfTask(ctx context.Context, taskID string) (run.Run, error) {
	var doc []byte
	err := d.q(ctx).GetContext(ctx, &doc, `SELECT r.doc FROM runs r JOIN tasks t ON t.run_id = r.id WHERE t.id = $1`, taskID)
	if noRows(err) {
		return run.Run{}, notFound("task", taskID)
	}
	if err != nil {
		return run.Run{}, err
	}
	return decodeRun(doc)
}

func decodeRuns(docs [][]byte) ([]run.Run, error) {
	out := make([]run.Run, 0, len(docs))
	for _, doc := range docs {
		r, err := decodeRun(doc)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}
