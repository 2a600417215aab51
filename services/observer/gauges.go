package observer

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gantry.example/internal/bus"
	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

const (
	// askLimit bounds the questions of one scrape to Postgres, and those to NATS.
	askLimit = 3 * time.Second
	// fresh is how long an answer is given again, so that nobody can make work by asking often.
	fresh = time.Second
)

// Backlog is where the gauges that come from Postgres are read.
type Backlog interface {
	Backlog(ctx context.Context) (postgres.Backlog, error)
}

// Gauges are what waits at this moment, asked for when the metrics are: they cost nothing in between. What cannot be asked
// is left out, and gantry_up says so. All servers of one installation give the same answers. It is a prometheus.Collector.
type Gauges struct {
	db  Backlog
	bus *bus.Bus
	log *slog.Logger

	mu     sync.Mutex // guards what follows; held while asking, so that there is one question at a time
	asked  time.Time
	values []prometheus.Metric

	agents, slots, slotsFree, wanted                                         *prometheus.Desc
	up, queueTasks, queueOldest, attempts, waiting, outboxRows, outboxOldest *prometheus.Desc
	eventsPending, eventsOldest, logsPending, logsOldest, leases             *prometheus.Desc
}

// NewGauges returns gauges over the database and the server's own connection to NATS.
func NewGauges(db Backlog, b *bus.Bus, log *slog.Logger) *Gauges {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &Gauges{
		db: db, bus: b, log: log,
		up:            desc("gantry_up", `Whether the server reaches what it needs: "postgres" or "nats".`, "dependency"),
		queueTasks:    desc("gantry_queue_tasks", "Tasks that any worker of the pool could take now: what an autoscaler looks at.", "pool", "mode"),
		queueOldest:   desc("gantry_queue_oldest_seconds", "How long the oldest of them has waited; 0 when there is none.", "pool", "mode"),
		agents:        desc("gantry_pool_workers", `Workers of the pool that were heard of a moment ago, by what they do: "taking" tasks, "draining", or "refusing" for a reason such as a full disk.`, "pool", "mode", "state"),
		slots:         desc("gantry_pool_slots", "Tasks that the pool's workers carry out at the same time; draining and refusing ones do not count.", "pool", "mode"),
		slotsFree:     desc("gantry_pool_slots_free", "Of these, the ones without a task.", "pool", "mode"),
		wanted:        desc("gantry_pool_workers_wanted", "Workers that what is queued and what runs takes, without what draining ones still end: the size that an autoscaler should give the pool.", "pool", "mode"),
		attempts:      desc("gantry_attempts_open", "Attempts that were claimed and are not over, by state: claimed, started or contact_lost.", "pool", "mode", "phase", "state"),
		waiting:       desc("gantry_runs_waiting", `Runs that wait for something other than a worker: their "workspace" (another run, or a lock), an "approval", or a person's "recovery" of an unknown outcome.`, "for"),
		outboxRows:    desc("gantry_outbox_rows", "Messages that are decided and not sent to NATS yet."),
		outboxOldest:  desc("gantry_outbox_oldest_seconds", "Age of the oldest of them; 0 when there is none."),
		eventsPending: desc("gantry_projector_pending_events", "Events on the STATUS stream that are not folded into Postgres yet."),
		eventsOldest:  desc("gantry_projector_oldest_seconds", "Age of the oldest of them; 0 when there is none."),
		logsPending:   desc("gantry_logs_pending_chunks", "Chunks on the LOGS stream that are not stored in Postgres yet."),
		logsOldest:    desc("gantry_logs_oldest_seconds", "Age of the oldest of them; 0 when there is none."),
		leases:        desc("gantry_leases_held", "Leases that runners hold.", "pool", "mode"),
	}
}

// Describe implements prometheus.Collector.
func (g *Gauges) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		g.agents, g.slots, g.slotsFree, g.wanted, g.up, g.queueTasks, g.queueOldest, g.attempts, g.waiting, g.outboxRows, g.outboxOldest,
		g.eventsPending, g.eventsOldest, g.logsPending, g.logsOldest, g.leases,
	} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (g *Gauges) Collect(out chan<- prometheus.Metric) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if time.Since(g.asked) >= fresh {
		g.values = g.values[:0]
		pools := g.postgres()
		g.nats(pools)
		g.asked = time.Now()
	}
	for _, v := range g.values {
		out <- v
	}
}

