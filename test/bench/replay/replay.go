package replay

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"

	_ "github.com/lib/pq" // the driver
	"golang.org/x/sync/errgroup"
)

// Exec carries statements out, each by itself.
func Exec(ctx context.Context, dsn string, statements ...string) error {
	return with(dsn, func(db *sql.DB) error {
		for _, s := range statements {
			if _, err := db.ExecContext(ctx, s); err != nil {
				return err
			}
		}
		return nil
	})
}

// Count returns the one number that a query gives.
func Count(ctx context.Context, dsn, query string) (n int, err error) {
	return n, with(dsn, func(db *sql.DB) error { return db.QueryRowContext(ctx, query).Scan(&n) })
}

func with(dsn string, do func(*sql.DB) error) (err error) {
	db, err := sql.Open("postgres", dsn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return do(db)
}

// Run gives the statements of the recording to the database, by as many connections as there were then. Each transaction is
// carried out by the first connection that is free when all that it relies on are over.
func (r Recording) Run(ctx context.Context, dsn string) error {
	return with(dsn, func(db *sql.DB) error {
		s := newSchedule(r.Transactions)
		g, ctx := errgroup.WithContext(ctx)
		for range r.Connections {
			g.Go(func() error { return connection(ctx, db, r.Transactions, s) })
		}
		return g.Wait()
	})
}

func connection(ctx context.Context, db *sql.DB, transactions []Transaction, schedule *schedule) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "SET jit = off; SET plan_cache_mode = force_generic_plan"); err != nil { // as the server's transactions
		return err
	}
	prepared := map[string]*sql.Stmt{}
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case place, more := <-schedule.ready:
			if !more {
				return nil
			}
			for _, s := range transactions[place].Statements {
				if err := s.send(ctx, conn, prepared); err != nil {
					return fmt.Errorf("%w\nin %s", err, s.Text)
				}
			}
			schedule.over(place)
		}
	}
}

// schedule knows which transactions may be carried out.
type schedule struct {
	ready chan int // closed when all are over

	mu       sync.Mutex
	waiting  [][]int // for each, those that rely on it
	relies   []int   // on how many that are not over; guarded by mu
	underWay int     // not over; guarded by mu
}

func newSchedule(transactions []Transaction) *schedule {
	n := len(transactions)
	s := &schedule{ready: make(chan int, n), waiting: make([][]int, n), relies: make([]int, n), underWay: n}
	for place, t := range transactions {
		s.relies[place] = len(t.After)
		for _, before := range t.After {
			s.waiting[before] = append(s.waiting[before], place)
		}
		if len(t.After) == 0 {
			s.ready <- place
		}
	}
	return s
}

func (s *schedule) over(place int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, next := range s.waiting[place] {
		if s.relies[next]--; s.relies[next] == 0 {
			s.ready <- next
		}
	}
	if s.underWay--; s.underWay == 0 {
		close(s.ready)
	}
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
