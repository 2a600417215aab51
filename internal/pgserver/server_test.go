//go:build unix

package pgserver_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gantry.example/internal/pgserver"
)

// startEnv makes TestMain, in a copy of the test binary, be a Gantry that gets killed.
const startEnv = "PGSERVER_TEST_START"

func TestMain(m *testing.M) {
	if home := os.Getenv(startEnv); home != "" {
		os.Exit(runVictim(home))
	}
	os.Exit(m.Run())
}

// runVictim starts a server, says so on stdout, and waits to be killed.
func runVictim(home string) int {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	bins, err := pgserver.Find(context.Background(), pgserver.FindConfig{Log: log})
	if err == nil {
		_, err = pgserver.Start(context.Background(), pgserver.Config{
			Home: home, Binaries: bins, Log: log, DieWithParent: os.Getenv("PGSERVER_TEST_DIE") != "",
		})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

// startVictim returns when the victim's server is ready. Killing the victim is up to the caller.
func startVictim(t *testing.T, home string, env ...string) *exec.Cmd {
	t.Helper()
	victim := exec.Command(os.Args[0])
	victim.Env = append(append(os.Environ(), startEnv+"="+home), env...)
	victim.Stderr = os.Stderr
	// Held open until the victim is killed: it would end by itself at the end of its input.
	if _, err := victim.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("got %q, %v from the victim, want ready", line, err)
	}
	return victim
}

func kill9(t *testing.T, victim *exec.Cmd) {
	t.Helper()
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = victim.Wait() // says that it was killed
}

// testContext ends every wait of a test.
func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// newHome returns the home for a server in a folder that its user can enter (t.TempDir is 0700 below a 0700 parent).
func newHome(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgserver-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// Also stops what a failed test left running.
		if err := pgserver.Discard(context.Background(), pgserver.Home(dir), testLog(t)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
		_ = os.RemoveAll(dir)
	})
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return pgserver.Home(dir)
}

func findBinaries(t *testing.T) pgserver.Binaries {
	t.Helper()
	user, err := pgserver.Unprivileged()
	if err != nil {
		t.Fatal(err)
	}
	bins, err := pgserver.Find(testContext(t), pgserver.FindConfig{RunAs: user, Log: testLog(t), CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return bins
}

func testLog(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func start(t *testing.T, home string) *pgserver.Server {
	t.Helper()
	server, err := pgserver.Start(testContext(t), pgserver.Config{
		Home: home, Binaries: findBinaries(t), Durable: true, Log: testLog(t), DieWithParent: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, server) })
	return server
}

func stop(t *testing.T, server *pgserver.Server) {
	t.Helper()
	// Not testContext: inside of a cleanup no other cleanup may be registered.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := server.Stop(ctx); err != nil {
		t.Errorf("stop: %v", err)
	}
}

func open(t *testing.T, server *pgserver.Server) *sql.DB {
	t.Helper()
	db, err := sql.Open("postgres", server.DSN(pgserver.Database))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func execSQL(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.ExecContext(testContext(t), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func query(t *testing.T, db *sql.DB, statement string) string {
	t.Helper()
	var value string
	if err := db.QueryRowContext(testContext(t), statement).Scan(&value); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	return value
}

func postmasterPID(t *testing.T, home string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(home, "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(line)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// waitFor polls for what gives no signal.
func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx := testContext(t)
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			t.Fatalf("still waiting for: %s", what)
		case <-ticker.C:
		}
	}
}

func TestStartMakesAServerThatOutlivesAStop(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	server := start(t, home)
	db := open(t, server)
	execSQL(t, db, `CREATE TABLE kept AS SELECT 'ä→🚀' AS word`)
	if got, want := query(t, db, `SHOW listen_addresses`), ""; got != want {
		t.Errorf("got listen_addresses %q, want none", got)
	}
	for setting, want := range map[string]string{
		"server_encoding": "UTF8", "fsync": "on", "max_connections": "200", "data_checksums": "on",
	} {
		if got := query(t, db, `SHOW `+setting); got != want {
			t.Errorf("got %s %q, want %q", setting, got, want)
		}
	}
	pid := postmasterPID(t, home)
	if group, err := syscall.Getpgid(pid); err != nil || group != pid {
		t.Errorf("got process group %d, %v, want the postmaster's own (%d), which Ctrl-C does not reach", group, err, pid)
	}
	dsn := server.DSN("x")
	stop(t, server)
	stop(t, server)

	began := time.Now()
	again := start(t, home)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("a warm start took %s, want about a fifth of a second", took)
	} else {
		t.Logf("warm start: %s", took)
	}
	if got := again.DSN("x"); got != dsn {
		t.Errorf("got DSN %q after a restart, want %q", got, dsn)
	}
	if got, want := query(t, open(t, again), `SELECT word FROM kept`), "ä→🚀"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestStartRefusesAHomeInUse(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	start(t, home)
	_, err := pgserver.Start(testContext(t), pgserver.Config{Home: home, Binaries: findBinaries(t), Log: testLog(t)})
	if !errors.Is(err, pgserver.ErrInUse) {
		t.Errorf("got error %v, want ErrInUse", err)
	}
}

func TestStopIsBoundedAndHurries(t *testing.T) {
	t.Parallel()
	server := start(t, newHome(t))
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	began := time.Now()
	if err := server.Stop(ended); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("stop in a hurry took %s", took)
	}
}

func TestAKilledPostmasterIsStartedAgain(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	db := open(t, start(t, home))
	execSQL(t, db, `CREATE TABLE kept AS SELECT 'safe' AS word`)
	for range 2 {
		pid := postmasterPID(t, home)
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		// Not until the old one is gone from the file: a connection of its may answer a last time.
		waitFor(t, "another postmaster", func() bool {
			text, err := os.ReadFile(filepath.Join(home, "data", "postmaster.pid"))
			return err == nil && len(text) > 0 && !strings.HasPrefix(string(text), fmt.Sprintf("%d\n", pid))
		})
		waitFor(t, "an answer", func() bool { return db.PingContext(testContext(t)) == nil })
	}
	if got, want := query(t, db, `SELECT word FROM kept`), "safe"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLongPathsGetAShortSocketFolder(t *testing.T) {
	t.Parallel()
	home := filepath.Join(newHome(t), strings.Repeat("long-", 20), `with a space, a comma and a "quote"`, "postgres")
	db := open(t, start(t, home))
	if got := query(t, db, `SHOW unix_socket_directories`); len(strings.Trim(got, `"`)) > 80 {
		t.Errorf("got socket folder %s, want a short one", got)
	}
	spaced := filepath.Join(filepath.Dir(newHome(t)), `a b, "c`, "postgres")
	if got := query(t, open(t, start(t, spaced)), `SELECT 'ok'`); got != "ok" {
		t.Errorf("got %q, want ok", got)
	}
}
