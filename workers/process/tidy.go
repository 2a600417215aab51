package process

import "time"

// Tidy removes the folders that nobody came for in time. Where space is short it also removes what is only kept for a while:
// folders that plans prepared (their applies then start cold), and those of attempts whose runner is gone and that have
// nothing for the server. What a living runner has, what was not delivered, and kept states stay. It may be called from any
// goroutine.
func (e *Executor) Tidy(short bool) {
	if !short {
		e.sweep(time.Now())
		return
	}
	e.sweeping.Lock()
	defer e.sweeping.Unlock()
	e.removeWork(time.Now())
	for _, a := range e.over(time.Now()) {
		if a.folder.reported() && !a.folder.undelivered() && !a.folder.held() {
			e.forget(a)
		}
	}
}
