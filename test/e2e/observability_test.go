package e2e_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

const (
	callersTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	callersSpan  = "00f067aa0ba902b7"
)

// TestObservability: a run's trace goes from the caller through terraform to a collector, its log lines are found by its id,
// and the metrics are those of the docs.
func TestObservability(t *testing.T) {
	t.Parallel()
	spans := make(chan []*tracepb.Span, 10)
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data := &tracepb.TracesData{}
		if body, err := io.ReadAll(r.Body); err != nil || proto.Unmarshal(body, data) != nil || r.URL.Path != "/v1/traces" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		spans <- data.ResourceSpans[0].ScopeSpans[0].Spans
	}))
	defer collector.Close()
	s := newServer(t)
	s.args = append(s.args, "--log-format", "json", "--log-level", "debug")
	s.start("OTEL_EXPORTER_OTLP_ENDPOINT=" + collector.URL)
	cmd := s.command(t.Context(), "run", config(t, `resource "terraform_data" "x" {
  provisioner "local-exec" { command = "echo context=$TRACEPARENT" }
}`), "-w", "default/traced", "--auto-approve")
	cmd.Env = append(cmd.Env, "TRACEPARENT=00-"+callersTrace+"-"+callersSpan+"-01")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("got %v, want the run applied:\n%s", err, out)
	}
	id := s.runs("default/traced")[0].ID
	var got []*tracepb.Span
	select {
	case got = <-spans:
	case <-time.After(20 * time.Second):
		t.Fatal("no trace came within 20 s of the run's end")
	}
	checkSpans(t, got, out)
	s.gantry("run", "../../examples/failing", "-w", "default/failing", "--auto-approve") // for metrics of more kinds
	<-spans
	checkLines(t, s.log.String(), id)
	checkMetrics(t, s.args[slices.Index(s.args, "--http")+1])
}

func checkSpans(t *testing.T, spans []*tracepb.Span, output []byte) {
	t.Helper()
	names := map[string]*tracepb.Span{}
	for _, s := range spans {
		names[s.Name] = s
		if got := hex.EncodeToString(s.TraceId); got != callersTrace {
			t.Errorf("span %s: got trace %s, want the caller's %s", s.Name, got, callersTrace)
		}
	}
	for _, want := range []string{"run", "queue", "plan", "apply", "place", "start", "init", "project"} {
		if names[want] == nil {
			t.Errorf("got spans %v, want %s among them", names, want)
		}
	}
	if root := names["run"]; root != nil {
		if got := hex.EncodeToString(root.ParentSpanId); got != callersSpan {
			t.Errorf("the run's span is below %q, want it below the caller's %s", got, callersSpan)
		}
		if want := "context=00-" + callersTrace + "-" + hex.EncodeToString(root.SpanId) + "-01"; !bytes.Contains(output, []byte(want)) {
			t.Errorf("terraform was not told %q:\n%s", want, output)
		}
	}
}

// checkLines: every line that names the run or its parts says which run it is about, and worker and runner are among them.
func checkLines(t *testing.T, log, id string) {
	t.Helper()
	said := map[string]bool{}
	for text := range strings.Lines(log) {
		var line map[string]any
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Errorf("got the line %q, want JSON", text)
			continue
		}
		if line["attempt"] != nil && (line["run"] == nil || line["task"] == nil || line["trace"] == nil) {
			t.Errorf("got a line about an attempt without its run, task or trace: %s", text)
		}
		if line["run"] == id {
			said[line["msg"].(string)] = true
		} else if strings.Contains(text, id) {
			t.Errorf("got a line about the run that is not found by it: %s", text)
		}
	}
	for _, want := range []string{"runner started", "attempt begins", "runner exited"} {
		if !said[want] {
			t.Errorf("got %v about the run, want %q", said, want)
		}
	}
}

// checkMetrics: type and labels of everything that is there are as the docs say.
func checkMetrics(t *testing.T, address string) {
	t.Helper()
	resp, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/observability.md")
	if err != nil {
		t.Fatal(err)
	}
	docs := map[string]string{} // name and type → labels
	for _, m := range regexp.MustCompile("(?m)^\\| `(gantry_\\w+)` \\| (\\w+) \\|([^|]*)\\|").FindAllStringSubmatch(string(page), -1) {
		docs[m[1]+" "+m[2]] = m[3]
	}
	label := regexp.MustCompile(`(\w+)="`)
	var labels string
	families := 0
	for line := range strings.Lines(string(body)) {
		if name, ok := strings.CutPrefix(line, "# TYPE gantry_"); ok {
			var known bool
			families++
			if labels, known = docs["gantry_"+strings.TrimSpace(name)]; !known {
				t.Errorf("got the metric gantry_%s, want it in the docs with that type", name)
			}
		} else if strings.HasPrefix(line, "gantry_") {
			for _, m := range label.FindAllStringSubmatch(line, -1) {
				if m[1] != "le" && !strings.Contains(labels, "`"+m[1]+"`") {
					t.Errorf("got %swant only the labels%s", line, labels)
				}
			}
			if strings.Contains(line, "run-") || strings.Contains(line, "ws-") || strings.Contains(line, "att-") {
				t.Errorf("got %swant no ids in labels: there is no end of them", line)
			}
		}
	}
	if families < 20 {
		t.Errorf("got %d metrics of Gantry, want nearly all of those in the docs:\n%s", families, body)
	}
}
