// Package failpoint lets a test kill the program at a named point, the way power or an operator would: at once, with
// nothing flushed, closed or said. ARCHITECTURE.md lists the points beside the crash they stand for.
package failpoint

import (
	"os"
	"syscall"
)

// Env names the environment variable that arms one point of `gantry server`.
const Env = "GANTRY_FAILPOINT"

// Points knows which point is armed. The nil value has none.
type Points struct{ armed string }

// Armed returns points with the named one armed, or nil for "".
func Armed(name string) *Points {
	if name == "" {
		return nil
	}
	return &Points{armed: name}
}

// Hit kills this process if the point is armed.
func (p *Points) Hit(name string) {
	if p == nil || p.armed != name {
		return
	}
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Signal(syscall.SIGKILL)
	}
	select {} // the signal is on its way: nothing after this point may happen
}
