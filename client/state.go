package client

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
)

// StateVersion is one version of a workspace's state.
type StateVersion struct {
	ID          string `json:"id"`
	Serial      int64  `json:"serial"`
	DownloadURL string `json:"hosted_state_download_url"`
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
