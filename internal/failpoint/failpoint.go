// Package failpoint lets a test kill the program at a named point, the way power or an operator would: at once, with
// nothing flushed, closed or said. ARCHITECTURE.md lists the points beside the crash they stand for.
package failpoint

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// Env names the environment variable that arms one point of `gantry server`: "name", or "name:n" for the n-th passage.
const Env = "GANTRY_FAILPOINT"

// Points knows which point is armed. The nil value has none.
type Points struct {
	armed string
	left  atomic.Int64 // passages until it goes off
}

// Armed returns points with one armed as in Env, or nil for "".
func Armed(spec string) (*Points, error) {
	if spec == "" {
		return nil, nil
	}
	name, count, found := strings.Cut(spec, ":")
	n := 1
	if found {
		var err error
		if n, err = strconv.Atoi(count); err != nil || n < 1 {
			return nil, fmt.Errorf("%s %q: want name or name:n with n from 1", Env, spec)
		}
	}
	p := &Points{armed: name}
	p.left.Store(int64(n))
	return p, nil
}

// Hit kills this process if the point is armed and this is the passage it was armed for.
func (p *Points) Hit(name string) {
	if p == nil || p.armed != name || p.left.Add(-1) != 0 {
		return
	}
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Signal(syscall.SIGKILL)
	}
	select {} // the signal is on its way: nothing after this point may happen
}
