package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// killTree ends a runner and everything it started. The runner is stopped first, so that it starts nothing more and, as
// the subreaper of its descendants, keeps them in sight while they are killed.
func killTree(runner int) error {
	if err := gone(syscall.Kill(runner, syscall.SIGSTOP)); err != nil {
		return fmt.Errorf("stop runner %d: %w", runner, err)
	}
	var problems error
	for range 100 { // a fork may slip through a round, never through many
		pids, err := descendants(runner)
		problems = err
		if err != nil || len(pids) == 0 {
			break
		}
		for _, pid := range pids {
			if err := gone(syscall.Kill(pid, syscall.SIGKILL)); err != nil {
				problems = fmt.Errorf("kill process %d: %w", pid, err)
			}
		}
	}
	return errors.Join(problems, gone(syscall.Kill(runner, syscall.SIGKILL)))
}

// descendants lists the living processes that descend from the runner or belong to its session.
func descendants(runner int) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	parents := map[int]int{}
	sessions := map[int]int{}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if parent, session, alive := lineage(pid); alive {
			parents[pid], sessions[pid] = parent, session
		}
	}
	var pids []int
	for pid := range parents {
		if pid != runner && (sessions[pid] == runner || descends(parents, pid, runner)) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

func descends(parents map[int]int, pid, from int) bool {
	for range len(parents) { // bounded, because pids reused during the scan could close a circle
		parent, ok := parents[pid]
		if !ok {
			return false
		}
		if parent == from {
			return true
		}
		pid = parent
	}
	return false
}

// lineage reads /proc/<pid>/stat: "pid (name) state parent group session …", where the name may hold anything. Zombies are
// not alive.
func lineage(pid int) (parent, session int, alive bool) {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, 0, false
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 4 || fields[0][0] == 'Z' || fields[0][0] == 'X' {
		return 0, 0, false
	}
	parent, err = strconv.Atoi(string(fields[1]))
	if err != nil {
		return 0, 0, false
	}
	session, err = strconv.Atoi(string(fields[3]))
	return parent, session, err == nil
}
