package bus

import "time"

// instant is a moment on every clock there is. A lease must not look alive because one clock stood still: the monotonic one
// stops while the machine is suspended, all but the wall clock may stop while a virtual machine is frozen, and the wall
// clock can be set back.
type instant struct {
	at   time.Time // wall and monotonic reading
	boot time.Duration
}

func now() instant { return instant{at: time.Now(), boot: bootTime()} }

// age is the time since i on the clock that says most.
func (i instant) age() time.Duration {
	n := now()
	return max(n.at.Sub(i.at), n.at.Round(0).Sub(i.at.Round(0)), n.boot-i.boot)
}
