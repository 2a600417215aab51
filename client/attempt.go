package client

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"gantry.example/internal/wire"
)

// apiPrefix is where Gantry's own API begins.
const apiPrefix = "/api/gantry/v1"

// Attempt makes the calls of one attempt; its transport carries the attempt's token. Every call may be repeated.
type Attempt struct {
	transport *Transport
	id        string
	onCancel  func(force bool)
	received  func()
}

// NewAttempt returns the calls of the attempt with the given id. onCancel is called for every answer that says the run
// was asked to stop, from the goroutine of the call; it must not block. It may be nil.
func NewAttempt(t *Transport, id string, onCancel func(force bool)) *Attempt {
	return &Attempt{transport: t, id: id, onCancel: onCancel}
}

// OnReceived has f called whenever some of a download has come, from the goroutine of the call. It is set before any call is made.
func (a *Attempt) OnReceived(f func()) { a.received = f }

func (a *Attempt) request(method, part string) Request {
	return Request{
		Method: method,
		Path:   apiPrefix + "/attempts/" + url.PathEscape(a.id) + "/" + part,
		OnHeader: func(h http.Header) {
			if v := h.Get(wire.HeaderCancel); v != "" && a.onCancel != nil {
				a.onCancel(v == "force")
			}
		},
	}
}

// Status says whether the server still takes what the attempt does. A request to stop goes to onCancel.
func (a *Attempt) Status(ctx context.Context) (wire.AttemptStatus, error) {
	var out wire.AttemptStatus
	r := a.request(http.MethodGet, "")
	r.Path = strings.TrimSuffix(r.Path, "/")
	err := a.transport.JSON(ctx, r, nil, &out)
	return out, err
}

// Inputs says what the attempt has to do.
func (a *Attempt) Inputs(ctx context.Context) (wire.Inputs, error) {
	var in wire.Inputs
	err := a.transport.JSON(ctx, a.request(http.MethodGet, "inputs"), nil, &in)
	return in, err
}

// Configuration downloads the configuration (tar.gz) into f, from its beginning.
func (a *Attempt) Configuration(ctx context.Context, f *os.File) error {
	return a.download(ctx, "configuration", f)
}

// Plan downloads the saved plan of the run into f, from its beginning.
func (a *Attempt) Plan(ctx context.Context, f *os.File) error { return a.download(ctx, "plan", f) }

// download takes a file because a broken download starts again.
func (a *Attempt) download(ctx context.Context, part string, f *os.File) error {
	r := a.request(http.MethodGet, part)
	r.OnBody = func(body io.Reader) error {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		if err := f.Truncate(0); err != nil {
			return err
		}
		_, err := io.Copy(f, &receiving{body, a.received})
		return err
	}
	return a.transport.Do(ctx, r)
}

// receiving tells of every read that brought something.
type receiving struct {
	from     io.Reader
	received func()
}

func (r *receiving) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	if n > 0 && r.received != nil {
		r.received()
	}
	return n, err
}

// State returns the state the attempt starts from, or nil if there is none.
func (a *Attempt) State(ctx context.Context) ([]byte, error) {
	var state []byte
	r := a.request(http.MethodGet, "state")
	r.OnBody = func(body io.Reader) (err error) {
		state, err = io.ReadAll(&receiving{body, a.received})
		return err
	}
	err := a.transport.Do(ctx, r)
	var refusal *Error
	if errors.As(err, &refusal) && refusal.Status == http.StatusNotFound {
		return nil, nil
	}
	return state, err
}

// PutState stores a state file as Terraform wrote it.
func (a *Attempt) PutState(ctx context.Context, state []byte) error {
	sum := md5.Sum(state) //nolint:gosec // a checksum of the transfer, as Terraform's own protocol has it
	r := a.request(http.MethodPut, "state")
	r.Header = http.Header{
		"Content-Type":      {"application/json"},
		wire.HeaderStateMD5: {base64.StdEncoding.EncodeToString(sum[:])},
	}
	r.Body, r.Size = bytes.NewReader(state), int64(len(state))
	return a.transport.Do(ctx, r)
}

// PutPlan stores the saved plan of size bytes.
func (a *Attempt) PutPlan(ctx context.Context, plan io.ReaderAt, size int64) error {
	r := a.request(http.MethodPut, "plan")
	r.Header = http.Header{"Content-Type": {"application/octet-stream"}}
	r.Body, r.Size = plan, size
	return a.transport.Do(ctx, r)
}

// PutPlanJSON stores the plan in Terraform's JSON form, of size bytes.
func (a *Attempt) PutPlanJSON(ctx context.Context, plan io.ReaderAt, size int64) error {
	r := a.request(http.MethodPut, "plan-json")
	r.Header = http.Header{"Content-Type": {"application/json"}}
	r.Body, r.Size = plan, size
	return a.transport.Do(ctx, r)
}

// Start asks for permission to execute terraform. Only a nil error is permission.
func (a *Attempt) Start(ctx context.Context, req wire.StartRequest) (wire.StartAnswer, error) {
	var answer wire.StartAnswer
	err := a.transport.JSON(ctx, a.request(http.MethodPost, "start"), req, &answer)
	return answer, err
}

// Result reports the end of the attempt.
func (a *Attempt) Result(ctx context.Context, result wire.Result) (wire.ResultAnswer, error) {
	var answer wire.ResultAnswer
	err := a.transport.JSON(ctx, a.request(http.MethodPost, "result"), result, &answer)
	return answer, err
}
