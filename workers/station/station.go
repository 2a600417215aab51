// Package station makes this machine a worker of a pool: it connects to the API and to NATS with the pool's token, and carries
// tasks out in child processes. It needs nothing else of Gantry, so that it is the same beside the server and far from it.
package station

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gantry.example/client"
	"gantry.example/internal/bus"
	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/workers/process"
	"gantry.example/workers/queue"
	"gantry.example/workers/runner"
	"gantry.example/workers/terraform"
)

// claimBudget is how long one claim is repeated before its message goes back to the queue.
const claimBudget = 2 * time.Second

// Config describes a worker. Required are Name, Pool, Address, NATSURL, Token, Runner, WorkDir, CacheDir, Slots, SetupLimit and Log;
// the zero values of Releases and Providers mean the public ones.
type Config struct {
	Name    string   // shown with every attempt; Name makes a usable one
	Pool    string   // whose tasks it takes
	Labels  []string // what it offers: an agent takes the tasks that require no more
	Version string   // of this program
	Address string   // of the API: https, or http on this machine
	NATSURL string   // of NATS, several separated by commas
	CACert  []byte   // PEM of the only authorities to trust for both; empty means the system's
	Token   string   // of the pool

	Runner     []string      // the runner program with its arguments
	WorkDir    string        // folder of its attempts, absolute; no other worker uses it
	CacheDir   string        // folder of engines and provider plugins, absolute; may be shared
	Users      process.Users // whom terraform runs as; see process.Config
	Around     []string      // KEY=VALUE, of this process's environment what runs see; see runner.Assignment
	Slots      int           // tasks at the same time
	MinFree    uint64        // bytes: nothing new is taken while the disk of WorkDir has less room
	LogLimit   int64         // bytes: see runner.Assignment
	SetupLimit time.Duration
	// OfflineLimit is how long an apply goes on that reaches nobody; 0 is the runner's own.
	OfflineLimit time.Duration
	Releases     terraform.Releases
	Providers    terraform.Providers

	Once bool // drain when a task was placed

	Log     *slog.Logger
	Output  io.Writer          // takes what runners logged
	Passed  func(point string) // see queue.Config, as the next two
	Ordered func(wire.WorkerOrders)
	Unheard func(error)
	// Instance and After are made up if they are empty; see Identify.
	Instance, After string
}

// Station is a worker on this machine. It is a prometheus.Collector.
type Station struct {
	cfg    Config
	worker *queue.Worker
	claims *client.Pool
	bus    *bus.Bus
	room   room
	close  []func() error
	offer  func([][]string) // tells an agent's queue which label sets there are; nil without choice
}

// New adopts the attempts that an earlier worker left in WorkDir and prepares to take others. It waits for nobody: API and NATS
// may come later. Close it after Run.
func New(cfg Config) (s *Station, err error) {
	s = &Station{cfg: cfg}
	defer func() {
		if err != nil {
			s, err = nil, errors.Join(err, s.Close())
		}
	}()
	transport, err := client.NewTransport(client.Config{Address: cfg.Address, Token: cfg.Token, CACert: cfg.CACert, Budget: claimBudget})
	if err != nil {
		return s, err
	}
	s.close = append(s.close, func() error { transport.Close(); return nil })
	nc, err := bus.Connect(bus.ConnectConfig{URL: cfg.NATSURL, Token: cfg.Token, Name: cfg.Name, CACert: cfg.CACert, Log: cfg.Log})
	if err != nil {
		return s, err
	}
	s.close = append(s.close, func() error { nc.Close(); return nil })
	if s.bus, err = bus.New(nc); err != nil {
		return s, err
	}
	exec, err := process.New(process.Config{
		Command: cfg.Runner, Dir: cfg.WorkDir, Users: cfg.Users,
		Assignment: runner.Assignment{
			Address: cfg.Address, CACert: string(cfg.CACert), NATSURL: cfg.NATSURL, CacheDir: cfg.CacheDir,
			SetupLimit: cfg.SetupLimit, OfflineLimit: cfg.OfflineLimit, LogLimit: cfg.LogLimit, Around: cfg.Around, Releases: cfg.Releases, Providers: cfg.Providers,
		},
		Log: cfg.Log, Output: cfg.Output,
	})
	if err != nil {
		return s, err
	}
	s.close = append(s.close, exec.Close)
	s.room = room{dir: cfg.WorkDir, min: cfg.MinFree, exec: exec}
	s.claims = client.NewPool(transport)
	if cfg.Instance == "" {
		if cfg.Instance, cfg.After, err = Identify(cfg.WorkDir); err != nil {
			return s, err
		}
	}
	work := queue.Config{
		Name: cfg.Name, Pool: cfg.Pool, Slots: cfg.Slots, Labels: cfg.Labels, Version: cfg.Version, Instance: cfg.Instance, After: cfg.After,
		Claims: s.claims, Executor: exec, Events: s.bus, Log: cfg.Log, Passed: cfg.Passed, Ready: s.room.ready,
		Once: cfg.Once, Ordered: s.ordered, Unheard: cfg.Unheard,
	}
	if err = s.join(&work); err != nil {
		return s, err
	}
	s.worker, err = queue.New(work)
	return s, err
}

