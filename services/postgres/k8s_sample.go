package postgres

import (
	"context"
	"time"

	"gantry.example/internal/wire"
	"gantry.example/messages"
)

// sampleID is that of things that do not exist.
const sampleID = "1111111111111111"

// SampleInputs is what an attempt of the config's cluster would get for a phase of a workspace (id), without values of variables.
// An empty workspace is one that says nothing. Errors: not_found, also for a workspace of another organization; execution.*.
func (d *DB) SampleInputs(ctx context.Context, cfg wire.K8sConfig, workspace string, phase messages.Phase) (wire.Inputs, error) {
	o, err := d.Organization(ctx, cfg.Organization)
	if err != nil {
		return wire.Inputs{}, err
	}
	in := wire.Inputs{
		AttemptID: "att-" + sampleID, TaskID: "task-" + sampleID, RunID: "run-" + sampleID, WorkspaceID: "ws-" + sampleID, WorkspaceName: "sample",
		OrganizationID: o.ID, OrganizationName: o.Name, Phase: phase, Exclusive: true, Pool: cfg.ID, Epoch: 1,
		LeaseTTLSeconds: int(d.timing.LeaseTTL / time.Second), GraceSeconds: int(d.timing.Grace / time.Second),
		Execution: messages.Execution{Mode: messages.ModeK8s},
	}
	if workspace != "" {
		w, err := d.Workspace(ctx, workspace)
		if err != nil {
			return in, err
		}
		if w.OrganizationID != o.ID {
			return in, notFound("workspace", workspace)
		}
		in.WorkspaceID, in.WorkspaceName = w.ID, w.Name
		target, err := w.Target()
		if err != nil {
			return in, err
		}
		in.Execution = in.Execution.Merge(target)
	}
	in.Execution.K8sConfig = messages.Ref(cfg.ID)
	in.Execution, err = usableConfig(ctx, d.q(ctx), place{o.ID, in.WorkspaceID, in.WorkspaceName}, in.Execution)
	return in, err
}
