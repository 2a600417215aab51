package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"gantry.example/internal/telemetry"
	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/postgres"
)

const headerCancel = wire.HeaderCancel

// errorDocument is TFE's error body, with Gantry's code.
type errorDocument struct {
	Errors []errorItem `json:"errors"`
}

type errorItem struct {
	Status string        `json:"status"`
	Code   messages.Code `json:"code"`
	Title  string        `json:"title"`
	Detail string        `json:"detail,omitempty"`
}

func invalid(format string, args ...any) error {
	return &postgres.Error{Code: messages.CodeInvalid, Message: fmt.Sprintf(format, args...)}
}

// statusOf is the HTTP status of a code. Codes not named here are conflicts: the object is not in the state for it.
func statusOf(c messages.Code) int {
	switch c {
	case messages.CodeInternal:
		return http.StatusInternalServerError
	case messages.CodeUnavailable:
		return http.StatusServiceUnavailable
	case messages.CodeUnauthorized:
		return http.StatusUnauthorized
	case messages.CodeForbidden:
		return http.StatusForbidden
	case messages.CodeNotFound:
		return http.StatusNotFound
	case messages.CodeTooManyRequests:
		return http.StatusTooManyRequests
	case messages.CodeMethodNotAllowed:
		return http.StatusMethodNotAllowed
	case messages.CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case messages.CodeInvalid, messages.CodeNameTaken, messages.CodeExecutionInvalid, messages.CodeExecutionUnknownField,
		messages.CodeExecutionUnsupported, messages.CodeConfigurationMissing, messages.CodeConfigurationInvalid,
		messages.CodeIdempotencyMismatch:
		return http.StatusUnprocessableEntity
	case messages.CodeTaskGone:
		return http.StatusGone
	default:
		return http.StatusConflict
	}
}

// errorReply turns an error into the answer. What the caller can act on is told; anything else is logged once, here, and
// answered as internal.
func (s *Server) errorReply(req *request, err error) reply {
	var coded *postgres.Error
	var field *messages.FieldError
	var failure *messages.Failure
	code, detail := messages.CodeInternal, ""
	switch {
	case errors.As(err, &coded):
		code, detail = coded.Code, coded.Message
	case errors.As(err, &field):
		code, detail = field.Code, field.Error()
	case errors.As(err, &failure):
		code, detail = failure.Code, failure.Error()
	case req.Context().Err() != nil:
		return reply{handled: true} // the caller went away, and whatever it waited for was interrupted
	default:
		s.log.With(req.logAttrs()...).ErrorContext(req.Context(), "request failed", "method", req.Method, "path", req.URL.Path, "error", err)
		detail = "the server failed to carry this out; its log has the cause"
	}
	status := statusOf(code)
	body, _ := json.Marshal(errorDocument{[]errorItem{{ // strings only: cannot fail
		Status: fmt.Sprint(status), Code: code, Title: http.StatusText(status), Detail: detail,
	}}})
	return reply{status: status, body: body, kind: kindJSONAPI}
}

// logAttrs say which run a call is about, where its path or its caller tell: every log line about a run can be found by the
// run's id.
func (r *request) logAttrs() []any {
	if r.attempt.ID == "" {
		if id := r.PathValue("run"); id != "" {
			return []any{"run", id}
		}
		return nil
	}
	out := []any{"run", r.attempt.RunID, "attempt", r.attempt.ID}
	if task, _ := r.attempt.Run.Attempt(r.attempt.ID); task != nil {
		out = append(out, "task", task.ID)
	}
	return append(out, telemetry.LogAttrs(r.attempt.Run.Traceparent)...)
}
