//go:build unix && !linux

package process

import "syscall"

// killTree ends a runner and its process group. Without /proc what left the group is not found; other systems than Linux
// are for development.
func killTree(runner int) error { return gone(syscall.Kill(-runner, syscall.SIGKILL)) }
