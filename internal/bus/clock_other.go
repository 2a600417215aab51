//go:build !linux

package bus

import "time"

// bootTime has no portable source; the wall clock covers suspension here.
func bootTime() time.Duration { return 0 }
