//go:build unix

package pgserver_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"gantry.example/internal/pgserver"
)

func TestTheNextGantryTakesOverFromAKilledOne(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	victim := startVictim(t, home)
	left := postmasterPID(t, home)
	kill9(t, victim)
	if err := syscall.Kill(left, 0); err != nil {
		t.Fatalf("the postmaster is gone with its Gantry (%v), so there is nothing to take over", err)
	}
	db := open(t, start(t, home))
	if got, want := query(t, db, `SELECT 'up'`), "up"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if now := postmasterPID(t, home); now == left {
		t.Errorf("got the old postmaster %d, want one of this process", now)
	}
}

func TestDieWithParent(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED, THE END OF POSTGRES WITH ITS PARENT IS NOT TESTED: only Linux has parent-death signals; run it on Linux")
	}
	home := newHome(t)
	victim := startVictim(t, home, "PGSERVER_TEST_DIE=1")
	pid := postmasterPID(t, home)
	kill9(t, victim)
	waitFor(t, "the end of the postmaster", func() bool { return !runs(pid) })
}

// runs tells whether the process lives; a zombie does not (its new parent may be slow to collect it).
func runs(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func TestGantryAndPostgresKilledTogether(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	victim := startVictim(t, home)
	pid := postmasterPID(t, home)
	kill9(t, victim)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if got, want := query(t, open(t, start(t, home)), `SELECT 'up'`), "up"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestStalePIDFiles(t *testing.T) {
	t.Parallel()
	otherHome := newHome(t)
	start(t, otherHome)
	bystander := sleepAsPostgresUser(t)
	for name, content := range map[string]string{
		"dead":                     "4194304\n",
		"of a program":             fmt.Sprintf("%d\n", bystander.pid),
		"of another data folder":   fmt.Sprintf("%d\n", postmasterPID(t, otherHome)),
		"empty":                    "",
		"not a number":             "half-writ",
		"of the process group (0)": "0\n",
	} {
		t.Run(name, func(t *testing.T) {
			home := newHome(t)
			server := start(t, home)
			stop(t, server)
			if err := os.MkdirAll(filepath.Join(home, "run"), 0o700); err != nil {
				t.Fatal(err)
			}
			for _, path := range []string{"data/postmaster.pid", "run/.s.PGSQL.5432.lock"} {
				if err := os.WriteFile(filepath.Join(home, path), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if got, want := query(t, open(t, start(t, home)), `SELECT 'up'`), "up"; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	if syscall.Kill(postmasterPID(t, otherHome), 0) != nil || !bystander.alive() {
		t.Error("a process that is none of this home's was stopped")
	}
}

// sleepAsPostgresUser returns a live process of the user that Postgres runs as: for one of another user, Postgres
// itself knows that the pid file is stale.
func sleepAsPostgresUser(t *testing.T) sleeper {
	t.Helper()
	user, err := pgserver.Unprivileged()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sleep", "300")
	if user != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(user.UID), Gid: uint32(user.GID)}}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	return sleeper{pid: cmd.Process.Pid, ended: ended}
}

type sleeper struct {
	pid   int
	ended chan struct{}
}

func (s sleeper) alive() bool {
	select {
	case <-s.ended:
		return false
	default:
		return true
	}
}

func TestAnInterruptedInitdbIsDoneAgain(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	half := filepath.Join(home, "init-123456")
	if err := os.MkdirAll(filepath.Join(half, "base"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(half, "PG_VERSION"), []byte("15\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, home)
	if _, err := os.Stat(half); !os.IsNotExist(err) {
		t.Errorf("got %v for the unfinished folder, want it removed", err)
	}
}

func TestAGantryKilledDuringInitdb(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	victim := exec.Command(os.Args[0])
	victim.Env = append(os.Environ(), startEnv+"="+home)
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "an initdb that has begun", func() bool {
		files, err := filepath.Glob(filepath.Join(home, "init-*", "base"))
		return err == nil && len(files) == 1
	})
	kill9(t, victim)
	if got, want := query(t, open(t, start(t, home)), `SELECT 'up'`), "up"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestErrorsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	bins := findBinaries(t)
	home := newHome(t)
	stop(t, start(t, home))
	version := filepath.Join(home, "data", "PG_VERSION")
	startError := func() string {
		server, err := pgserver.Start(testContext(t), pgserver.Config{Home: home, Binaries: bins, Log: testLog(t)})
		if err == nil {
			stop(t, server)
			t.Fatal("got no error, want one")
		}
		return err.Error()
	}
	assertContains := func(got string, wants ...string) {
		t.Helper()
		for _, want := range wants {
			if !strings.Contains(got, want) {
				t.Errorf("got error %q, want it to contain %q", got, want)
			}
		}
	}

	if err := os.WriteFile(version, []byte("12\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	assertContains(startError(), "made by PostgreSQL 12", bins.Dir, "apt-get install postgresql-12")
	if got, err := pgserver.Major(home); got != 12 || err != nil {
		t.Errorf("got major %d, %v, want 12", got, err)
	}
	if err := os.WriteFile(version, []byte(fmt.Sprintf("%d\n", bins.Major)), 0o600); err != nil {
		t.Fatal(err)
	}

	if err := os.WriteFile(filepath.Join(home, "data", "postgresql.conf"), []byte("shared_buffers = lots\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	assertContains(startError(), "postgres did not start", "shared_buffers", "postgres.log")

	if err := os.Remove(version); err != nil {
		t.Fatal(err)
	}
	assertContains(startError(), "not a PostgreSQL data folder")
}
