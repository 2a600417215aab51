package api

import (
	"errors"
	"io"
	"net/http"
	"time"

	"gantry.example/messages"
	"gantry.example/services/postgres"
)

// backup streams everything the server keeps, sealed. A failure on the way breaks the connection off, so that nobody takes
// the part for the whole.
func (s *Server) backup(r *request) (reply, error) {
	if s.backups == nil {
		return reply{}, &postgres.Error{Code: messages.CodeUnavailable, Message: "this server makes no backups: ask the one that has the encryption key"}
	}
	h := r.w.Header()
	h.Set("Content-Type", kindBytes)
	h.Set("Cache-Control", "no-store")
	r.streaming = true
	began := time.Now()
	out := &counting{w: r.w, control: http.NewResponseController(r.w)}
	if err := s.backups(r.Context(), out); err != nil {
		s.log.Error("backup not finished", "by", r.token.Actor(), "bytes", out.n, "error", err)
		panic(http.ErrAbortHandler) //nolint:forbidigo // the way of net/http to break a connection off
	}
	s.log.Info("backup made", "by", r.token.Actor(), "bytes", out.n, "took", time.Since(began).Round(time.Millisecond))
	return reply{handled: true}, nil
}

// counting counts what passes. A client that does not read ends it: the dump holds a transaction open.
type counting struct {
	w       io.Writer
	control *http.ResponseController
	n       int64
}

func (c *counting) Write(p []byte) (int, error) {
	if err := c.control.SetWriteDeadline(time.Now().Add(writeWithin)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
