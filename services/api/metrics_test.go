package api_test

import (
	"strings"
	"testing"
)

func TestMetricsNameRoutesNotPaths(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.get("/api/gantry/v1/runs/run-1", adminToken)
	f.get("/api/gantry/v1/runs/run-2", adminToken)
	f.get("/api/nothing/1", adminToken)
	f.get("/api/nothing/2", adminToken)
	families, err := f.metrics.Gather()
	must(t, err)
	got := map[string]uint64{}
	for _, family := range families {
		for _, m := range family.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, l.GetValue())
			}
			got[strings.Join(labels, " ")] = m.Histogram.GetSampleCount()
		}
	}
	for _, want := range []string{"GET /api/gantry/v1/runs/{run} 4xx", "any unknown 4xx"} {
		if got[want] != 2 {
			t.Errorf("got %v, want 2 calls under %q", got, want)
		}
	}
}
