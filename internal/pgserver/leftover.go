package pgserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clearLeftovers makes the data folder free for a new postmaster. The caller holds the lock of the home, so a
// postmaster that still runs there belongs to a Gantry that died, and is stopped. A pid file that names a dead process,
// another program or the postmaster of another folder is removed: Postgres itself would refuse to start
// when that process exists and runs as the same user. The same holds for the lock file of the socket.
func (s *Server) clearLeftovers(ctx context.Context) error {
	path := filepath.Join(s.data, "postmaster.pid")
	pid, err := readPID(path)
	if err != nil {
		return err
	}
	if pid != 0 && isPostmaster(pid, s.data) {
		s.cfg.Log.Info("stopping the PostgreSQL that a killed Gantry left behind", "pid", pid)
		if err := stopLeftover(ctx, pid, s.data); err != nil {
			return err
		}
	}
	for _, stale := range []string{path, filepath.Join(s.socket, socketName), filepath.Join(s.socket, socketName+".lock")} {
		if err := os.Remove(stale); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// readPID returns the number in the first line; 0 when there is no file, or one that was only half written.
func readPID(path string) (int, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || pid < 1 {
		return 0, nil
	}
	return pid, nil
}

// stopLeftover asks nicely, then firmly, then kills. It is not our child, so its end can only be polled for.
func stopLeftover(ctx context.Context, pid int, dataDir string) error {
	process, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	defer func() { _ = process.Release() }() // it only frees memory
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL} {
		if err := process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("stop the PostgreSQL left behind in %s (pid %d): %w", dataDir, pid, err)
		}
		gone, err := pollGone(ctx, pid, dataDir, patience(signal))
		if err != nil || gone {
			return err
		}
	}
	return fmt.Errorf("the PostgreSQL left behind in %s (pid %d) does not stop: end that process", dataDir, pid)
}

func pollGone(ctx context.Context, pid int, dataDir string, limit time.Duration) (bool, error) {
	timeout := time.After(limit)
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for isPostmaster(pid, dataDir) {
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-timeout:
			return false, nil
		case <-ticker.C:
		}
	}
	return true, nil
}

// patience is how long a postmaster gets to obey: SIGINT is a fast shutdown, which writes everything to disk first,
// SIGQUIT an immediate one, which leaves that to the next start.
func patience(signal syscall.Signal) time.Duration {
	if signal == syscall.SIGINT {
		return 30 * time.Second
	}
	return 5 * time.Second
}
