package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"gantry.example/internal/pgserver"
	"gantry.example/test/bench/raw"
	"gantry.example/test/bench/replay"
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
func (d *database) exec(ctx context.Context, name string, statements ...string) error {
	return replay.Exec(ctx, d.server.DSN(name), statements...)
}

// sameEvents makes sure that what was recorded and what was done again left the same.
func (d *database) sameEvents(ctx context.Context, recorded, again string) error {
	const events = `SELECT count(*) FROM run_events`
	want, err := replay.Count(ctx, d.server.DSN(recorded), events)
	if err != nil {
		return err
	}
	got, err := replay.Count(ctx, d.server.DSN(again), events)
	if err == nil && got != want {
		err = fmt.Errorf("done again, there are %d events of runs, want %d", got, want)
	}
	return err
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
