package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"

	"gantry.example/messages"
	"gantry.example/services/postgres"
)

// Limits of request bodies in bytes.
const (
	maxJSONBody      = 1 << 20
	maxConfiguration = 256 << 20 // a compressed archive
	maxState         = 128 << 20
	maxPlan          = 256 << 20
)

// largeBodies is how many bytes of bodies above maxJSONBody are in memory at the same time; who comes with more waits.
const largeBodies = 512 << 20

// streamedBody is about what one takes that is stored as it comes: a part of a blob, in the forms it has on its way to Postgres.
const streamedBody = 32 << 20

// readBody reads the body of a call, which is in memory from then on until done is called. That of a streamed route, of which the
// caller says how long it is, is left to the handler.
func (s *Server) readBody(rt route, req *request) (done func(), err error) {
	limit := rt.maxBody
	if limit == 0 {
		limit = maxJSONBody
	}
	tooLarge := func(size string) error {
		return &postgres.Error{Code: messages.CodeTooLarge, Message: fmt.Sprintf("the body has %s, and this call takes %d bytes at most", size, limit)}
	}
	size := req.ContentLength
	if size > limit { // said before the body is sent, to clients that ask
		return nil, tooLarge(fmt.Sprintf("%d bytes", size))
	}
	if size < 0 {
		size = limit
	}
	streamed := rt.streamed && req.ContentLength >= 0
	room := min(size, largeBodies)
	if streamed {
		room = min(size, streamedBody)
	}
	done = func() {}
	if room > maxJSONBody {
		if err := s.large.Acquire(req.Context(), room); err != nil {
			return nil, err
		}
		done = func() { s.large.Release(room) }
	}
	if streamed {
		return done, nil
	}
	var body bytes.Buffer
	if req.ContentLength > 0 {
		body.Grow(int(size) + bytes.MinRead)
	}
	_, err = body.ReadFrom(http.MaxBytesReader(req.w, req.Body, limit))
	if err == nil {
		if req.body = body.Bytes(); rt.streamed {
			req.Body, req.ContentLength = io.NopCloser(&body), int64(body.Len())
		}
		return done, nil
	}
	done()
	var over *http.MaxBytesError
	if errors.As(err, &over) {
		return nil, tooLarge("more bytes")
	}
	return nil, invalid("the body could not be read: %v", err)
}
