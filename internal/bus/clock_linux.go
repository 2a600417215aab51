package bus

import (
	"time"

	"golang.org/x/sys/unix"
)

// bootTime is the time since boot including suspension, which Go's monotonic clock leaves out.
func bootTime() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil { // kernels before 2.6.39
		return 0
	}
	return time.Duration(ts.Nano())
}
