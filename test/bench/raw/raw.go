// Package raw does what Postgres and NATS do for a run, and nothing else: the bench's measure of what can be reached. It knows
// no code of ours, so that none of it is part of the measure.
//
// For each task:
//
//	4 commits, one statement each   create: run, 2 events, task, outbox row · claim: 1 event, attempt, token · start: 1 event,
//	                                log · result: 1 event, result; each of the last three also updates the run and its workspace
//	3 publishes and their acks      the task on a work queue, 2 events on a stream with limits; each acknowledged twice (DoubleAck)
//
// and, shared by many, the commits of whoever empties the outbox (at most 100 rows each) and of whoever reads the events (at most
// 64). All rows are as large as those of a real run. The steps of a task follow each other as in Gantry; tasks go on beside
// each other.
package raw

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	_ "github.com/lib/pq" // the driver
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// Work says how much is to be done and by how many.
type Work struct {
	Tasks      int
	Creators   int // who create runs at the same time
	Workers    int
	Workspaces int
	Conns      int // to Postgres
}

const (
	outboxBatch = 100
	eventBatch  = 64
)

// A run's document is about as long, an event's, and a message.
const (
	docSize   = 1400
	eventSize = 300
	taskSize  = 400
)

// schema has rows in the shape of those of a run, with as many indexes on each table.
const schema = `
	CREATE TABLE workspaces (id int PRIMARY KEY, gate int, epoch bigint NOT NULL DEFAULT 0);
	CREATE TABLE runs (id int PRIMARY KEY, position bigserial UNIQUE, workspace_id int NOT NULL, status text NOT NULL, seq int NOT NULL, doc jsonb NOT NULL);
	CREATE INDEX ON runs (workspace_id, position);
	CREATE INDEX ON runs (workspace_id, status, position) WHERE status <> 'final';
	CREATE TABLE run_events (run_id int, seq int, xid xid8 NOT NULL DEFAULT pg_current_xact_id(), event jsonb NOT NULL, PRIMARY KEY (run_id, seq));
	CREATE INDEX ON run_events (xid);
	CREATE TABLE tasks (id int PRIMARY KEY, run_id int NOT NULL, state text NOT NULL);
	CREATE INDEX ON tasks (run_id);
	CREATE INDEX ON tasks (run_id) WHERE state = 'queued';
	CREATE TABLE attempts (id int PRIMARY KEY, task_id int NOT NULL, state text NOT NULL);
	CREATE INDEX ON attempts (task_id);
	CREATE TABLE attempt_tokens (hash text PRIMARY KEY, run_id int NOT NULL);
	CREATE INDEX ON attempt_tokens (run_id);
	CREATE TABLE results (attempt_id int PRIMARY KEY, doc jsonb NOT NULL);
	CREATE TABLE logs (task_id int PRIMARY KEY, size int NOT NULL);
	CREATE TABLE outbox (id bigserial PRIMARY KEY, run_id int NOT NULL, payload jsonb NOT NULL)`

// The four commits of a run; $1 is its number, $2 that of its workspace.
const (
	create = `
		WITH r AS (INSERT INTO runs (id, workspace_id, status, seq, doc) VALUES ($1, $2, 'plan_queued', 2, $3::jsonb)),
		e AS (INSERT INTO run_events (run_id, seq, event) VALUES ($1, 1, $4::jsonb), ($1, 2, $4::jsonb)),
		t AS (INSERT INTO tasks VALUES ($1, $1, 'queued')),
		w AS (UPDATE workspaces SET gate = $1 WHERE id = $2)
		INSERT INTO outbox (run_id, payload) VALUES ($1, $4::jsonb)`
	claim = `
		WITH r AS (UPDATE runs SET seq = 3, doc = $3::jsonb WHERE id = $1),
		e AS (INSERT INTO run_events (run_id, seq, event) VALUES ($1, 3, $4::jsonb)),
		t AS (UPDATE tasks SET state = 'claimed' WHERE id = $1),
		a AS (INSERT INTO attempts VALUES ($1, $1, 'claimed')),
		w AS (UPDATE workspaces SET epoch = epoch + 1 WHERE id = $2)
		INSERT INTO attempt_tokens VALUES (md5($1::int::text), $1)`
	start = `
		WITH r AS (UPDATE runs SET status = 'planning', seq = 4, doc = $3::jsonb WHERE id = $1),
		e AS (INSERT INTO run_events (run_id, seq, event) VALUES ($1, 4, $4::jsonb)),
		t AS (UPDATE tasks SET state = 'started' WHERE id = $1),
		a AS (UPDATE attempts SET state = 'started' WHERE id = $1),
		w AS (UPDATE workspaces SET gate = $1 WHERE id = $2)
		INSERT INTO logs VALUES ($1, 0)`
	result = `
		WITH r AS (UPDATE runs SET status = 'final', seq = 5, doc = $3::jsonb WHERE id = $1),
		e AS (INSERT INTO run_events (run_id, seq, event) VALUES ($1, 5, $4::jsonb)),
		t AS (UPDATE tasks SET state = 'finished' WHERE id = $1),
		a AS (UPDATE attempts SET state = 'closed' WHERE id = $1),
		w AS (UPDATE workspaces SET gate = NULL WHERE id = $2)
		INSERT INTO results VALUES ($1, $4::jsonb)`
)

