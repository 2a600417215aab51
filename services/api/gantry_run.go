package api

import (
	"encoding/json"
	"path"
	"reflect"

	"gantry.example/internal/telemetry"
	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// runInput is what a run is created from in Gantry's own words.
type runInput struct {
	WorkspaceID string `json:"workspace_id"`
	// ConfigurationVersionID is the configuration to run. Empty means the newest one of the workspace.
	ConfigurationVersionID string `json:"configuration_version_id,omitempty"`
	Message                string `json:"message,omitempty"`
	// Options are exactly what is done: the workspace's own auto-apply is not asked for.
	Options wire.RunOptions `json:"options,omitzero"`
	// Execution is merged over the documents of the workspace and its organization, for this run only.
	Execution messages.Execution `json:"execution,omitzero"`
}

// sourceGantry is the source of runs made by Gantry's own call.
const sourceGantry = "gantry-api"

func (s *Server) createOwnRun(r *request) (reply, error) {
	create, err := r.ownRun()
	if err != nil {
		return reply{}, err
	}
	if err := s.admitWorkspace(r, create.WorkspaceID, neededFor(create)); err != nil {
		return reply{}, err
	}
	create.CreatedBy = r.token.Actor()
	create.Traceparent, create.TraceParentSpan = telemetry.NewRun(r.Header.Get(telemetry.Header), s.traces)
	created, err := s.db.CreateRun(r.Context(), create)
	if err != nil {
		return reply{}, err
	}
	return plain(created.Public())
}

// neededFor is the role that creating the run takes: where it executes is for admins to say, because a server or a cluster
// may have more to lose than the workspace.
func neededFor(in postgres.NewRun) postgres.Role {
	switch {
	case placed(in.Execution):
		return postgres.RoleAdmin
	case in.Options.AutoApply, !reflect.DeepEqual(in.Execution, messages.Execution{}):
		return postgres.RoleWrite
	default:
		return postgres.RolePlan
	}
}

// placed reports whether the document says where to execute, and not only what.
func placed(e messages.Execution) bool {
	return path.IsAbs(e.Workdir) || !reflect.DeepEqual(e, e.Common())
}

func (r *request) ownRun() (postgres.NewRun, error) {
	var in struct {
		runInput
		Execution json.RawMessage `json:"execution"` // read by itself, so that an error names its field
	}
	if err := r.decode(&in); err != nil {
		return postgres.NewRun{}, err
	}
	o := in.Options
	out := postgres.NewRun{
		WorkspaceID: in.WorkspaceID, ConfigurationVersionID: in.ConfigurationVersionID, Message: in.Message, Source: r.source(sourceGantry),
		Variables: o.Variables,
		Options: run.Options{
			PlanOnly: o.PlanOnly, AutoApply: o.AutoApply, Destroy: o.Destroy, RefreshOnly: o.RefreshOnly, SkipRefresh: o.SkipRefresh,
			TargetAddrs: o.TargetAddrs, ReplaceAddrs: o.ReplaceAddrs,
		},
	}
	if in.WorkspaceID == "" {
		return out, invalid("field workspace_id: missing: name the workspace to run in")
	}
	if other := excludedByRefreshOnly(out.Options); other != "" {
		return out, invalid("field options.refresh_only: can't go together with %s", other)
	}
	if err := checkVariables("options.variables", o.Variables); err != nil {
		return out, err
	}
	if len(in.Execution) == 0 || string(in.Execution) == "null" {
		return out, nil
	}
	var err error
	out.Execution, err = messages.ParseExecution(in.Execution)
	return out, err
}
