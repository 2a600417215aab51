package shim

import "golang.org/x/sys/unix"

func clearParentDeathSignal() error { return unix.Prctl(unix.PR_SET_PDEATHSIG, 0, 0, 0, 0) }

func dup(from, to int) error { return unix.Dup3(from, to, 0) }

// lowerPriority makes the calling thread, and what it executes, yield to everything else.
func lowerPriority() error { return unix.Setpriority(unix.PRIO_PROCESS, 0, 19) }
