package postgres_test

import (
	"sync"
	"testing"

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
