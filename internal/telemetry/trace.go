// Package telemetry has what every program of Gantry needs to be watched: its logger and the trace context it hands on.
// What turns ended runs into metrics and spans is services/observer; what sends spans is internal/telemetry/otlp, apart from
// this package so that a runner does not link it.
package telemetry

import (
	"crypto/rand"
	"encoding/hex"
	"strings"
)

// Header is the name of the header that carries a trace context, on HTTP and on NATS: W3C Trace Context.
const Header = "traceparent"

// SpanContext names a span of a trace.
type SpanContext struct {
	TraceID [16]byte
	SpanID  [8]byte
	Sampled bool // the caller wants the trace to be kept
}

// Parse reads a traceparent. ok is false for anything that is not one, which the standard wants ignored.
func Parse(traceparent string) (c SpanContext, ok bool) {
	parts := strings.Split(traceparent, "-")
	if len(parts) < 4 || len(parts[0]) != 2 || parts[0] == "ff" || len(parts[3]) != 2 || (parts[0] == "00" && len(parts) != 4) ||
		strings.ToLower(traceparent) != traceparent {
		return SpanContext{}, false
	}
	var version, flags [1]byte
	for _, f := range []struct {
		to   []byte
		text string
	}{{version[:], parts[0]}, {c.TraceID[:], parts[1]}, {c.SpanID[:], parts[2]}, {flags[:], parts[3]}} {
		if len(f.text) != 2*len(f.to) {
			return SpanContext{}, false
		}
		if _, err := hex.Decode(f.to, []byte(f.text)); err != nil {
			return SpanContext{}, false
		}
	}
	c.Sampled = flags[0]&1 == 1
	if c.TraceID == [16]byte{} || c.SpanID == [8]byte{} {
		return SpanContext{}, false
	}
	return c, true
}

// String is the traceparent.
func (c SpanContext) String() string {
	flags := "00"
	if c.Sampled {
		flags = "01"
	}
	return "00-" + hex.EncodeToString(c.TraceID[:]) + "-" + hex.EncodeToString(c.SpanID[:]) + "-" + flags
}

// NewRun returns the trace context of a new run and the span that caused it. With a usable traceparent of the caller the
// run continues its trace and its decision to keep it; without one a new trace begins if traces are wanted, and otherwise
// both are empty: a run that nobody traces carries nothing.
func NewRun(caller string, wanted bool) (own, parent string) {
	c, ok := Parse(caller)
	switch {
	case ok:
		parent = hex.EncodeToString(c.SpanID[:])
	case wanted:
		c.Sampled = true
		_, _ = rand.Read(c.TraceID[:]) // never fails: it aborts the program instead
	default:
		return "", ""
	}
	_, _ = rand.Read(c.SpanID[:])
	return c.String(), parent
}

// LogAttrs is the attribute that ties a log line to the trace, or nothing.
func LogAttrs(traceparent string) []any {
	c, ok := Parse(traceparent)
	if !ok {
		return nil
	}
	return []any{"trace", hex.EncodeToString(c.TraceID[:])}
}
