package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// ErrLostContact means that the server has not answered for as long as a stream waits for it (two minutes).
var ErrLostContact = errors.New("lost contact with the server")

// errStopped ends a stream because its reader has enough.
var errStopped = errors.New("stopped")

// quiet is how long a stream may stay silent before it is opened anew: the other end may be gone without a word.
const quiet = time.Minute

// maxEvent bounds one event in bytes.
const maxEvent = 8 << 20

// RunState is a run as the event stream tells it.
type RunState struct {
	ID              string     `json:"id"`
	Status          Status     `json:"status"`
	Seq             int64      `json:"seq"` // number of its last event
	HasChanges      bool       `json:"has_changes"`
	CancelRequested bool       `json:"cancel_requested"`
	ConfirmedBy     string     `json:"confirmed_by"` // who approved it
	Code            string     `json:"code"`
	Failure         string     `json:"failure"`
	Plan            *TaskState `json:"plan"`
	Apply           *TaskState `json:"apply"`
}

// TaskState is the plan or the apply of a RunState.
type TaskState struct {
	Attempts []struct {
		State     string     `json:"state"`
		Stage     string     `json:"stage"`
		StartedAt *time.Time `json:"started_at"`
	} `json:"attempts"`
}

// Started reports whether terraform may have been executed, so that there may be a log.
func (t *TaskState) Started() bool {
	if t != nil {
		for _, a := range t.Attempts {
			if a.StartedAt != nil {
				return true
			}
		}
	}
	return false
}

// Stage is where the newest attempt is, or empty.
func (t *TaskState) Stage() string {
	if t == nil || len(t.Attempts) == 0 {
		return ""
	}
	return t.Attempts[len(t.Attempts)-1].Stage
}

// RunChange is one message of a run's event stream.
type RunChange struct {
	Type string // of the event; empty for the snapshot a stream begins with
	Run  RunState
}

// WatchRun yields the run as it is and then after every change, each once and in order, until it is final. With after > 0
// it yields only what came after that event. It opens the stream again by itself when it breaks. An error is the last
// thing it yields: a refusal (*Error), the end of the context, or ErrLostContact.
func (c *Client) WatchRun(ctx context.Context, id string, after int64) iter.Seq2[RunChange, error] {
	return func(yield func(RunChange, error) bool) {
		s := &runStream{client: c, id: id, last: after, yield: yield}
		for pause := firstPause; ; pause = min(2*pause, maxPause) {
			before := s.last
			err := s.read(ctx)
			switch {
			case errors.Is(err, errStopped):
				return
			case err != nil:
				yield(RunChange{}, fmt.Errorf("watching run %s: %w", id, err))
				return
			}
			if s.last > before {
				pause = firstPause
			}
			if err := sleep(ctx, pause); err != nil {
				yield(RunChange{}, err)
				return
			}
		}
	}
}

// runStream is a watch over the connections it takes.
type runStream struct {
	client *Client
	id     string
	last   int64 // number of the last event that was yielded
	yield  func(RunChange, error) bool
}

// read opens the stream and passes its messages on until it breaks, which is no error: the caller opens the next.
func (s *runStream) read(ctx context.Context) error {
	watched, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	patience := time.AfterFunc(streamPatience, func() { cancel(ErrLostContact) })
	defer patience.Stop()
	r := Request{
		Method: http.MethodGet, Path: apiPrefix + "/runs/" + url.PathEscape(s.id) + "/events",
		Header: http.Header{"Accept": {"text/event-stream"}},
		OnBody: func(body io.Reader) error {
			patience.Stop()
			silence := time.AfterFunc(quiet, func() { cancel(nil) })
			defer silence.Stop()
			return s.messages(body, func() { silence.Reset(quiet) })
		},
	}
	if s.last > 0 {
		r.Header.Set("Last-Event-ID", strconv.FormatInt(s.last, 10))
	}
	err := s.client.transport.Do(watched, r)
	var refusal *Error
	switch {
	case errors.Is(err, errStopped), err == nil:
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(context.Cause(watched), ErrLostContact):
		return fmt.Errorf("%w: %w", ErrLostContact, err)
	case errors.As(err, &refusal), watched.Err() == nil:
		return err
	default:
		return nil // silent for too long
	}
}

// messages reads server-sent events. A message that was cut off is dropped; it comes again with the next stream.
func (s *runStream) messages(body io.Reader, alive func()) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxEvent)
	var event string
	var data []byte
	for lines.Scan() {
		alive()
		line := lines.Bytes()
		if len(line) == 0 {
			if err := s.message(event, data); err != nil {
				return err
			}
			event, data = "", nil
			continue
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(name) {
		case "event":
			event = string(value)
		case "data":
			if data != nil {
				data = append(data, '\n')
			}
			data = append(data, value...)
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("an event is longer than %d bytes", maxEvent)
	}
	return nil
}

// message yields what the reader has not had yet.
func (s *runStream) message(event string, data []byte) error {
	var change RunChange
	var err error
	switch event {
	case "snapshot":
		err = json.Unmarshal(data, &change.Run)
	case "change":
		var m struct {
			Event struct {
				Type string `json:"type"`
			} `json:"event"`
			Run RunState `json:"run"`
		}
		err = json.Unmarshal(data, &m)
		change = RunChange{Type: m.Event.Type, Run: m.Run}
	default:
		return nil // of a newer server
	}
	if err != nil {
		return fmt.Errorf("event %q is not as this program expects it (is the server newer?): %w", event, err)
	}
	if change.Run.Seq <= s.last {
		if change.Run.Status.Final() {
			return errStopped
		}
		return nil
	}
	s.last = change.Run.Seq
	if !s.yield(change, nil) || change.Run.Status.Final() {
		return errStopped
	}
	return nil
}
