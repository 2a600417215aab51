//go:build unix && !linux

package pgserver

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// setDeathSignal does nothing: only Linux has parent-death signals.
func setDeathSignal(*syscall.SysProcAttr, syscall.Signal) {}

// isPostmaster tells whether pid is a live postgres on dataDir, which its command line names (see launch).
func isPostmaster(pid int, dataDir string) bool {
	out, err := exec.Command("ps", "-ww", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return false
	}
	program, arguments, found := strings.Cut(string(out), " -D ")
	return found && strings.HasSuffix(program, "/postgres") && strings.HasPrefix(arguments, dataDir+" ")
}
