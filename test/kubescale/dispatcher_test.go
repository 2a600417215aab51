package kubescale_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gantry.example/workers/dispatcher"
	"gantry.example/workers/k8s"
)

// dispatch is a dispatcher as gantry-dispatcher is one.
func dispatch(ctx context.Context, j job) (work, error) {
	cluster, err := k8s.ConnectFile(j.Kubeconfig, "gantry-dispatcher", j.Calls)
	if err != nil {
		return work{}, err
	}
	d, err := dispatcher.New(dispatcher.Config{
		Name: "measured", Address: j.API, NATSURL: j.NATS, CACert: j.CACert, Token: j.Token, Cluster: cluster, Pods: j.Pods,
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return work{}, err
	}
	ctx, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for d.Ready(ctx) != nil {
		select {
		case err := <-done:
			stop()
			return work{}, fmt.Errorf("it ended: %w", err)
		case <-tick.C:
		}
	}
	return work{
		count: func() (float64, float64) { return asked(d) },
		close: func() {
			stop()
			<-done
			d.Close()
		},
	}, nil
}

// asked is how many writes a dispatcher made, and how many seconds calls waited for their turn in it.
func asked(d prometheus.Collector) (writes, throttled float64) {
	r := prometheus.NewRegistry()
	r.MustRegister(d)
	all, _ := r.Gather()
	for _, family := range all {
		for _, m := range family.GetMetric() {
			switch family.GetName() {
			case "gantry_dispatcher_throttled_seconds_total":
				throttled += m.GetCounter().GetValue()
			case "gantry_dispatcher_api_calls_total":
				for _, l := range m.GetLabel() {
					if l.GetName() == "method" && l.GetValue() != "GET" {
						writes += m.GetCounter().GetValue()
					}
				}
			}
		}
	}
	return writes, throttled
}
