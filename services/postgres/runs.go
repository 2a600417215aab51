package postgres

import (
	"context"

	"github.com/jmoiron/sqlx"

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
	err := d.tx(ctx, func(tx *sqlx.Tx) error {
		ws, err := lockGate(ctx, tx, in.WorkspaceID)
		if err != nil {
			return inField(err, "workspace_id")
		}
		spec, err := d.runSpec(ctx, tx, in)
		if err != nil {
			return err
		}
		if err := d.createIn(ctx, tx, ws, spec, in); err != nil {
			return err
		}
		out, err = lockRun(ctx, tx, spec.ID)
		return err
	})
	return out, err
}

// createIn stores a run and, where nothing is before it, its task with it.
func (d *DB) createIn(ctx context.Context, tx *sqlx.Tx, ws *gate, spec run.Spec, in NewRun) error {
	l, cause := &locked{tx: tx}, Cause{Actor: in.CreatedBy}
	events, _ := l.decide(run.Create{Spec: spec}, cause)
	goes, by := spec.Options.PlanOnly, cause
	if !goes {
		l.ws, by = ws, Cause{Actor: "gate"}
		var err error
		if goes, err = ws.pass(ctx, tx, spec.ID); err != nil {
			return err
		}
	}
	if goes {
		queued, _ := l.decide(run.Queue{}, by)
		events = append(events, queued...)
	}
	if err := l.keep(ctx, run.Run{}, events, cause); err != nil {
		return err
	}
	if err := d.putRunVariables(ctx, tx, spec.ID, in.Variables); err != nil || l.ws == nil {
		return err
	}
	return releaseNext(ctx, tx, ws) // which is one that was before it
}

// runSpec resolves everything that is frozen into the run.
func (d *DB) runSpec(ctx context.Context, tx *sqlx.Tx, in NewRun) (run.Spec, error) {
	var ws struct {
		Organization string `db:"organization_id"`
		Name         string `db:"name"`
		Execution    []byte `db:"execution"`
		Defaults     []byte `db:"defaults"`
		Elsewhere    bool   `db:"runs_elsewhere"`
		NeverDestroy bool   `db:"never_destroy"`
	}
	if err := tx.GetContext(ctx, &ws, `
		SELECT w.organization_id, w.name, w.execution, o.execution AS defaults, w.runs_elsewhere,
		       COALESCE(w.kept ->> 'allow-destroy-plan' = 'false', false) AS never_destroy
		FROM workspaces w JOIN organizations o ON o.id = w.organization_id WHERE w.id = $1`, in.WorkspaceID); err != nil {
		return run.Spec{}, err
	}
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
	cv, speculative, err := usableConfiguration(ctx, tx, in, ws.Name)
	if err != nil {
		return run.Spec{}, inField(err, "configuration_version_id")
	}
	in.Options.PlanOnly = in.Options.PlanOnly || speculative
	spec := run.Spec{
		ID: messages.NewID("run-"), OrganizationID: ws.Organization, WorkspaceID: in.WorkspaceID, ConfigurationVersionID: cv,
		Options: in.Options, Execution: target, Pool: poolOf(target), Note: in.Message, Source: in.Source, CreatedBy: in.CreatedBy,
		Traceparent: in.Traceparent, TraceParentSpan: in.TraceParentSpan,
	}
	spec.Position, err = nextPosition(ctx, tx, in.WorkspaceID)
	return spec, err
}

// nextPosition is that of a run which is created now, and the newest of its workspace from then on.
func nextPosition(ctx context.Context, tx *sqlx.Tx, workspaceID string) (position int64, err error) {
	err = tx.GetContext(ctx, &position, `
		WITH before AS (UPDATE runs SET newest = NULL WHERE workspace_id = $1 AND newest)
		SELECT nextval('run_positions')`, workspaceID)
	return position, err
}

func usableConfiguration(ctx context.Context, tx *sqlx.Tx, in NewRun, workspace string) (id string, speculative bool, err error) {
	var cv struct {
		ID          string `db:"id"`
		Workspace   string `db:"workspace_id"`
		Status      string `db:"status"`
		Speculative bool   `db:"speculative"`
	}
	if in.ConfigurationVersionID == "" {
		err = tx.GetContext(ctx, &cv, `
			SELECT id, workspace_id, status, speculative FROM configuration_versions
			WHERE workspace_id = $1 AND status = 'uploaded' AND NOT speculative ORDER BY created_at DESC LIMIT 1`, in.WorkspaceID)
	} else {
		err = tx.GetContext(ctx, &cv, `
			SELECT id, workspace_id, status, speculative FROM configuration_versions WHERE id = $1`, in.ConfigurationVersionID)
	}
	switch {
	case noRows(err) && in.ConfigurationVersionID == "":
		return "", false, fail(messages.CodeConfigurationMissing, "workspace %s has no configuration yet: upload a configuration version first", workspace)
	case noRows(err), err == nil && cv.Workspace != in.WorkspaceID:
		return "", false, notFound("configuration version", in.ConfigurationVersionID)
	case err != nil:
		return "", false, err
	case cv.Status == ConfigurationArchived:
		return "", false, fail(messages.CodeConfigurationMissing, "the archive of configuration version %s was removed for its age: upload the configuration again", cv.ID)
	case cv.Status != ConfigurationUploaded:
		return "", false, fail(messages.CodeConfigurationMissing, "configuration version %s is %s: upload its archive before starting a run", cv.ID, cv.Status)
	}
	return cv.ID, cv.Speculative, nil
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
