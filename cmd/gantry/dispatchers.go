package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gantry.example/internal/pki"
	"gantry.example/services/postgres"
	"gantry.example/workers/dispatcher"
	"gantry.example/workers/k8s"
	"gantry.example/workers/runner"
	"gantry.example/workers/station"
)

// dispatchersEvery is between two looks for k8s configs that are new or different.
const dispatchersEvery = 5 * time.Second

// dispatchers are those of the k8s configs whose clusters this server reaches itself. They are a prometheus.Collector.
type dispatchers struct {
	server *server

	mu      sync.Mutex // guards running, which one goroutine changes
	running map[string]dispatching
}

// dispatching is a k8s config that is served; run is nil if that is not possible.
type dispatching struct {
	version int64
	run     *dispatcher.Dispatcher
	stop    context.CancelFunc
	done    chan struct{}
}

// end stops the dispatcher. Its Pods go on.
func (d dispatching) end() {
	d.stop()
	<-d.done
}

// runDispatchers serves the k8s configs until ctx ends. One that can't be served is said and keeps no other from being served.
func (s *server) runDispatchers(ctx context.Context) error {
	d := &dispatchers{server: s, running: map[string]dispatching{}}
	if err := s.metrics.Register(d); err != nil {
		return err
	}
	defer d.serve(context.WithoutCancel(ctx), nil)
	tick := time.NewTicker(dispatchersEvery)
	defer tick.Stop()
	for {
		if configs, err := s.db.Dispatched(ctx); err == nil {
			d.serve(ctx, configs)
		} else if ctx.Err() == nil {
			s.log.Warn("k8s configs were not read, trying again", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// serve starts, restarts and ends dispatchers until they are those of the configs.
func (d *dispatchers) serve(ctx context.Context, configs []postgres.Dispatched) {
	current := map[string]int64{}
	for _, c := range configs {
		current[c.ID] = c.Version
	}
	var ending sync.WaitGroup
	d.mu.Lock()
	for id, one := range d.running {
		if version, wanted := current[id]; !wanted || version != one.version {
			ending.Go(one.end)
			delete(d.running, id)
		}
	}
	d.mu.Unlock()
	ending.Wait()
	for _, c := range configs {
		if _, served := d.running[c.ID]; served {
			continue
		}
		one, err := d.start(ctx, c)
		if err != nil {
			d.server.log.Error("a k8s config is not served until it is changed", "config", c.ID, "name", c.Name, "error", err)
		}
		d.mu.Lock()
		d.running[c.ID] = one
		d.mu.Unlock()
	}
}

// start starts the dispatcher of a config. After an error what it returns only remembers that this version is of no use.
func (d *dispatchers) start(ctx context.Context, c postgres.Dispatched) (dispatching, error) {
	one := dispatching{version: c.Version, stop: func() {}, done: make(chan struct{})}
	run, err := d.open(c)
	if err != nil {
		close(one.done)
		return one, err
	}
	ctx, one.stop = context.WithCancel(ctx)
	one.run = run
	go func() {
		defer close(one.done)
		defer run.Close()
		_ = run.Run(ctx) // it ends with ctx only
	}()
	return one, nil
}

func (d *dispatchers) open(c postgres.Dispatched) (*dispatcher.Dispatcher, error) {
	s := d.server
	cluster, err := k8s.ConnectTo(c.Access.Credentials, "gantry/"+s.version, s.cfg.ClusterCalls)
	if err != nil {
		return nil, err
	}
	pods := k8s.ConfigOf(c.K8sConfig, s.cfg.RunnerImage)
	if pods.RunnerImage == "" {
		return nil, errors.New("no image brings the runner into its Pods: start the server with --runner-image, or give the config one")
	}
	ca, err := s.trusted()
	if err != nil {
		return nil, err
	}
	told, err := s.podAssignment()
	if err != nil {
		return nil, err
	}
	return dispatcher.New(dispatcher.Config{
		Name: station.Name("dispatcher-"), Address: s.apiURL(), NATSURL: s.natsURL(), CACert: ca, Token: c.Token, Cluster: cluster, Pods: pods,
		Runner: told, Log: s.log, Passed: s.fail.Hit,
	})
}

// podAssignment is what runners in Pods are told: they reach everything by the address that people use.
func (s *server) podAssignment() (runner.Assignment, error) {
	public := s.cfg.Address
	if s.cfg.has(roleAPI) {
		public = s.publicURL()
	}
	u, err := url.Parse(public)
	if err != nil || u.Scheme != "https" {
		return runner.Assignment{}, fmt.Errorf("Pods reach this server at %q, which is not https: give it --https with an address they can reach, and --public-url", public)
	}
	ca, err := s.trustedInPods(u)
	if err != nil {
		return runner.Assignment{}, err
	}
	return runner.Assignment{
		Address: public, NATSURL: "wss://" + u.Host + "/nats", CACert: string(ca),
		OfflineLimit: s.cfg.OfflineLimit, LogLimit: int64(s.cfg.LogLimit), //nolint:gosec // no log is as large
	}, nil
}

// trustedInPods are the authorities by which runners in Pods know the public address: those of --ca-file, and the server's own where
// that address is its listener. In front of another one is a proxy, with a certificate that --ca-file or everybody knows.
func (s *server) trustedInPods(public *url.URL) ([]byte, error) {
	out, err := s.cfg.ca()
	if err != nil || s.https == nil || s.cfg.TLS.Cert != "" || len(s.cfg.TLS.ACMEHosts) > 0 || cmp.Or(public.Port(), "443") != port(s.https) {
		return out, err
	}
	own, err := os.ReadFile(filepath.Join(s.cfg.DataDir, pki.CAFile))
	if err != nil {
		return nil, fmt.Errorf("the certificate by which Pods know the server: %w", err)
	}
	return append(append(out, own...), '\n'), nil
}

// Describe implements prometheus.Collector: what there is depends on the configs, so nothing is described.
func (d *dispatchers) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (d *dispatchers) Collect(out chan<- prometheus.Metric) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, one := range d.running {
		if one.run != nil {
			one.run.Collect(out)
		}
	}
}
