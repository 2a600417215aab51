package client

import (
	"context"
	"io"
	"net/http"
	"net/url"
)

// ConfigurationVersion is one upload of Terraform code.
type ConfigurationVersion struct {
	ID           string `json:"id"`
	Status       string `json:"status"` // pending, uploaded, errored
	Speculative  bool   `json:"speculative"`
	UploadURL    string `json:"upload_url,omitempty"` // permission to upload, good without a token
	ErrorMessage string `json:"error_message,omitempty"`
}

// CreateConfigurationVersion makes room for an upload. Runs of a speculative one are plan-only.
func (c *Client) CreateConfigurationVersion(ctx context.Context, workspaceID string, speculative bool) (ConfigurationVersion, error) {
	path := "/workspaces/" + url.PathEscape(workspaceID) + "/configuration-versions"
	return create[ConfigurationVersion](ctx, c, path, newResource{
		Type: "configuration-versions", Attributes: map[string]any{"auto-queue-runs": false, "speculative": speculative},
	})
}

// ConfigurationVersion returns the configuration version with that id.
func (c *Client) ConfigurationVersion(ctx context.Context, id string) (ConfigurationVersion, error) {
	return get[ConfigurationVersion](ctx, c, "/configuration-versions/"+url.PathEscape(id))
}

// Upload sends the archive (tar.gz) of size bytes to the configuration version's UploadURL.
func (c *Client) Upload(ctx context.Context, uploadURL string, archive io.ReaderAt, size int64) error {
	path, err := c.local(uploadURL)
	if err != nil {
		return err
	}
	return c.doWithin(ctx, bulkPatience, c.anonymous, Request{
		Method: http.MethodPut, Path: path, Header: http.Header{"Content-Type": {"application/octet-stream"}},
		Body: archive, Size: size,
	})
}
