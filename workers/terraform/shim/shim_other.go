//go:build unix && !linux

package shim

import (
	"errors"

	"golang.org/x/sys/unix"
)

// clearParentDeathSignal has nothing to do: only Linux has such a signal.
func clearParentDeathSignal() error { return nil }

func dup(from, to int) error { return unix.Dup2(from, to) }

func lowerPriority() error { return unix.Setpriority(unix.PRIO_PROCESS, 0, 19) }

func become(int, int) error { return errors.ErrUnsupported }