func (g *Gauges) set(d *prometheus.Desc, v float64, labels ...string) {
	g.values = append(g.values, prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...))
}

// answered notes whether a dependency answered.
func (g *Gauges) answered(dependency string, err error) {
	up := 1.0
	if err != nil {
		up = 0
		g.log.Warn("metrics: some are missing", "dependency", dependency, "error", err)
	}
	g.set(g.up, up, dependency)
}

// postgres asks the database. It returns the pools there are.
func (g *Gauges) postgres() []postgres.QueueDepth {
	ctx, cancel := context.WithTimeout(context.Background(), askLimit)
	defer cancel()
	b, err := g.db.Backlog(ctx)
	g.answered("postgres", err)
	if err != nil {
		return nil
	}
	for _, q := range b.Queues {
		g.set(g.queueTasks, float64(q.Tasks), q.Pool, string(q.Mode))
		g.set(g.queueOldest, q.Oldest, q.Pool, string(q.Mode))
		g.open(q, b.Attempts)
	}
	for _, p := range b.Pools {
		mode := string(p.Mode)
		g.set(g.agents, float64(p.Taking), p.Pool, mode, "taking")
		g.set(g.agents, float64(p.Draining), p.Pool, mode, "draining")
		g.set(g.agents, float64(p.Refusing), p.Pool, mode, "refusing")
		g.set(g.slots, float64(p.Slots), p.Pool, mode)
		g.set(g.slotsFree, float64(p.Free), p.Pool, mode)
		g.set(g.wanted, float64(p.Wanted), p.Pool, mode)
	}
	g.set(g.waiting, float64(b.ForWorkspace), "workspace")
	g.set(g.waiting, float64(b.ForApproval), "approval")
	g.set(g.waiting, float64(b.ForRecovery), "recovery")
	g.set(g.outboxRows, float64(b.Outbox))
	g.set(g.outboxOldest, b.OutboxOldest.Seconds())
	return b.Queues
}

// open gives every state of the pool a number: a gauge that vanishes instead of going to 0 keeps its last value in a graph.
func (g *Gauges) open(pool postgres.QueueDepth, counts []postgres.AttemptCount) {
	for _, phase := range []messages.Phase{messages.PhasePlan, messages.PhaseApply} {
		for _, state := range []run.AttemptState{run.AttemptClaimed, run.AttemptStarted, run.AttemptLost} {
			n := 0
			for _, c := range counts {
				if c.Pool == pool.Pool && c.Phase == phase && c.State == state {
					n = c.Count
				}
			}
			g.set(g.attempts, float64(n), pool.Pool, string(pool.Mode), string(phase), string(state))
		}
	}
}

func (g *Gauges) nats(pools []postgres.QueueDepth) {
	if !g.bus.Connected() {
		g.answered("nats", bus.ErrDisconnected)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), askLimit)
	defer cancel()
	events, eventsErr := g.bus.EventLag(ctx)
	if eventsErr == nil {
		g.set(g.eventsPending, float64(events.Pending))
		g.set(g.eventsOldest, events.Oldest.Seconds())
	}
	logs, logsErr := g.bus.LogLag(ctx)
	if logsErr == nil {
		g.set(g.logsPending, float64(logs.Pending))
		g.set(g.logsOldest, logs.Oldest.Seconds())
	}
	failed := errors.Join(eventsErr, logsErr)
	for _, p := range pools {
		held, err := g.bus.ReadLeases(ctx, p.Pool)
		if err == nil || errors.Is(err, bus.ErrNoStream) { // a pool that never had a task has no bucket
			g.set(g.leases, float64(len(held)), p.Pool, string(p.Mode))
			continue
		}
		failed = errors.Join(failed, err)
	}
	g.answered("nats", failed)
}

var (
	_ Backlog              = (*postgres.DB)(nil)
	_ prometheus.Collector = (*Gauges)(nil)
)
