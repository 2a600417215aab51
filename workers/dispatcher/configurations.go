package dispatcher

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"

	"gantry.example/client"
	"gantry.example/workers/executor"
)

// configurations asks the API for the configuration of an attempt, with the attempt's own token, on the connections that there are.
type configurations struct{ transport *client.Transport }

// Configuration implements k8s.Configurations. The archive passes through a file: it may be large, and many are placed at once.
func (c configurations) Configuration(ctx context.Context, a executor.Attempt, limit int64) (archive []byte, digest string, err error) {
	transport := c.transport.As(a.Token).Traced(a.Inputs.Traceparent)
	f, err := os.CreateTemp("", "gantry-configuration-")
	if err != nil {
		return nil, "", err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	if err := client.NewAttempt(transport, a.AttemptID, nil).Configuration(ctx, f); err != nil {
		return nil, "", gone(err)
	}
	h := sha256.New()
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, "", err
	}
	size, err := io.Copy(h, f)
	if err == nil && size <= limit {
		archive, err = os.ReadFile(f.Name())
	}
	return archive, hex.EncodeToString(h.Sum(nil)), err
}

// gone makes the server's word final: nothing but a server that does not answer is worth another try.
func gone(err error) error {
	var refusal *client.Error
	if errors.As(err, &refusal) && refusal.Status < 500 {
		return &executor.PlacementError{Message: "The run's configuration was not given: " + err.Error() + ".", Err: err}
	}
	return err
}
