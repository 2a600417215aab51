package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"gantry.example/services/postgres"
)

const (
	kindEvents = "text/event-stream"

	// pollEvery bounds what a lost notification costs.
	pollEvery = 5 * time.Second
	// heartbeatEvery keeps proxies from closing a silent stream, and finds clients that are gone.
	heartbeatEvery = 15 * time.Second
	// writeWithin is how long a client that does not read may hold the stream up.
	writeWithin = 30 * time.Second
)

// errGone tells that the client does not take the stream any more.
var errGone = errors.New("the client is gone")

// stream is an open answer of server-sent events. Used by the one goroutine of its request.
type stream struct {
	w         http.ResponseWriter
	still     func(context.Context) error // whether the reader may go on reading
	control   *http.ResponseController
	poll      *time.Ticker
	heartbeat *time.Ticker
}

// openStream sends the answer's head; from then on an error can only end the stream. Call close when done.
func (s *Server) openStream(r *request) (*stream, error) {
	h := r.w.Header()
	h.Set("Content-Type", kindEvents)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would collect events before it passes them on
	r.streaming = true
	r.w.WriteHeader(http.StatusOK)
	st := &stream{
		w: r.w, still: func(ctx context.Context) error { return s.stillMay(ctx, r) }, control: http.NewResponseController(r.w), poll: time.NewTicker(pollEvery), heartbeat: time.NewTicker(heartbeatEvery),
	}
	return st, st.flush()
}

// stillMay looks again at what authorize decided when the stream was opened: a token that was revoked since, or a membership
// that ended, ends the stream.
func (s *Server) stillMay(ctx context.Context, r *request) error {
	t, err := s.db.Token(ctx, r.bearer)
	if err != nil {
		return err
	}
	r.token = t
	shown, found, named := pathThing(r.PathValue)
	if !named {
		return nil
	}
	return s.admit(r, shown, found, postgres.RoleRead)
}

func (st *stream) close() {
	st.poll.Stop()
	st.heartbeat.Stop()
}

// send writes one event; flush or wait brings it on its way.
func (st *stream) send(event, id string, data any) error {
	b, err := json.Marshal(data)
	if err != nil {
		return err
	}
	return st.write(fmt.Sprintf("event: %s\nid: %s\ndata: %s\n\n", event, id, b))
}

func (st *stream) write(text string) error { return st.writeBytes([]byte(text)) }

func (st *stream) writeBytes(b []byte) error {
	if err := st.extend(); err != nil {
		return err
	}
	if _, err := st.w.Write(b); err != nil {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	return nil
}

// extend replaces the server's write deadline, which is meant for answers that end.
func (st *stream) extend() error {
	err := st.control.SetWriteDeadline(time.Now().Add(writeWithin))
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	return err
}

func (st *stream) flush() error {
	if err := st.extend(); err != nil {
		return err
	}
	err := st.control.Flush()
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	return err
}

// wait returns when there may be something new, or with the error that ends the stream.
func (st *stream) wait(ctx context.Context, wake <-chan struct{}) error {
	if err := st.flush(); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-wake:
			return st.still(ctx)
		case <-st.poll.C:
			return st.still(ctx)
		case <-st.heartbeat.C:
			if err := st.write(":\n\n"); err != nil {
				return err
			}
			if err := st.flush(); err != nil {
				return err
			}
		}
	}
}

// untilStop is the request's context, ended also when the server stops.
func (s *Server) untilStop(r *request) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(r.Context())
	stop := context.AfterFunc(s.stop, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// resumeAfter is the id of the last event the client has, or "".
func (r *request) resumeAfter() string {
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		return id
	}
	return r.URL.Query().Get("after")
}
