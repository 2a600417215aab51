package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// maxPrepared bounds what a connection keeps in Postgres's memory; there are fewer statements than that.
const maxPrepared = 500

// open returns a pool whose connections prepare each statement once and keep it: the driver itself asks Postgres twice for
// every statement with parameters, first to parse it, then to execute it, and a transition has a dozen of them.
//
// settings are what each connection says first.
func open(dsn, settings string) (*sqlx.DB, error) {
	c, err := pq.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	c.Dialer(newDialer())
	return sqlx.NewDb(sql.OpenDB(connector{c, settings}), "postgres"), nil
}

// interpret keeps Postgres from compiling plans. It does so where it reckons with many rows, which it often does for nothing: each
// connection loads LLVM and compiles for tens of milliseconds what then runs for one.
const interpret = "SET jit = off"

// planOnce makes Postgres plan a statement without regard to its parameters, once per connection instead of each of the first five
// times. That is right for what finds rows by their keys, as the statements of transactions do. What reads lists is better off
// with plans that know how long a part of the list is asked for.
const planOnce = interpret + "; SET plan_cache_mode = force_generic_plan"

type connector struct {
	driver.Connector
	settings string
}

// Connect implements driver.Connector.
func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	l, ok := conn.(link)
	if !ok {
		return nil, fmt.Errorf("the driver's connection is a %T, which lacks methods that are needed", conn)
	}
	if _, err := l.ExecContext(ctx, c.settings, nil); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return &preparing{link: l, kept: map[string]statement{}}, nil
}

// link is what the driver's connections can do: database/sql looks for each of these.
type link interface {
	driver.Conn
	driver.ConnPrepareContext
	driver.ConnBeginTx
	driver.QueryerContext
	driver.ExecerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
	driver.NamedValueChecker
}

type statement interface {
	driver.Stmt
	driver.StmtQueryContext
	driver.StmtExecContext
}

// preparing is a connection that keeps its statements. Like every driver.Conn it is used by one goroutine at a time.
type preparing struct {
	link
	kept map[string]statement // by text; they live as long as the connection, rollbacks included
}

// QueryContext implements driver.QueryerContext.
func (p *preparing) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	s, err := p.statement(ctx, query, args)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return p.link.QueryContext(ctx, query, args)
	}
	return s.QueryContext(ctx, args)
}

// ExecContext implements driver.ExecerContext.
func (p *preparing) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	s, err := p.statement(ctx, query, args)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return p.link.ExecContext(ctx, query, args)
	}
	return s.ExecContext(ctx, args)
}

// statement is nil for what is sent as it is: without parameters one question is enough.
func (p *preparing) statement(ctx context.Context, query string, args []driver.NamedValue) (statement, error) {
	if s := p.kept[query]; s != nil {
		return s, nil
	}
	if len(args) == 0 || len(p.kept) >= maxPrepared {
		return nil, nil
	}
	prepared, err := p.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	s, ok := prepared.(statement)
	if !ok {
		return nil, fmt.Errorf("the driver's statement is a %T, which lacks methods that are needed", prepared)
	}
	p.kept[query] = s
	return s, nil
}
