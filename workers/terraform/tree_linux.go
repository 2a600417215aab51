package terraform

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// BecomeSubreaper makes orphans among this process's descendants its own children instead of init's, so that Close finds
// them. It is for a process that serves one attempt.
func BecomeSubreaper() error { return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }

// KillTree sends SIGKILL to every process of the attempt whose private folder is dir, and returns when there is none left.
// Such a process is known by the folder's path in its environment, or by descending from one that is; with ownChildren, also
// by descending from this process. Any process may call it: it is how an engine that outlived its runner is ended.
func KillTree(dir string, ownChildren bool) error {
	if ownChildren && childless() {
		return nil // and so is everything we started: we are its subreaper
	}
	for range 100 { // a fork may slip through a round, never through many
		pids, err := members(dir, ownChildren)
		if err != nil || len(pids) == 0 {
			return err
		}
		for _, pid := range pids {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("kill process %d of the attempt: %w", pid, err)
			}
		}
	}
	return errors.New("processes of the attempt are still there after 100 rounds of SIGKILL")
}

// childless reports whether this process has no children, dead or alive; false if that cannot be told. It costs one call of the
// kernel, which answers for all threads and waits for nobody, unlike a look at all processes.
func childless() bool {
	err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT|unix.WALL, nil)
	return errors.Is(err, unix.ECHILD)
}

// Alive reports whether a process of the attempt whose private folder is dir is running.
func Alive(dir string) (bool, error) {
	pids, err := members(dir, false)
	return len(pids) > 0, err
}

// EngineAlive reports whether the engine of the attempt is running, which may have a state to save. What it started does not
// count.
func EngineAlive(dir string) (bool, error) {
	pids, err := engines(dir)
	return len(pids) > 0, err
}

// Interrupt sends one SIGINT to the engine of the attempt whose private folder is dir. It is for whoever finds an engine that
// outlived its runner; the engine takes a second one for a kill.
func Interrupt(dir string) error {
	pids, err := engines(dir)
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGINT); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("interrupt process %d of the attempt: %w", pid, err)
		}
	}
	return nil
}

// engines lists the processes of the attempt that the shim became, as it names them; a script shows after its interpreter.
// Those that the engine starts under its own name, as provider plugins of itself, are not among them.
func engines(dir string) ([]int, error) {
	spec, err := readSpec(dir)
	if err != nil || spec.Engine == "" {
		return nil, err
	}
	pids, err := members(dir, false)
	if err != nil {
		return nil, err
	}
	var found []int
	for _, pid := range pids {
		cmdline, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline")) // gone is not alive
		args := strings.Split(string(cmdline), "\x00")
		parent, alive := parentOf(pid)
		if alive && !slices.Contains(pids, parent) && slices.Contains(args[:min(len(args), 2)], spec.Engine) {
			found = append(found, pid)
		}
	}
	return found, nil
}

// members lists the living processes of the attempt.
func members(dir string, ownChildren bool) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	self, marker := os.Getpid(), []byte("="+filepath.Clean(dir)+"/")
	parents, found := map[int]int{}, map[int]bool{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == self {
			continue
		}
		parent, alive := parentOf(pid)
		if !alive {
			continue
		}
		parents[pid] = parent
		environ, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "environ")) // another user's is not ours
		found[pid] = bytes.Contains(environ, marker) || ownChildren && parent == self
	}
	var pids []int
	for pid := range parents {
		at := pid
		for range len(parents) { // bounded, because pids reused during the scan could close a circle
			if found[at] {
				pids = append(pids, pid)
				break
			}
			parent, ok := parents[at]
			if !ok {
				break
			}
			at = parent
		}
	}
	return pids, nil
}

// parentOf reads /proc/<pid>/stat: "pid (name) state parent …", where the name may hold anything. Zombies are not alive.
func parentOf(pid int) (parent int, alive bool) {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, false
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 2 || fields[0][0] == 'Z' || fields[0][0] == 'X' {
		return 0, false
	}
	parent, err = strconv.Atoi(string(fields[1]))
	return parent, err == nil
}
