package pgserver

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

func setDeathSignal(attr *syscall.SysProcAttr, signal syscall.Signal) { attr.Pdeathsig = signal }

// isPostmaster tells whether pid is a live postgres on dataDir, which is then its working directory. A process we may
// not look at runs as another user, so it is not ours.
func isPostmaster(pid int, dataDir string) bool {
	proc := fmt.Sprintf("/proc/%d/", pid)
	program, err := os.Readlink(proc + "exe")
	if err != nil {
		return false
	}
	// An upgrade of the package meanwhile shows as "postgres (deleted)".
	name := strings.TrimSuffix(filepath.Base(program), " (deleted)")
	if name != "postgres" && name != "postmaster" {
		return false
	}
	cwd, err := os.Stat(proc + "cwd")
	if err != nil {
		return false
	}
	data, err := os.Stat(dataDir)
	return err == nil && os.SameFile(cwd, data)
}
