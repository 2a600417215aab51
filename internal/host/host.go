// Package host tells how the machine is doing: disk, memory and load, for the worker that must not fill it and as metrics.
package host

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/load"
	"github.com/shirou/gopsutil/v4/mem"
)

// Free returns how many bytes an ordinary user may still write to the disk of path, which must exist.
func Free(path string) (uint64, error) {
	u, err := disk.Usage(path)
	if err != nil {
		return 0, fmt.Errorf("disk of %s: %w", path, err)
	}
	return u.Free, nil
}

// readWithin bounds one reading; it asks the kernel only.
const readWithin = 2 * time.Second

// Metrics are those of this machine. It is a prometheus.Collector; what cannot be read on this system is left out.
type Metrics struct {
	paths []string
	log   *slog.Logger

	diskFree, diskSize, memAvailable, memTotal, load1 *prometheus.Desc
}

// NewMetrics returns metrics of the machine and of the disks that hold the paths.
func NewMetrics(log *slog.Logger, paths ...string) *Metrics {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &Metrics{
		paths: paths, log: log,
		diskFree:     desc("gantry_host_disk_free_bytes", "Space that an ordinary user may still use on the disk of the folder.", "path"),
		diskSize:     desc("gantry_host_disk_size_bytes", "Size of the disk of the folder.", "path"),
		memAvailable: desc("gantry_host_memory_available_bytes", "Memory that programs may still get without swapping."),
		memTotal:     desc("gantry_host_memory_total_bytes", "Memory of the machine."),
		load1:        desc("gantry_host_load1", "Processes that run or wait for the processor or a disk, averaged over a minute."),
	}
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.diskFree, m.diskSize, m.memAvailable, m.memTotal, m.load1} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), readWithin)
	defer cancel()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, path := range m.paths {
		u, err := disk.UsageWithContext(ctx, path)
		if err != nil {
			m.log.Debug("disk not read", "path", path, "error", err)
			continue
		}
		gauge(m.diskFree, float64(u.Free), path)
		gauge(m.diskSize, float64(u.Total), path)
	}
	if v, err := mem.VirtualMemoryWithContext(ctx); err == nil {
		gauge(m.memAvailable, float64(v.Available))
		gauge(m.memTotal, float64(v.Total))
	}
	if l, err := load.AvgWithContext(ctx); err == nil {
		gauge(m.load1, l.Load1)
	}
}
