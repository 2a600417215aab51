package main

import (
	"context"
	"errors"
	"os"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"

	"gantry.example/internal/telemetry/otlp"
	"gantry.example/services/observer"
)

// prepareTraces makes the exporter of traces if the settings name a collector.
func (s *server) prepareTraces(context.Context) error {
	cfg, err := otlp.FromEnv(os.Getenv, s.cfg.OTLPEndpoint, s.version)
	if err != nil || cfg.Endpoint == "" {
		return err
	}
	s.traces = otlp.New(cfg, s.log)
	return s.metrics.Register(s.traces)
}

func (s *server) runTraces(ctx context.Context) error {
	if s.traces == nil {
		<-ctx.Done()
		return nil
	}
	return s.traces.Run(ctx)
}

// runObserver counts the runs that end, and answers what waits when the metrics are asked for.
func (s *server) runObserver(ctx context.Context) error {
	var traces observer.Traces
	if s.traces != nil {
		traces = s.traces
	}
	o := observer.New(s.db, traces, s.log)
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "gantry_build_info", Help: "Always 1; the labels say which version runs.",
		ConstLabels: prometheus.Labels{"version": s.version, "go_version": runtime.Version()},
	})
	build.Set(1)
	if err := errors.Join(
		s.metrics.Register(o), s.metrics.Register(observer.NewGauges(s.db, s.bus, s.log)), s.metrics.Register(build),
	); err != nil {
		return err
	}
	return o.Run(ctx)
}
