// Package pgtest gives tests a real Postgres: one server per test binary, one database per test.
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
//
//	func TestX(t *testing.T) {
//		t.Parallel()
//		db := sqlx.MustConnect("postgres", pgtest.New(t))
//
// The server is private, in a temporary folder, not durable, and dies with the test binary. To use another one, for
// example to look at what a failed test left, set GANTRY_PGTEST_DSN to the URL of a superuser on it.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gantry.example/internal/pgserver"
)

const (
	// EnvDSN holds the URL of the server that New uses; Main sets it.
	EnvDSN = "GANTRY_PGTEST_DSN"

	tempPrefix   = "gantry-pgtest-"
	startTimeout = 2 * time.Minute // a download of Postgres included
	stopTimeout  = 5 * time.Second
)

// Main runs the tests of a package with a Postgres, and returns the exit code for TestMain to pass to os.Exit. With
// EnvDSN set it starts none.
func Main(m *testing.M) int {
	if os.Getenv(EnvDSN) != "" {
		return m.Run()
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	stop, err := start(log)
	if err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
		return 1
	}
	code := m.Run()
	if err := stop(); err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
		return max(code, 1)
	}
	return code
}

// start returns how to stop the server, whose address is then in the environment.
func start(log *slog.Logger) (stop func() error, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := sweep(ctx, log); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", tempPrefix)
	if err != nil {
		return nil, err
	}
	server, err := startIn(ctx, dir, log)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		return errors.Join(server.Stop(ctx), os.RemoveAll(dir))
	}, os.Setenv(EnvDSN, server.DSN(pgserver.Database))
}

func startIn(ctx context.Context, dir string, log *slog.Logger) (*pgserver.Server, error) {
	// Postgres runs as another user when the tests run as root, and must get through.
	if err := os.Chmod(dir, 0o711); err != nil {
		return nil, err
	}
	user, err := pgserver.Unprivileged()
	if err != nil {
		return nil, err
	}
	cache, err := cacheDir(user)
	if err != nil {
		return nil, err
	}
	binaries, err := pgserver.Find(ctx, pgserver.FindConfig{CacheDir: cache, RunAs: user, Log: log})
	if err != nil {
		return nil, err
	}
	return pgserver.Start(ctx, pgserver.Config{
		Home: pgserver.Home(dir), Binaries: binaries, RunAs: user, DieWithParent: true, Log: log,
	})
}

// cacheDir is where a downloaded Postgres is kept between runs, on machines that have none installed.
func cacheDir(user *pgserver.User) (string, error) {
	if user != nil {
		return filepath.Join(pgserver.Elsewhere, "cache"), nil // root's own cache folder is closed to that user
	}
	base, err := os.UserCacheDir()
	return filepath.Join(base, "gantry"), err
}

// sweep removes what killed test binaries left in the temporary folder, and stops their Postgres where the kernel
// could not (macOS). A home whose lock is taken is that of tests that run now, and so may be a young one.
func sweep(ctx context.Context, log *slog.Logger) error {
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), tempPrefix+"*"))
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		info, err := os.Stat(dir)
		if err != nil || time.Since(info.ModTime()) < startTimeout {
			continue
		}
		err = pgserver.Discard(ctx, pgserver.Home(dir), log)
		switch {
		case errors.Is(err, pgserver.ErrInUse), errors.Is(err, os.ErrNotExist), errors.Is(err, os.ErrPermission):
			// In use, only just being made, or another person's.
		case err != nil:
			return err
		default:
			if err := os.RemoveAll(dir); err != nil {
				return err
			}
		}
	}
	return nil
}
