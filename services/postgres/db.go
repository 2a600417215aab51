// Package postgres is the only home of SQL: Gantry's decisions as rows.
//
// Every change of a run goes through locked.apply (transition.go): lock, load, run.Transition, append the events, store the
// fold, write the effects to the outbox, release what the change frees — one transaction, whoever calls. Locks are taken in
// one order everywhere: workspace, then run.
package postgres

import (
	"bytes"
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/pressly/goose/v3"

	"gantry.example/messages"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Sealer encrypts what is secret before it reaches a row. aad binds a ciphertext to its row. Safe for concurrent use.
type Sealer interface {
	Seal(plaintext, aad []byte) ([]byte, error)
	Open(ciphertext, aad []byte) ([]byte, error)
}

// Config configures Open.
type Config struct {
	DSN    string // lib/pq connection string
	Sealer Sealer
	// MaxConns bounds the connections of transactions, and as many again are for what only reads, but at least 2. Zero means four per
	// processor, from 8 to 20, and 10 for reading.
	MaxConns int
	// Limits of the life of a task. Zero values mean the defaults of DefaultTiming.
	Timing Timing
	// Workdirs are the absolute folders below which a workspace's runs may be carried out in local mode.
	Workdirs []string
	// Modes are those that runs can be carried out in. Empty means the local one.
	Modes []messages.Mode
}

// Timing are the deadlines Postgres keeps.
type Timing struct {
	StartWithin time.Duration // from claim to start
	TokenLife   time.Duration // of an attempt token
	LeaseTTL    time.Duration
	Grace       time.Duration // from SIGINT to SIGKILL of terraform
	LostAfter   time.Duration // an apply without contact is waited for; only told, the reconciler decides
}

// DefaultTiming is what DESIGN says.
func DefaultTiming() Timing {
	return Timing{StartWithin: 30 * time.Second, TokenLife: 24 * time.Hour, LeaseTTL: 15 * time.Second, Grace: 60 * time.Second}
}

// DB is a connection pool with Gantry's queries. Safe for concurrent use.
type DB struct {
	sql    *sqlx.DB // for what reads lists, and the past
	steps  *sqlx.DB // for transactions, see planOnce
	seal   Sealer
	timing Timing
	dsn    string

	workdirs []string
	modes    []messages.Mode
	// hashing holds a place for every password that is hashed right now.
	hashing chan struct{}
	waker   *waker
}

// Open connects and brings the schema up to date. Several servers may open the same database at once: migrations run
// under an advisory lock.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	d, err := connect(cfg)
	if err != nil {
		return nil, err
	}
	if err := d.migrate(ctx); err != nil {
		_ = d.Close()
		return nil, fmt.Errorf("database: bring the schema up to date: %w", err)
	}
	if err := d.checkLoaded(ctx); err != nil {
		_ = d.Close()
		return nil, fmt.Errorf("database: %w", err)
	}
	return d, nil
}

func connect(cfg Config) (*DB, error) {
	db, err := open(cfg.DSN, interpret)
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	conns, reads := cfg.connections()
	steps, err := open(cfg.DSN, planOnce)
	if err != nil {
		return nil, fmt.Errorf("database: %w", errors.Join(err, db.Close()))
	}
	wakes, err := open(cfg.DSN, interpret)
	if err != nil {
		return nil, fmt.Errorf("database: %w", errors.Join(err, db.Close(), steps.Close()))
	}
	wakes.SetMaxOpenConns(1)
	steps.SetMaxOpenConns(conns)
	steps.SetMaxIdleConns(conns)
	db.SetMaxOpenConns(reads)
	db.SetMaxIdleConns(reads)
	if cfg.Timing == (Timing{}) {
		cfg.Timing = DefaultTiming()
	}
	if len(cfg.Modes) == 0 {
		cfg.Modes = []messages.Mode{messages.ModeLocal}
	}
	return &DB{sql: db, steps: steps, seal: cfg.Sealer, timing: cfg.Timing, dsn: cfg.DSN, workdirs: cfg.Workdirs, modes: cfg.Modes, hashing: make(chan struct{}, hashesAtOnce),
		waker: &waker{db: wakes, pending: map[wakeUp]struct{}{}, near: map[*Notifier]struct{}{}}}, nil
}

// connections says how many are for transactions, and how many for what reads. Transactions under way keep the processors
// busy long before they wait for the disk: more of them at once than four for each makes all of them slower (20 on two: by a fifth).
func (cfg Config) connections() (transactions, reads int) {
	if n := cfg.MaxConns; n > 0 {
		return n, max(n, 2) // migrations hold one while they work with another
	}
	return min(max(4*runtime.GOMAXPROCS(0), 8), 20), 10
}