// join connects the worker with its pool's tasks. Those of the local pool require no labels, so there is nothing to choose; an
// agent's are of many label sets and are hinted to it.
func (s *Station) join(work *queue.Config) error {
	if work.Pool == messages.LocalPool {
		work.Tasks = s.bus.TaskQueue(work.Pool, nil, work.Log)
		return nil
	}
	q, err := s.bus.AgentQueue(bus.AgentQueueConfig{Pool: work.Pool, Name: work.Name, Labels: work.Labels, Slots: work.Slots, Log: work.Log})
	if err != nil {
		return err
	}
	s.close = append(s.close, q.Close)
	work.Tasks, work.Occupied, s.offer = q, q.Occupied, q.Offer
	return nil
}

// ordered does what the server says.
func (s *Station) ordered(o wire.WorkerOrders) {
	if s.offer != nil {
		s.offer(o.LabelSets)
	}
	if o.Drain {
		s.worker.Drain()
	}
	if s.cfg.Ordered != nil {
		s.cfg.Ordered(o)
	}
}

// Drain has it take nothing new; Run returns when what runs is over.
func (s *Station) Drain() { s.worker.Drain() }

// Stop drains and asks what runs to stop; see queue.Worker.
func (s *Station) Stop(ctx context.Context) error { return s.worker.Stop(ctx) }

// Run works until ctx ends, see queue.Worker. It is called once.
func (s *Station) Run(ctx context.Context) error {
	var beside sync.WaitGroup
	defer beside.Wait()
	running, stop := context.WithCancel(ctx)
	defer stop()
	beside.Go(func() { s.worker.Announce(running, s.claims) })
	beside.Go(func() { s.room.tidy(running) })
	if err := s.worker.Run(ctx); err != nil || ctx.Err() != nil {
		return err
	}
	stop() // it drained
	beside.Wait()
	s.worker.Farewell(ctx, s.claims)
	return nil
}

// Describe implements prometheus.Collector.
func (s *Station) Describe(out chan<- *prometheus.Desc) { s.worker.Describe(out) }

// Collect implements prometheus.Collector.
func (s *Station) Collect(out chan<- prometheus.Metric) { s.worker.Collect(out) }

// Ready reports why the worker cannot take tasks right now, or nil.
func (s *Station) Ready(context.Context) error {
	if !s.bus.Connected() {
		return errors.New("not connected to NATS")
	}
	return nil
}

// Close lets go of everything. Started runners go on.
func (s *Station) Close() error {
	var err error
	for i := len(s.close) - 1; i >= 0; i-- {
		err = errors.Join(err, s.close[i]())
	}
	s.close = nil
	return err
}

// Name is prefix and this machine's name as NATS takes it.
func Name(prefix string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "host"
	}
	name := strings.Map(func(r rune) rune {
		if messages.ValidName(string(r)) {
			return r
		}
		return '-'
	}, host)
	return fmt.Sprint(prefix, name[:min(len(name), messages.MaxNameLength-len(prefix))])
}
