package replay

import (
	"context"
	"database/sql"
	"fmt"
	"sync"

	_ "github.com/lib/pq" // the driver
	"golang.org/x/sync/errgroup"
)

// Run gives the statements of the recording to the database, by as many connections as there were then. What one connection did after another one had committed it does after that here too.
func (r Recording) Run(ctx context.Context, dsn string) error {
	db, err := sql.Open("postgres", dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	g, ctx := errgroup.WithContext(ctx)
	order := newOrder(r.Transactions)
	defer context.AfterFunc(ctx, order.giveUp)()
	for _, transactions := range r.Sessions {
		g.Go(func() error { return connection(ctx, db, transactions, order) })
	}
	return g.Wait()
}

func connection(ctx context.Context, db *sql.DB, transactions []Transaction, order *order) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "SET plan_cache_mode = force_generic_plan"); err != nil { // as the server's transactions
		return err
	}
	prepared := map[string]*sql.Stmt{}
	for _, t := range transactions {
		if err := order.wait(t.After); err != nil {
			return err
		}
		for _, s := range t.Statements {
			if err := s.send(ctx, conn, prepared); err != nil {
				return fmt.Errorf("%w\nin %s", err, s.Text)
			}
		}
		order.done(t.Place)
	}
	return nil
}

// send sends the statement and reads the answer.
func (s Statement) send(ctx context.Context, conn *sql.Conn, prepared map[string]*sql.Stmt) (err error) {
	if !s.Prepared {
		_, err := conn.ExecContext(ctx, s.Text)
		return err
	}
	stmt := prepared[s.Text]
	if stmt == nil {
		if stmt, err = conn.PrepareContext(ctx, s.Text); err != nil {
			return err
		}
		prepared[s.Text] = stmt
	}
	args := make([]any, len(s.Params))
	for i, p := range s.Params {
		if p != nil {
			args[i] = *p
		}
	}
	rows, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	values := make([]any, len(columns))
	for i := range values {
		values[i] = new(sql.RawBytes)
	}
	for rows.Next() {
		if err := rows.Scan(values...); err != nil {
			return err
		}
	}
	return rows.Err()
}

// order knows which transactions are over.
type order struct {
	mu     sync.Mutex
	ended  sync.Cond
	over   []bool // guarded by mu
	first  int    // how many, from the first, are over; guarded by mu
	gaveUp bool   // guarded by mu
}

func newOrder(n int) *order {
	o := &order{over: make([]bool, n)}
	o.ended.L = &o.mu
	return o
}

// wait returns when the first n are over.
func (o *order) wait(n int) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.first < n {
		if o.gaveUp {
			return context.Canceled
		}
		o.ended.Wait()
	}
	return nil
}

func (o *order) done(place int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.over[place] = true
	for o.first < len(o.over) && o.over[o.first] {
		o.first++
	}
	o.ended.Broadcast()
}

func (o *order) giveUp() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.gaveUp = true
	o.ended.Broadcast()
}
