package shim

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

func clearParentDeathSignal() error { return unix.Prctl(unix.PR_SET_PDEATHSIG, 0, 0, 0, 0) }

func dup(from, to int) error { return unix.Dup3(from, to, 0) }

// lowerPriority makes the calling thread, and what it executes, yield to everything else.
func lowerPriority() error { return unix.Setpriority(unix.PRIO_PROCESS, 0, 19) }

// become gives up every right of the process but those of the user, for good: not even a set-uid program gives any back.
func become(uid, gid int) error {
	if err := errors.Join(syscall.Setgroups(nil), syscall.Setresgid(gid, gid, gid), syscall.Setresuid(uid, uid, uid)); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
}
