// Package dispatcher turns the tasks of a k8s config into Pods: it connects to the API and to NATS with the pool's token and to a
// cluster, and is the same in the server and near a cluster far away. It is never in the way of a run's data: runners speak for
// themselves, and a dispatcher that dies stops none of them.
package dispatcher

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gantry.example/client"
	"gantry.example/internal/bus"
	"gantry.example/workers/k8s"
	"gantry.example/workers/queue"
	"gantry.example/workers/runner"
)

const (
	// claimBudget is how long one claim is repeated before its message goes back to the queue.
	claimBudget = 2 * time.Second
	// atOnce is how many tasks are claimed and placed at the same time.
	atOnce = 16
	// placeWithin is how long a Pod may wait to be made, as for a quota.
	placeWithin = time.Hour
	// setupLimit is how long a runner in a Pod has from its first instant to its start: more than a process beside the server,
	// because it may have to find the network first. Its claim is kept meanwhile.
	setupLimit = 2 * time.Minute
	// startAgain is the pause after a session that failed.
	startAgain = 2 * time.Second
)

// Config describes a dispatcher. All fields but CACert and Passed are required.
type Config struct {
	Name    string // shown with every attempt
	Address string // of the API
	NATSURL string // of NATS, several separated by commas
	CACert  []byte // PEM of the only authorities to trust for both; empty means the system's
	Token   string // of the pool

	Cluster *k8s.Cluster
	Pods    k8s.Config
	// Runner is what runners are told beside their claims: where they, from their Pods, find API and NATS.
	Runner runner.Assignment

	Log    *slog.Logger
	Passed func(point string) // see queue.Config
}

// Dispatcher is a worker of a pool whose runners are Pods. It is a prometheus.Collector.
type Dispatcher struct {
	cfg       Config
	rules     *k8s.Classifier
	transport *client.Transport
	closeNATS func()
	bus       *bus.Bus
	claims    *client.Pool
	session   atomic.Pointer[session]
}

// session is a dispatcher's time between two elections.
type session struct {
	exec   *k8s.Executor
	worker *queue.Worker
}

// New connects to API and NATS, and waits for nobody. Close it after Run.
func New(cfg Config) (*Dispatcher, error) {
	rules, err := k8s.NewClassifier(k8s.Rules())
	if err != nil {
		return nil, err
	}
	d := &Dispatcher{cfg: cfg, rules: rules}
	d.transport, err = client.NewTransport(client.Config{Address: cfg.Address, Token: cfg.Token, CACert: cfg.CACert, Budget: claimBudget})
	if err != nil {
		return nil, err
	}
	nc, err := bus.Connect(bus.ConnectConfig{URL: cfg.NATSURL, Token: cfg.Token, Name: cfg.Name, CACert: cfg.CACert, Log: cfg.Log})
	if err != nil {
		d.transport.Close()
		return nil, err
	}
	d.closeNATS, d.claims = nc.Close, client.NewPool(d.transport)
	if d.bus, err = bus.New(nc); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// Close lets go of everything. Pods go on.
func (d *Dispatcher) Close() {
	d.closeNATS()
	d.transport.Close()
}

// Run dispatches until ctx ends. What fails meanwhile, such as a cluster that is not there, is said and tried again.
func (d *Dispatcher) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := d.serve(ctx); err != nil && ctx.Err() == nil {
			d.cfg.Log.Error("dispatcher: starting again", "pool", d.cfg.Pods.Pool, "error", err)
			timer := time.NewTimer(startAgain)
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
			}
		}
	}
	return nil
}

// serve is one session: it ends with ctx, or when a leadership is lost, because then another judges the Pods.
func (d *Dispatcher) serve(ctx context.Context) error {
	ctx, end := context.WithCancel(ctx)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer end()
	leading := make(chan struct{})
	exec, err := k8s.New(ctx, k8s.ExecutorConfig{
		Config: d.cfg.Pods, Cluster: d.cfg.Cluster, Assignment: d.assignment(), Configurations: configurations{d.transport}, Log: d.cfg.Log,
		Judge: d.rules.Classify, Leads: leading, Passed: d.cfg.Passed,
	})
	if err != nil {
		return err
	}
	defer func() { _ = exec.Close() }()
	s := &session{exec: exec}
	s.worker, err = queue.New(queue.Config{
		Name: d.cfg.Name, Pool: d.cfg.Pods.Pool, Slots: min(atOnce, d.cfg.Pods.Limit), HandsOver: true, PlaceWithin: placeWithin,
		Tasks: d.bus.TaskQueue(d.cfg.Pods.Pool, nil, d.cfg.Log), Claims: d.claims, Executor: exec, Events: d.bus, Log: d.cfg.Log,
		Passed: d.cfg.Passed, Ready: func() error { return d.room(s) }, Freed: exec.Freed(),
	})
	if err != nil {
		return err
	}
	d.session.Store(s)
	beside.Go(func() {
		defer end()
		identity := d.cfg.Name + "/" + strings.ToLower(rand.Text()[:8])
		if err := d.cfg.Cluster.Lead(ctx, d.cfg.Pods, identity, d.cfg.Log, func() { close(leading) }); err != nil {
			d.cfg.Log.Error("dispatcher: no election", "pool", d.cfg.Pods.Pool, "error", err)
		}
	})
	beside.Go(func() { exec.KeepClaims(ctx, d.claims) })
	beside.Go(func() { s.worker.Announce(ctx, d.claims) })
	return s.worker.Run(ctx)
}

func (d *Dispatcher) assignment() runner.Assignment {
	a := d.cfg.Runner
	if a.SetupLimit == 0 {
		a.SetupLimit = setupLimit
	}
	return a
}

// room says why no task may be taken now: a claimed one would wait for a Pod that may not be made.
func (d *Dispatcher) room(s *session) error {
	if live := s.exec.Placed() + s.worker.Busy(); live >= d.cfg.Pods.Limit {
		return fmt.Errorf("%d Pods are there, as many as k8s config %s allows at the same time (max_pods)", live, d.cfg.Pods.Pool)
	}
	return s.exec.Crowded()
}

// Ready reports why no Pods can be made right now, or nil.
func (d *Dispatcher) Ready(context.Context) error {
	switch {
	case !d.bus.Connected():
		return errors.New("not connected to NATS")
	case d.session.Load() == nil:
		return errors.New("the cluster did not list its Pods yet")
	}
	return nil
}

// Describe implements prometheus.Collector: what there is to describe depends on the session, so nothing is.
func (d *Dispatcher) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (d *Dispatcher) Collect(out chan<- prometheus.Metric) {
	if s := d.session.Load(); s != nil {
		s.exec.Collect(out)
		s.worker.Collect(out)
	}
}
