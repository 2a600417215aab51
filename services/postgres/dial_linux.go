package postgres

import (
	"errors"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// boundAcks has the system end a connection whose host does not acknowledge what was sent within ackWithin, or acknowledges it but has
// no room for more as long as that, because who is connected takes nothing.
func boundAcks(network, _ string, c syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	var set error
	err := c.Control(func(fd uintptr) {
		set = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(ackWithin.Milliseconds()))
	})
	return errors.Join(err, set)
}
