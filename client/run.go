package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"gantry.example/internal/wire"
	"gantry.example/messages"
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
	RefreshOnly            bool      `json:"refresh_only"`
	TargetAddrs            []string  `json:"target_addrs,omitempty"`
	ReplaceAddrs           []string  `json:"replace_addrs,omitempty"`
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
	Planned     Status = "planned"           // waits for a decision unless the run is auto-applied
	Saved       Status = "planned_and_saved" // waits for a decision, and others do not wait for it
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

// Waiting is why a run does not go on; empty for one that does or is over.
type Waiting struct {
	Reason string     `json:"reason,omitempty"` // for programs: "behind_run", "no_worker", …
	Text   string     `json:"text,omitempty"`   // for people
	Since  *time.Time `json:"since,omitempty"`
	Behind string     `json:"behind,omitempty"` // id of the run that is waited for
	Ahead  int        `json:"ahead,omitempty"`  // how many come first
}

// Waiting asks what the run waits for.
func (c *Client) Waiting(ctx context.Context, id string) (Waiting, error) {
	var out Waiting
	err := c.json(ctx, http.MethodGet, "/runs/"+url.PathEscape(id)+"/waiting", nil, &out)
	return out, err
}

// Condition is what is known of an apply whose runner is lost.
type Condition struct {
	Name        string     `json:"name"` // contact_lost or outcome_unknown
	AttemptID   string     `json:"attempt_id"`
	Epoch       int64      `json:"epoch"`
	Holder      string     `json:"holder"` // the worker whose runner it was
	LastContact *time.Time `json:"last_contact,omitempty"`
	LostAt      *time.Time `json:"lost_at,omitempty"`
	GivenUpAt   *time.Time `json:"given_up_at,omitempty"`
	WaitedFor   *time.Time `json:"waited_for,omitempty"` // until then it may come back by itself
	Reason      string     `json:"reason,omitempty"`
	LastEvent   string     `json:"last_event,omitempty"`
	LastEventAt *time.Time `json:"last_event_at,omitempty"`
	LastState   *struct {
		Serial int64 `json:"serial"`
	} `json:"last_state,omitempty"`
	LastStateID string     `json:"last_state_id,omitempty"`
	LastStateAt *time.Time `json:"last_state_at,omitempty"`
	KeptAside   int        `json:"kept_aside,omitempty"` // states of it that did not count
	Recovery    string     `json:"recovery,omitempty"`   // id of the run that recovers it
	NextStep    string     `json:"next_step"`
}

// LogCheck says whether the stored log of a plan or apply is what its runner printed.
type LogCheck struct {
	Phase    string `json:"phase"`
	Size     int64  `json:"size"` // bytes stored
	Complete bool   `json:"complete"`
	SHA256   string `json:"sha256,omitempty"` // as the runner said
	Intact   *bool  `json:"intact,omitempty"` // nil while nobody knows
}

// RunDetails are what Gantry knows of a run beyond TFE's words. An older server leaves them empty.
type RunDetails struct {
	Condition *Condition `json:"condition"` // nil unless its runner is lost
	Logs      []LogCheck `json:"logs"`
}

// RunDetails returns the details of the run.
func (c *Client) RunDetails(ctx context.Context, id string) (RunDetails, error) {
	var out RunDetails
	err := c.json(ctx, http.MethodGet, "/runs/"+url.PathEscape(id), nil, &out)
	return out, err
}

// RecoverRun starts a recovery of a run whose outcome is unknown and returns it. Force does not wait any longer for a runner
// that contact was lost to.
func (c *Client) RecoverRun(ctx context.Context, id, comment string, force bool) (Run, error) {
	var created struct {
		ID string `json:"id"`
	}
	if err := c.json(ctx, http.MethodPost, "/runs/"+url.PathEscape(id)+"/recover", map[string]any{"force": force, "comment": comment}, &created); err != nil {
		return Run{}, err
	}
	return c.Run(ctx, created.ID)
}

// RunOptions say what a new run is to do.
type RunOptions struct {
	WorkspaceID            string
	ConfigurationVersionID string
	Message                string
	AutoApply              bool // apply without asking
	PlanOnly               bool
	Destroy                bool
	RefreshOnly            bool     // plan only what changed outside of Terraform
	TargetAddrs            []string // plan only these and what they depend on
	ReplaceAddrs           []string // plan to replace these
	Variables              []wire.RunVariable
	// Execution overrides fields of the workspace's execution document for this run; nil means none.
	Execution *messages.Execution
}

// CreateRun asks for a run.
func (c *Client) CreateRun(ctx context.Context, o RunOptions) (Run, error) {
	if o.Execution != nil { // TFE has no word for it
		return c.createOwnRun(ctx, o)
	}
	attributes := map[string]any{
		"auto-apply": o.AutoApply, "plan-only": o.PlanOnly, "is-destroy": o.Destroy, "refresh": true, "refresh-only": o.RefreshOnly,
	}
	if o.Message != "" {
		attributes["message"] = o.Message
	}
	if len(o.TargetAddrs) > 0 {
		attributes["target-addrs"] = o.TargetAddrs
	}
	if len(o.ReplaceAddrs) > 0 {
		attributes["replace-addrs"] = o.ReplaceAddrs
	}
	if len(o.Variables) > 0 {
		attributes["variables"] = o.Variables
	}
	return create[Run](ctx, c, "/runs", newResource{
		Type: "runs", Attributes: attributes,
		Relationships: map[string]relationToOne{
			"workspace":             relation("workspaces", o.WorkspaceID),
			"configuration-version": relation("configuration-versions", o.ConfigurationVersionID),
		},
	})
}

// createOwnRun creates the run by Gantry's own call and reads it back in TFE's words.
func (c *Client) createOwnRun(ctx context.Context, o RunOptions) (Run, error) {
	var created struct {
		ID string `json:"id"`
	}
	err := c.json(ctx, http.MethodPost, "/runs", map[string]any{
		"workspace_id": o.WorkspaceID, "configuration_version_id": o.ConfigurationVersionID, "message": o.Message,
		"options": wire.RunOptions{
			PlanOnly: o.PlanOnly, AutoApply: o.AutoApply, Destroy: o.Destroy, RefreshOnly: o.RefreshOnly,
			TargetAddrs: o.TargetAddrs, ReplaceAddrs: o.ReplaceAddrs, Variables: o.Variables,
		},
		"execution": o.Execution,
	}, &created)
	if err != nil {
		return Run{}, err
	}
	return c.Run(ctx, created.ID)
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

// ApplyRun approves a planned run. The comment, which may be empty, is kept with the approval.
func (c *Client) ApplyRun(ctx context.Context, id, comment string) error {
	return c.act(ctx, id, "apply", comment)
}

// DiscardRun gives a planned or pending run up.
func (c *Client) DiscardRun(ctx context.Context, id, comment string) error {
	return c.act(ctx, id, "discard", comment)
}

// CancelRun asks a run to stop. It is over when its status says so.
func (c *Client) CancelRun(ctx context.Context, id, comment string) error {
	return c.act(ctx, id, "cancel", comment)
}

// ForceCancelRun stops a run whose cancel was asked for before, without waiting for terraform to save its state.
func (c *Client) ForceCancelRun(ctx context.Context, id, comment string) error {
	return c.act(ctx, id, "force-cancel", comment)
}

func (c *Client) act(ctx context.Context, id, action, comment string) error {
	in := map[string]string{}
	if comment != "" {
		in["comment"] = comment
	}
	return c.tfeJSON(ctx, "/runs/"+url.PathEscape(id)+"/actions/"+action, in)
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
