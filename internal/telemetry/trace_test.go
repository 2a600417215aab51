package telemetry_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"gantry.example/internal/telemetry"
)

const caller = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestParse(t *testing.T) {
	t.Parallel()
	for _, good := range []string{caller, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"} {
		if c, ok := telemetry.Parse(good); !ok || c.String() != good {
			t.Errorf("Parse(%q): got %s, %v, want the same again", good, c, ok)
		}
	}
	// A version to come may say more behind what this one says.
	if c, ok := telemetry.Parse(strings.Replace(caller, "00-", "cc-", 1) + "-more"); !ok || c.String() != caller {
		t.Errorf("a later version: got %s, %v, want %s", c, ok, caller)
	}
	for _, bad := range []string{
		"", "00", caller + "-more", strings.ToUpper(caller), strings.Replace(caller, "00-", "ff-", 1), strings.Replace(caller, "-01", "-1", 1),
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
		strings.Replace(caller, "4bf9", "4bg9", 1), caller[:40], "0\n-" + caller[3:],
	} {
		if c, ok := telemetry.Parse(bad); ok {
			t.Errorf("Parse(%q): got %s, want it refused", bad, c)
		}
	}
}

func TestNewRun(t *testing.T) {
	t.Parallel()
	own, parent := telemetry.NewRun(caller, false)
	from, _ := telemetry.Parse(caller)
	got, ok := telemetry.Parse(own)
	if !ok || got.TraceID != from.TraceID || got.SpanID == from.SpanID || !got.Sampled || parent != "00f067aa0ba902b7" {
		t.Errorf("got %q below %q, want a new span of the caller's trace", own, parent)
	}
	if own, parent = telemetry.NewRun("nonsense", false); own != "" || parent != "" {
		t.Errorf("got %q below %q, want nothing where nobody traces", own, parent)
	}
	own, parent = telemetry.NewRun("", true)
	if got, ok = telemetry.Parse(own); !ok || !got.Sampled || parent != "" {
		t.Errorf("got %q below %q, want a trace of its own", own, parent)
	}
}

func TestLog(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	cfg := telemetry.LogConfig{Format: telemetry.FormatJSON, Level: slog.LevelWarn}
	log := cfg.New(&out).With(telemetry.LogAttrs(caller)...).With(telemetry.LogAttrs("")...)
	log.Info("not wanted")
	log.Warn("wanted")
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("got %q, want one line of JSON: %v", out.String(), err)
	}
	if line["msg"] != "wanted" || line["trace"] != "4bf92f3577b34da6a3ce929d0e0e4736" {
		t.Errorf("got %v, want the warning with its trace", line)
	}
	if err := (telemetry.LogConfig{Format: "xml"}).Validate(); err == nil || !strings.Contains(err.Error(), "--log-format") {
		t.Errorf("got %v, want an error that names the flag", err)
	}
}
