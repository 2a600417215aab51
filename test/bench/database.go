package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"

	"gantry.example/internal/pgserver"
	"gantry.example/test/bench/raw"
)

// database is a Postgres that several sides share, each with a database of its own. It is as durable as the private one of a
// server.
type database struct{ server *pgserver.Server }

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
	return &database{s}, nil
}

// add makes a database and returns its address.
func (d *database) add(ctx context.Context, name string) (string, error) {
	return d.server.DSN(name), raw.Database(ctx, d.server.DSN(pgserver.Database), name)
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
