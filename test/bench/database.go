package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"gantry.example/internal/pgserver"
	"gantry.example/test/bench/raw"
)

// database is a Postgres that several sides share, each with a database of its own. It is as durable as the private one of a
// server.
type database struct {
	server *pgserver.Server
	log    string
}

func (b *bench) startDatabase(ctx context.Context, name string) (*database, error) {
	user, err := pgserver.Unprivileged()
	if err != nil {
		return nil, err
	}
	place, err := pgserver.Place(filepath.Join(b.root, name), pgserver.Elsewhere, user)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(place, 0o755); err != nil {
		return nil, err
	}
	log := slog.New(slog.DiscardHandler)
	binaries, err := pgserver.Find(ctx, pgserver.FindConfig{CacheDir: filepath.Join(place, "cache"), RunAs: user, Log: log})
	if err != nil {
		return nil, err
	}
	s, err := pgserver.Start(ctx, pgserver.Config{Home: pgserver.Home(place), Binaries: binaries, RunAs: user, Durable: true, Log: log})
	if err != nil {
		return nil, err
	}
	return &database{s, filepath.Join(pgserver.Home(place), "postgres.log")}, nil
}

// add makes a database and returns its address.
func (d *database) add(ctx context.Context, name string) (string, error) {
	return d.server.DSN(name), raw.Database(ctx, d.server.DSN(pgserver.Database), name)
}

// exec carries statements out in one of its databases.
func (d *database) exec(ctx context.Context, name string, statements ...string) (err error) {
	db, err := sql.Open("postgres", d.server.DSN(name))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for _, s := range statements {
		if _, err := db.ExecContext(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// sameEvents makes sure that what was recorded and what was done again left the same.
func (d *database) sameEvents(ctx context.Context, names ...string) (err error) {
	counts := make([]int, len(names))
	for i, name := range names {
		db, err := sql.Open("postgres", d.server.DSN(name))
		if err != nil {
			return err
		}
		err = db.QueryRowContext(ctx, `SELECT count(*) FROM run_events`).Scan(&counts[i])
		if err = errors.Join(err, db.Close()); err != nil {
			return err
		}
		if counts[i] != counts[0] {
			return fmt.Errorf("%s has %d events of runs, %s has %d", names[0], counts[0], name, counts[i])
		}
	}
	return nil
}

// copy makes a database like another one, which nobody may be connected to, and returns its address.
func (d *database) copy(ctx context.Context, from, name string) (string, error) {
	return d.server.DSN(name), d.exec(ctx, pgserver.Database, `CREATE DATABASE `+name+` TEMPLATE `+from)
}

func (d *database) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	return d.server.Stop(ctx)
}

// noWorker are the roles of a server whose tasks the bench carries out.
const noWorker = "api,relay,logs,projector,observer,intake,reconciler,keeper"

// startOn starts a server without a worker on a database.
func (b *bench) startOn(ctx context.Context, name, dsn string) (*server, error) {
	return b.startServer(ctx, name, "--roles", noWorker, "--database-url", dsn, "--encryption-key-file", filepath.Join(b.root, name+".key"))
}
