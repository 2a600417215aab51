package api

import (
	"context"
	"net/http"
	"strconv"

	"gantry.example/messages"
)

// DeadLetters are the messages that nobody could use. Safe for concurrent use. A letter that does not exist, or cannot be
// replayed, is a *messages.Failure.
type DeadLetters interface {
	// List returns up to limit letters with ids above after, oldest first.
	List(ctx context.Context, after uint64, limit int) ([]messages.DeadLetter, error)
	// Replay publishes the message again where it was at first and removes the letter. Repeated, it delivers once.
	Replay(ctx context.Context, id uint64) (messages.DeadLetter, error)
	// Drop removes the letter.
	Drop(ctx context.Context, id uint64) error
}

func (s *Server) deadLetterRoutes() []route {
	const base = "/api/gantry/v1/dead-letters"
	return []route{
		{method: "GET", pattern: base, access: person, handle: s.listDeadLetters, query: []string{"after", "limit"},
			summary: "List messages that nobody could use, oldest first, without their bodies. Read on with after=<last id>", out: []messages.DeadLetter{}},
		{method: "GET", pattern: base + "/{letter}", access: person, handle: s.deadLetter,
			summary: "Read a message that nobody could use, with its body", out: messages.DeadLetter{}},
		{method: "POST", pattern: base + "/{letter}/replay", access: person, handle: s.replayDeadLetter, status: http.StatusOK,
			summary: "Publish the message again where it was published at first, and remove it here", out: messages.DeadLetter{}},
		{method: "DELETE", pattern: base + "/{letter}", access: person, handle: s.dropDeadLetter,
			summary: "Remove a message that nobody could use, for good"},
	}
}

// maxLetters is the most dead letters in one answer.
const maxLetters = 100

func (s *Server) listDeadLetters(r *request) (reply, error) {
	after, limit := uint64(0), maxLetters
	var err error
	if text := r.URL.Query().Get("after"); text != "" {
		if after, err = strconv.ParseUint(text, 10, 64); err != nil {
			return reply{}, invalid("parameter after: %q is not the id of a dead letter", text)
		}
	}
	if text := r.URL.Query().Get("limit"); text != "" {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > maxLetters {
			return reply{}, invalid("parameter limit: %q is not a number from 1 to %d", text, maxLetters)
		}
	}
	found, err := s.letters.List(r.Context(), after, limit)
	if err != nil {
		return reply{}, err
	}
	for i := range found {
		found[i].Data = nil
	}
	return plain(found)
}

func (s *Server) deadLetter(r *request) (reply, error) {
	id, err := letterID(r)
	if err != nil {
		return reply{}, err
	}
	found, err := s.letters.List(r.Context(), id-1, 1)
	if err != nil {
		return reply{}, err
	}
	if len(found) == 0 || found[0].ID != id {
		return reply{}, noLetter(r)
	}
	return plain(found[0])
}

func (s *Server) replayDeadLetter(r *request) (reply, error) {
	id, err := letterID(r)
	if err != nil {
		return reply{}, err
	}
	replayed, err := s.letters.Replay(r.Context(), id)
	if err != nil {
		return reply{}, err
	}
	s.log.InfoContext(r.Context(), "dead letter replayed", "letter", id, "subject", replayed.Subject, "by", r.token.Actor())
	replayed.Data = nil
	return plain(replayed)
}

func (s *Server) dropDeadLetter(r *request) (reply, error) {
	id, err := letterID(r)
	if err != nil {
		return reply{}, err
	}
	if err := s.letters.Drop(r.Context(), id); err != nil {
		return reply{}, err
	}
	s.log.InfoContext(r.Context(), "dead letter dropped", "letter", id, "by", r.token.Actor())
	return reply{}, nil
}

func letterID(r *request) (uint64, error) {
	id, err := strconv.ParseUint(r.PathValue("letter"), 10, 64)
	if err != nil || id == 0 {
		return 0, noLetter(r)
	}
	return id, nil
}

func noLetter(r *request) error {
	return &messages.Failure{Code: messages.CodeNotFound, Message: "dead letter " + strconv.Quote(r.PathValue("letter")) + " does not exist, or not any more"}
}
