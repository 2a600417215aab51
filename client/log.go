package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// The marks around a log, each one byte that counts in its offsets.
const (
	logBegin = 0x02
	logEnd   = 0x03
)

// Pauses between reads of a log: after bytes came, so that a chatty log is not read line by line, and the longest while
// nothing comes, for servers that do not wait themselves.
const (
	logPause    = 100 * time.Millisecond
	maxLogPause = 500 * time.Millisecond
)

// logGrace is how long the end mark may come after the end of the phase.
const logGrace = 5 * time.Second

// logPart is how much of a log is asked for at a time, in bytes.
const logPart = 64 << 10

// ErrLogCut means that the phase is over but its log has no end: what was copied is all there is.
var ErrLogCut = errors.New("the end of the log is missing")

// LogOptions tune StreamLog; the zero value reads what is there and returns.
type LogOptions struct {
	// Follow waits for more until the log's end mark.
	Follow bool
	// Ended reports whether the phase is over, so that only the rest of the log is still to come; nil means never.
	Ended func() bool
}

// StreamLog copies the log at a plan's or an apply's LogReadURL to w, without the marks around it.
func (c *Client) StreamLog(ctx context.Context, readURL string, w io.Writer, o LogOptions) error {
	path, err := c.local(readURL)
	if err != nil {
		return err
	}
	l := &logReader{client: c, w: w, wait: o.Follow}
	l.path, _, _ = strings.Cut(path, "?") // the protocol replaces the query
	pause := logPause
	var graceUntil time.Time
	for {
		ended := o.Ended != nil && o.Ended() // asked before the read: what comes after it is the rest
		n, err := l.next(ctx)
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			// This computer may have slept through the patience, so only an awake one counts.
			n, err = l.next(ctx)
		}
		switch {
		case err != nil:
			return fmt.Errorf("reading the log: %w", err)
		case l.complete:
			return nil
		case n == logPart:
			continue // there may be more already
		case n > 0:
			pause, graceUntil = logPause, time.Time{}
		case !o.Follow:
			return nil
		case ended && graceUntil.IsZero():
			graceUntil = time.Now().Add(logGrace)
		case ended && time.Now().After(graceUntil):
			return ErrLogCut
		default:
			pause = min(pause*3/2, maxLogPause)
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

func sleep(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// logReader is a position in a log.
type logReader struct {
	client   *Client
	path     string
	wait     bool // the server may hold an empty answer back until there is more
	w        io.Writer
	offset   int
	complete bool // the end mark was seen
}

// next copies what follows and returns how many bytes of the log it was, marks included.
func (l *logReader) next(ctx context.Context) (int, error) {
	var part []byte // written only when it is whole: a retry reads it again
	wait := 0
	if l.wait {
		wait = 1
	}
	path := fmt.Sprintf("%s?limit=%d&offset=%d&wait=%d", l.path, logPart, l.offset, wait)
	err := l.client.doWithin(ctx, streamPatience, l.client.anonymous, Request{
		Method: http.MethodGet, Path: path,
		OnBody: func(body io.Reader) (err error) {
			part, err = io.ReadAll(body)
			return err
		},
	})
	if err != nil || len(part) == 0 {
		return 0, err
	}
	text := part
	if l.offset == 0 && text[0] == logBegin {
		text = text[1:]
	}
	if k := len(text); k > 0 && text[k-1] == logEnd {
		text, l.complete = text[:k-1], true
	}
	l.offset += len(part)
	_, err = l.w.Write(text)
	return len(part), err
}
