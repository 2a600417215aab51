package host_test

import (
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"gantry.example/internal/host"
)

func TestMetricsOfThisMachine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(host.NewMetrics(slog.New(slog.DiscardHandler), dir, dir+"/missing"))
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		if n := len(f.GetMetric()); n != 1 {
			t.Errorf("%s: got %d values, want 1", f.GetName(), n)
		}
		got[f.GetName()] = f.GetMetric()[0].GetGauge().GetValue()
	}
	for _, name := range []string{"disk_free_bytes", "disk_size_bytes", "memory_available_bytes", "memory_total_bytes"} {
		if got["gantry_host_"+name] <= 0 {
			t.Errorf("gantry_host_%s: got %v, want more than 0", name, got["gantry_host_"+name])
		}
	}
	if _, ok := got["gantry_host_load1"]; !ok {
		t.Error("got no load")
	}
	if free, err := host.Free(dir); err != nil || free == 0 {
		t.Errorf("got %d bytes free and error %v, want some", free, err)
	}
	if _, err := host.Free(dir + "/missing"); err == nil {
		t.Error("a missing folder: got no error, want one")
	}
}
