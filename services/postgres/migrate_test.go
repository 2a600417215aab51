package postgres_test

import (
	"sync"
	"testing"
	"time"

	"gantry.example/internal/pgtest"
	"gantry.example/services/postgres"
)

func TestOpenMigratesOnceHoweverManyServersStart(t *testing.T) {
	t.Parallel()
	dsn := pgtest.New(t)
	sealer := newKeyring(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			db, err := postgres.Open(t.Context(), postgres.Config{DSN: dsn, Sealer: sealer, MaxConns: 1})
			if err != nil {
				t.Error(err)
				return
			}
			defer db.Close()
			for range 2 {
				if err := db.EnsureBasics(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	db := open(t, dsn, sealer, postgres.Timing{}) // and again
	list, total, err := db.Organizations(t.Context(), postgres.Token{Kind: postgres.TokenAdmin}, postgres.Page{})
	if err != nil || total != 1 || len(list) != 1 || list[0].Name != "default" {
		t.Errorf("organizations: got %d of %d: %+v, %v; want default", len(list), total, list, err)
	}
	if err := db.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if got, want := db.Timing(), postgres.DefaultTiming(); got != want {
		t.Errorf("timing: got %+v, want %+v", got, want)
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	if _, err := postgres.Open(t.Context(), postgres.Config{DSN: "postgres:///none?host=" + t.TempDir()}); err == nil {
		t.Error("got no error for a database that is not there")
	}
}

func TestClocksAreCompared(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if ahead, err := w.ClockAhead(t.Context()); err != nil || ahead.Abs() > 10*time.Second { // the same clock, on a machine that may be busy
		t.Errorf("got %v ahead and error %v, want the same time", ahead, err)
	}
	w.exec(`CREATE SCHEMA wrong`)
	w.exec(`CREATE FUNCTION wrong.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$ SELECT pg_catalog.clock_timestamp() - interval '1 hour' $$`)
	w.exec(`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public, wrong, pg_catalog', current_database()); END $$`)
	db := open(t, w.dsn, w.sealer, postgres.Timing{})
	if ahead, err := db.ClockAhead(t.Context()); err != nil || (ahead-time.Hour).Abs() > 10*time.Second {
		t.Errorf("got %v ahead and error %v, want an hour", ahead, err)
	}
}
