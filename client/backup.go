package client

import (
	"context"
	"io"
	"net/http"
)

// Backup has the server write a backup of everything it keeps. open is called for each try, which begins anew, with what the
// tries before it wrote forgotten.
func (c *Client) Backup(ctx context.Context, open func() (io.Writer, error)) error {
	return c.transport.Do(ctx, Request{
		Method: http.MethodGet, Path: apiPrefix + "/backup",
		OnBody: func(body io.Reader) error {
			w, err := open()
			if err != nil {
				return err
			}
			_, err = io.Copy(w, body)
			return err
		},
	})
}