func (d *DB) migrate(ctx context.Context) error {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	conn, err := d.sql.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err := waitForLock(ctx, conn, migrateLock); err != nil {
		return err
	}
	defer func() {
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock($1)`, migrateLock)
	}()
	p, err := goose.NewProvider(goose.DialectPostgres, d.sql.DB, dir)
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

// migrateLock lets one server at a time bring the schema up to date.
const migrateLock = 0x67616e747279 // "gantry"

// waitForLock asks again and again: a server that waited within Postgres would be a transaction that is under way, and an index
// that another one creates concurrently would wait for that to end.
func waitForLock(ctx context.Context, conn *sql.Conn, lock int64) error {
	for {
		var mine bool
		if err := conn.QueryRowContext(ctx, `SELECT pg_try_advisory_lock($1)`, lock).Scan(&mine); err != nil || mine {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Close closes the pool.
func (d *DB) Close() error {
	d.waker.wait()
	return errors.Join(d.sql.Close(), d.steps.Close(), d.waker.db.Close())
}

// Timing returns the deadlines in force.
func (d *DB) Timing() Timing { return d.timing }

// Ping reports whether the database answers before ctx ends. The driver itself waits for ever for a frozen one.
func (d *DB) Ping(ctx context.Context) error {
	answer := make(chan error, 1)
	go func() { answer <- d.sql.PingContext(ctx) }()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return fmt.Errorf("the database does not answer: %w", ctx.Err())
	}
}

// ClockAhead tells how far this machine's clock is ahead of Postgres's, to about the time that the question takes. Deadlines are
// written by one server and judged by another, so all their clocks have to agree.
func (d *DB) ClockAhead(ctx context.Context) (time.Duration, error) {
	var theirs time.Time
	asked := now()
	if err := d.sql.GetContext(ctx, &theirs, `SELECT clock_timestamp()`); err != nil {
		return 0, err
	}
	return asked.Add(now().Sub(asked) / 2).Sub(theirs), nil
}

// Error is an error a caller can act on; its code travels to the user.
type Error struct {
	Code    messages.Code
	Message string
	// Field is the path, in a messages.RunRequest, of what the error is about. Empty where that is not one field.
	Field string
}

func (e *Error) Error() string { return e.Message }

func fail(code messages.Code, format string, args ...any) error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// inField says which field of a request the error is about, unless that is known.
func inField(err error, field string) error {
	var e *Error
	if !errors.As(err, &e) || e.Field != "" {
		return err
	}
	return &Error{e.Code, e.Message, field}
}

func notFound(what, id string) error {
	return fail(messages.CodeNotFound, "%s %q does not exist", what, id)
}

// querier is what a pool and a transaction have in common.
type querier interface {
	sqlx.ExtContext
	GetContext(ctx context.Context, dest any, query string, args ...any) error
	SelectContext(ctx context.Context, dest any, query string, args ...any) error
	NamedExecContext(ctx context.Context, query string, arg any) (sql.Result, error)
}

// txKey carries the transaction of an idempotent request in its context, so that what the request does and the memory of
// its answer commit together.
type txKey struct{}

func (d *DB) q(ctx context.Context) querier {
	if tx, ok := ctx.Value(txKey{}).(*txn); ok {
		return tx
	}
	return d.sql
}

// tx runs f in a transaction and repeats it when Postgres asks for that (deadlock, serialization failure). Inside an
// idempotent request it joins that request's transaction.
func (d *DB) tx(ctx context.Context, f func(*txn) error) error {
	if tx, ok := ctx.Value(txKey{}).(*txn); ok {
		return f(tx)
	}
	const tries = 5
	for i := 1; ; i++ {
		err := d.once(ctx, f)
		if err == nil || i == tries || !repeatable(err) {
			return err
		}
	}
}

func (d *DB) once(ctx context.Context, f func(*txn) error) error { return d.within(ctx, d.steps, f) }

// weighed runs f in a transaction whose statements are planned with regard to their parameters: what has to know how little of
// the past they ask for.
func (d *DB) weighed(ctx context.Context, f func(*txn) error) error { return d.within(ctx, d.sql, f) }

func (d *DB) within(ctx context.Context, db *sqlx.DB, f func(*txn) error) error {
	begun, err := db.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	tx := &txn{Tx: begun}
	defer func() { _ = tx.Rollback() }()
	if err := f(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	d.waker.add(tx.wakes...)
	return nil
}

func repeatable(err error) bool {
	var pe *pq.Error
	return errors.As(err, &pe) && (pe.Code == "40P01" || pe.Code == "40001")
}

func uniqueViolation(err error) bool {
	var pe *pq.Error
	return errors.As(err, &pe) && pe.Code == "23505"
}

// refersToNothing reports whether a row could not be stored because what it belongs to does not exist.
func refersToNothing(err error) bool {
	var pe *pq.Error
	return errors.As(err, &pe) && pe.Code == "23503"
}

func noRows(err error) bool { return errors.Is(err, sql.ErrNoRows) }

// read runs f in a transaction that sees the database as it was at one moment.
func (d *DB) read(ctx context.Context, f func(*txn) error) error {
	return d.weighed(ctx, func(tx *txn) error {
		if _, err := tx.ExecContext(ctx, `SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY`); err != nil {
			return err
		}
		return f(tx)
	})
}

// document is v as JSON that a jsonb column takes: Postgres stores no NUL, which a user's text or terraform's output may
// have.
func document(v any) ([]byte, error) {
	doc, err := json.Marshal(v)
	if err != nil || !bytes.Contains(doc, []byte(`\u0000`)) {
		return doc, err
	}
	// The first pair keeps an escaped backslash before "u0000" from being taken for the escape.
	return []byte(strings.NewReplacer(`\\`, `\\`, `\u0000`, `\ufffd`).Replace(string(doc))), nil
}

// now is the time written to rows: UTC at Postgres' resolution, so that what is stored equals what is read.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }
