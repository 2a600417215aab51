package client

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"time"
)

// Run is what a user asked for, in TFE's statuses.
type Run struct {
	ID                     string    `json:"id"`
	Status                 Status    `json:"status"`
	Message                string    `json:"message,omitempty"`
	CreatedAt              time.Time `json:"created_at,omitzero"`
	Source                 string    `json:"source,omitempty"`
	TerraformVersion       string    `json:"terraform_version,omitempty"`
	AutoApply              bool      `json:"auto_apply"`
	IsDestroy              bool      `json:"is_destroy"`
	PlanOnly               bool      `json:"plan_only"`
	HasChanges             bool      `json:"has_changes"`
	Code                   string    `json:"code,omitempty"`    // why it errored or was canceled, see messages.Code
	Failure                string    `json:"failure,omitempty"` // the same for people
	WorkspaceID            string    `json:"workspace_id"`
	ConfigurationVersionID string    `json:"configuration_version_id,omitempty"`
	PlanID                 string    `json:"plan_id,omitempty"`
	ApplyID                string    `json:"apply_id,omitempty"` // set even if there will be no apply
}

// Status is the status of a run.
type Status string

// The statuses a client treats specially; there are others.
const (
	Pending     Status = "pending"
	PlanQueued  Status = "plan_queued"
	Planning    Status = "planning"
	Planned     Status = "planned" // waits for a decision unless the run is auto-applied
	ApplyQueued Status = "apply_queued"
	Applying    Status = "applying"
	Applied     Status = "applied"
	Finished    Status = "planned_and_finished"
	Discarded   Status = "discarded"
	Errored     Status = "errored"
	Canceled    Status = "canceled"
	ForceCancel Status = "force_canceled"
)

// Final reports whether the run has ended.
func (s Status) Final() bool {
	switch s {
	case Applied, Finished, Discarded, Errored, Canceled, ForceCancel:
		return true
	default:
		return false
	}
}

// RunOptions say what a new run is to do.
type RunOptions struct {
	WorkspaceID            string
	ConfigurationVersionID string
	Message                string
	AutoApply              bool // apply without asking
	PlanOnly               bool
	Destroy                bool
}

// CreateRun asks for a run.
func (c *Client) CreateRun(ctx context.Context, o RunOptions) (Run, error) {
	attributes := map[string]any{
		"auto-apply": o.AutoApply, "plan-only": o.PlanOnly, "is-destroy": o.Destroy, "refresh": true,
	}
	if o.Message != "" {
		attributes["message"] = o.Message
	}
	return create[Run](ctx, c, "/runs", newResource{
		Type: "runs", Attributes: attributes,
		Relationships: map[string]relationToOne{
			"workspace":             relation("workspaces", o.WorkspaceID),
			"configuration-version": relation("configuration-versions", o.ConfigurationVersionID),
		},
	})
}

// Run returns the run with that id.
func (c *Client) Run(ctx context.Context, id string) (Run, error) {
	return get[Run](ctx, c, "/runs/"+url.PathEscape(id))
}

// Runs lists the runs of a workspace, as the server orders them (newest first), at most limit; 0 means all.
func (c *Client) Runs(ctx context.Context, workspaceID string, limit int) ([]Run, error) {
	return list[Run](ctx, c, "/workspaces/"+url.PathEscape(workspaceID)+"/runs", limit)
}

// OrganizationRuns lists the runs of all workspaces of an organization, newest first, at most limit; 0 means all.
func (c *Client) OrganizationRuns(ctx context.Context, organization string, limit int) ([]Run, error) {
	return list[Run](ctx, c, "/organizations/"+url.PathEscape(organization)+"/runs", limit)
}

// ApplyRun approves a planned run.
func (c *Client) ApplyRun(ctx context.Context, id string) error { return c.act(ctx, id, "apply") }

// DiscardRun gives a planned run up.
func (c *Client) DiscardRun(ctx context.Context, id string) error { return c.act(ctx, id, "discard") }

// CancelRun asks a run to stop. It is over when its status says so.
func (c *Client) CancelRun(ctx context.Context, id string) error { return c.act(ctx, id, "cancel") }

func (c *Client) act(ctx context.Context, id, action string) error {
	body := []byte("{}")
	return c.do(ctx, Request{
		Method: http.MethodPost, Path: tfePrefix + "/runs/" + url.PathEscape(id) + "/actions/" + action,
		Header: http.Header{"Content-Type": {"application/vnd.api+json"}},
		Body:   bytes.NewReader(body), Size: int64(len(body)),
	})
}

// Phase is the plan or the apply of a run.
type Phase struct {
	ID           string `json:"id"`
	Status       string `json:"status"`
	Additions    int    `json:"resource_additions"`
	Changes      int    `json:"resource_changes"`
	Destructions int    `json:"resource_destructions"`
	Imports      int    `json:"resource_imports"`
	LogReadURL   string `json:"log_read_url,omitempty"` // permission to read the log, good without a token
}

// Plan returns the plan with that id.
func (c *Client) Plan(ctx context.Context, id string) (Phase, error) {
	return get[Phase](ctx, c, "/plans/"+url.PathEscape(id))
}

// Apply returns the apply with that id.
func (c *Client) Apply(ctx context.Context, id string) (Phase, error) {
	return get[Phase](ctx, c, "/applies/"+url.PathEscape(id))
}
