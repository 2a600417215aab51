package pgtest_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gantry.example/internal/pgtest"
)

// victimEnv makes a copy of this test binary wait in a test to be killed.
const victimEnv = "PGTEST_TEST_VICTIM"

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func exec1(t *testing.T, dsn, statement string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	db, err := sql.Open("postgres", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, statement)
	return err
}

func TestEachTestHasADatabaseOfItsOwn(t *testing.T) {
	t.Parallel()
	var first string
	for range 2 {
		t.Run("", func(t *testing.T) {
			dsn := pgtest.New(t)
			if dsn == first {
				t.Errorf("got %s twice", dsn)
			}
			first = dsn
			if err := exec1(t, dsn, `CREATE TABLE t ()`); err != nil {
				t.Error(err)
			}
		})
	}
	if err := exec1(t, first, `SELECT 1`); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("got %v from the database of an ended test, want that it does not exist", err)
	}
}

func TestADatabaseInUseIsDropped(t *testing.T) {
	t.Parallel()
	var dsn string
	t.Run("leaves a connection open", func(t *testing.T) {
		dsn = pgtest.New(t)
		db, err := sql.Open("postgres", dsn)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		if err := db.Ping(); err != nil {
			t.Fatal(err)
		}
		// Registered after New's, a cleanup runs before it; so this connection stays open past the drop.
		conn, err := sql.Open("postgres", dsn)
		if err != nil || conn.Ping() != nil {
			t.Fatal(err)
		}
	})
	if err := exec1(t, dsn, `SELECT 1`); err == nil {
		t.Error("got a database after its test, want it dropped")
	}
}

func TestTemplateIsPreparedOnce(t *testing.T) {
	t.Parallel()
	var prepared atomic.Int32
	prepare := func(dsn string) error {
		prepared.Add(1)
		// A pool left open, as a careless prepare does.
		db, err := sql.Open("postgres", dsn)
		if err != nil {
			return err
		}
		_, err = db.Exec(`CREATE TABLE t AS SELECT 1 AS n`)
		return err
	}
	name := t.Name() + time.Now().String() // fresh for -count, which keeps the server
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if err := exec1(t, pgtest.NewFrom(t, name, prepare), `INSERT INTO t VALUES (2)`); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got, want := prepared.Load(), int32(1); got != want {
		t.Errorf("got %d preparations, want %d", got, want)
	}
}

func TestAFailedPreparationIsDoneAgain(t *testing.T) {
	t.Parallel()
	name := t.Name() + time.Now().String()
	recorder := &fatal{TB: t}
	func() {
		defer func() { _ = recover() }()
		pgtest.NewFrom(recorder, name, func(dsn string) error {
			return errors.Join(exec1(t, dsn, `CREATE TABLE half ()`), errors.New("broken migration"))
		})
	}()
	if !strings.Contains(recorder.message, "broken migration") {
		t.Errorf("got message %q, want the error of prepare", recorder.message)
	}
	dsn := pgtest.NewFrom(t, name, func(dsn string) error { return exec1(t, dsn, `CREATE TABLE half ()`) })
	if err := exec1(t, dsn, `SELECT FROM half`); err != nil {
		t.Error(err)
	}
}

// fatal records the message of Fatalf instead of ending the test.
type fatal struct {
	testing.TB
	message string
}

func (f *fatal) Fatalf(_ string, args ...any) {
	for _, arg := range args {
		if err, ok := arg.(error); ok {
			f.message = err.Error()
		}
	}
	panic("stop here")
}

// TestVictim is not a test but the other half of the next one.
func TestVictim(t *testing.T) {
	if os.Getenv(victimEnv) == "" {
		t.Skip("nothing by itself: TestAKilledTestBinaryLeavesNothing starts it as a process of its own")
	}
	address, err := url.Parse(pgtest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	os.Stdout.WriteString("socket " + address.Query().Get("host") + "\n")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func TestAKilledTestBinaryLeavesNothing(t *testing.T) {
	t.Parallel()
	temp, err := os.MkdirTemp("", "pgtest-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(temp) })
	if err := os.Chmod(temp, 0o711); err != nil {
		t.Fatal(err)
	}
	killed := startVictim(t, temp)
	if err := killed.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = killed.cmd.Wait()
	age(t, temp)

	// The next test binary with the same temporary folder cleans up, and what it uses itself is gone when it ends.
	second := startVictim(t, temp)
	if _, err := os.Stat(killed.socket); !os.IsNotExist(err) {
		t.Errorf("got %v for the folder of the killed one, want it removed", err)
	}
	if _, err := os.Stat(second.socket); err != nil {
		t.Errorf("got %v for the folder in use, want it there", err)
	}
	age(t, temp)
	third := startVictim(t, temp) // must leave alone what the second uses
	if _, err := os.Stat(filepath.Join(second.socket, ".s.PGSQL.5432")); err != nil {
		t.Errorf("got %v for the socket in use, want it there", err)
	}
	for _, v := range []victim{second, third} {
		if err := errors.Join(v.stdin.Close(), v.cmd.Wait()); err != nil {
			t.Error(err)
		}
	}
	left, err := os.ReadDir(temp)
	if err != nil || len(left) != 0 {
		t.Errorf("got %v, %v left, want nothing", left, err)
	}
}

// age makes the folders in temp look old enough to be swept.
func age(t *testing.T, temp string) {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(temp, "*"))
	if err != nil || len(dirs) != 1 {
		t.Fatalf("got %v, %v in %s, want one folder", dirs, err, temp)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(dirs[0], old, old); err != nil {
		t.Fatal(err)
	}
}

// victim is a copy of this test binary that waits for the end of its input.
type victim struct {
	cmd    *exec.Cmd
	stdin  io.Closer
	socket string
}

func startVictim(t *testing.T, temp string) victim {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestVictim$")
	cmd.Env = append(os.Environ(), victimEnv+"=1", "TMPDIR="+temp, pgtest.EnvDSN+"=")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "socket ") {
		t.Fatalf("got %q, %v from the victim, want its socket", line, err)
	}
	return victim{cmd: cmd, stdin: stdin, socket: strings.TrimSpace(strings.TrimPrefix(line, "socket "))}
}