// Database makes an empty one on the server of dsn.
func Database(ctx context.Context, dsn, name string) error {
	db, err := sql.Open("postgres", dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, `CREATE DATABASE `+name)
	return err
}

// bench is one measurement.
type bench struct {
	Work
	db       *sql.DB
	js       jetstream.JetStream
	tasks    jetstream.Consumer
	events   jetstream.Consumer
	doc      string
	event    string
	message  []byte
	finished atomic.Int64
	read     atomic.Int64 // events
}

// Run does the work in an empty database and a NATS without streams, and returns how long it took.
func Run(ctx context.Context, dsn string, nc *nats.Conn, w Work) (time.Duration, error) {
	b := &bench{Work: w, doc: text(docSize), event: text(eventSize), message: []byte(text(taskSize))}
	var err error
	if b.db, err = sql.Open("postgres", dsn); err != nil {
		return 0, err
	}
	defer b.db.Close()
	b.db.SetMaxOpenConns(w.Conns)
	b.db.SetMaxIdleConns(w.Conns)
	if b.js, err = jetstream.New(nc); err != nil {
		return 0, err
	}
	if err := b.prepare(ctx); err != nil {
		return 0, err
	}
	began := time.Now()
	err = b.work(ctx)
	return time.Since(began), err
}

func text(size int) string {
	return fmt.Sprintf("{%q: %q}", "text", strings.Repeat("0123456789abcdef", size/16))
}

func (b *bench) prepare(ctx context.Context) error {
	if _, err := b.db.ExecContext(ctx, schema); err != nil {
		return err
	}
	if _, err := b.db.ExecContext(ctx, `INSERT INTO workspaces (id) SELECT generate_series(0, $1::int)`, b.Workspaces); err != nil {
		return err
	}
	for _, s := range []struct {
		config jetstream.StreamConfig
		to     *jetstream.Consumer
	}{
		{jetstream.StreamConfig{Name: "RAW_TASKS", Subjects: []string{"raw.task.>"}, Retention: jetstream.WorkQueuePolicy, MaxMsgsPerSubject: 1}, &b.tasks},
		{jetstream.StreamConfig{Name: "RAW_STATUS", Subjects: []string{"raw.status.>"}, MaxAge: 7 * 24 * time.Hour}, &b.events},
	} {
		if _, err := b.js.CreateStream(ctx, s.config); err != nil {
			return err
		}
		var err error
		if *s.to, err = b.js.CreateConsumer(ctx, s.config.Name, jetstream.ConsumerConfig{
			Durable: "raw", AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Minute, MaxAckPending: 10_000, MaxWaiting: 4096,
		}); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) work(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range b.Creators {
		g.Go(func() error {
			for n := next.Add(1); n <= int64(b.Tasks); n = next.Add(1) {
				if err := b.commit(ctx, create, int(n)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	g.Go(func() error { return b.relay(ctx) })
	for range b.Workers {
		g.Go(func() error { return b.worker(ctx) })
	}
	g.Go(func() error { return b.reader(ctx) })
	return g.Wait()
}

// commit is a statement of a run, which commits by itself.
func (b *bench) commit(ctx context.Context, statement string, n int) error {
	_, err := b.db.ExecContext(ctx, statement, n, n%b.Workspaces, b.doc, b.event)
	return err
}
