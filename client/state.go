package client

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// StateVersion is one version of a workspace's state.
type StateVersion struct {
	ID               string    `json:"id"`
	Serial           int64     `json:"serial"`
	Lineage          string    `json:"lineage,omitempty"`
	Status           string    `json:"status,omitempty"` // finalized; discarded for one that was kept aside
	Size             int64     `json:"size"`             // bytes
	TerraformVersion string    `json:"terraform_version,omitempty"`
	RunID            string    `json:"run_id,omitempty"`    // of the run that wrote it, if one did …
	PushedBy         string    `json:"pushed_by,omitempty"` // … else the person
	WorkspaceID      string    `json:"workspace_id,omitempty"`
	CreatedAt        time.Time `json:"created_at,omitzero"`
	DownloadURL      string    `json:"hosted_state_download_url,omitempty"`
}

// Output is an output value of a workspace.
type Output struct {
	Name      string          `json:"name"`
	Sensitive bool            `json:"sensitive"`
	Value     json.RawMessage `json:"value"` // null where it is sensitive
}

// CurrentState returns the newest version of the workspace's state; NotFound(err) means that there is none.
func (c *Client) CurrentState(ctx context.Context, workspaceID string) (StateVersion, error) {
	return get[StateVersion](ctx, c, "/workspaces/"+url.PathEscape(workspaceID)+"/current-state-version")
}

// StateVersions lists the versions of the workspace's state, newest first, at most limit; 0 means all.
func (c *Client) StateVersions(ctx context.Context, workspaceID string, limit int) ([]StateVersion, error) {
	return list[StateVersion](ctx, c, "/workspaces/"+url.PathEscape(workspaceID)+"/state-versions", limit)
}

// StateVersion returns the state version with that id.
func (c *Client) StateVersion(ctx context.Context, id string) (StateVersion, error) {
	return get[StateVersion](ctx, c, "/state-versions/"+url.PathEscape(id))
}

// PushState makes a state file the workspace's current state. Unless forced it must follow the current one: the same
// lineage and a higher serial. It is refused while a run holds the workspace.
func (c *Client) PushState(ctx context.Context, workspaceID string, state []byte, force bool) (StateVersion, error) {
	var head struct {
		Serial  int64  `json:"serial"`
		Lineage string `json:"lineage"`
	}
	if err := json.Unmarshal(state, &head); err != nil {
		return StateVersion{}, fmt.Errorf("the state is not a JSON document: %w", err)
	}
	sum := md5.Sum(state) //nolint:gosec // a checksum of the transfer, as TFE has it
	return create[StateVersion](ctx, c, "/workspaces/"+url.PathEscape(workspaceID)+"/state-versions", newResource{
		Type: "state-versions", Attributes: map[string]any{
			"serial": head.Serial, "lineage": head.Lineage, "md5": hex.EncodeToString(sum[:]),
			"state": base64.StdEncoding.EncodeToString(state), "force": force,
		},
	})
}

// RollbackState makes a copy of an earlier version the workspace's current state and returns the new version.
func (c *Client) RollbackState(ctx context.Context, workspaceID, versionID string) (StateVersion, error) {
	return submit[StateVersion](ctx, c, http.MethodPatch, "/workspaces/"+url.PathEscape(workspaceID)+"/state-versions", newResource{
		Type: "state-versions", Attributes: map[string]any{},
		Relationships: map[string]relationToOne{"rollback-state-version": relation("state-versions", versionID)},
	})
}

// PromoteState makes a state that was kept aside the workspace's current one and returns the new version.
func (c *Client) PromoteState(ctx context.Context, versionID string, force bool) (StateVersion, error) {
	var made struct {
		ID string `json:"id"`
	}
	if err := c.json(ctx, http.MethodPost, "/state-versions/"+url.PathEscape(versionID)+"/promote", map[string]bool{"force": force}, &made); err != nil {
		return StateVersion{}, err
	}
	return c.StateVersion(ctx, made.ID)
}

// DownloadState returns a state as Terraform wrote it.
func (c *Client) DownloadState(ctx context.Context, v StateVersion) ([]byte, error) {
	path, err := c.local(v.DownloadURL)
	if err != nil {
		return nil, err
	}
	var state []byte
	err = c.doWithin(ctx, bulkPatience, c.transport, Request{
		Method: http.MethodGet, Path: path,
		OnBody: func(body io.Reader) (err error) {
			state, err = io.ReadAll(body)
			return err
		},
	})
	return state, err
}

// Outputs returns the outputs of the workspace's current state, without the values of sensitive ones. A workspace without
// a state has none.
func (c *Client) Outputs(ctx context.Context, workspaceID string) ([]Output, error) {
	out, err := list[Output](ctx, c, "/workspaces/"+url.PathEscape(workspaceID)+"/current-state-version-outputs", 0)
	if NotFound(err) {
		return nil, nil
	}
	for i := range out {
		if out[i].Sensitive {
			out[i].Value = json.RawMessage("null")
		}
	}
	return out, err
}
