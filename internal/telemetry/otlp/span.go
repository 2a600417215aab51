package otlp

import (
	"maps"
	"slices"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// Span is something that took time.
type Span struct {
	TraceID    [16]byte
	ID, Parent [8]byte // a zero Parent means none
	Name       string
	Start, End time.Time
	Attributes map[string]any // string, int64 or bool
	Events     []Event
	Failed     bool
	Message    string // why it failed
}

// Event is a moment within a span.
type Event struct {
	Name string
	At   time.Time
}

func (s Span) message() *tracepb.Span {
	out := &tracepb.Span{
		TraceId: s.TraceID[:], SpanId: s.ID[:], Name: s.Name, Kind: tracepb.Span_SPAN_KIND_INTERNAL,
		StartTimeUnixNano: nanos(s.Start), EndTimeUnixNano: nanos(s.End), Attributes: attributes(s.Attributes),
	}
	if s.Parent != [8]byte{} {
		out.ParentSpanId = s.Parent[:]
	}
	if s.Failed {
		out.Status = &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR, Message: s.Message}
	}
	for _, e := range s.Events {
		out.Events = append(out.Events, &tracepb.Span_Event{Name: e.Name, TimeUnixNano: nanos(e.At)})
	}
	return out
}

func nanos(t time.Time) uint64 { return uint64(max(t.UnixNano(), 0)) }

func attributes[V any](m map[string]V) []*commonpb.KeyValue {
	out := make([]*commonpb.KeyValue, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, &commonpb.KeyValue{Key: k, Value: value(m[k])})
	}
	return out
}

func value(v any) *commonpb.AnyValue {
	switch v := v.(type) {
	case int64:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: v}}
	case bool:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: v}}
	case string:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: v}}
	default:
		return &commonpb.AnyValue{}
	}
}
