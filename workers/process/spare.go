package process

import (
	"time"
)

// A runner that cannot be started, or ends while idle, is started again after these pauses.
const (
	minRespawn = 100 * time.Millisecond
	maxRespawn = 30 * time.Second
)

// keepSpare has an idle runner ready at all times, so that starting an attempt costs no process start, and ends it when the
// executor is closed. An attempt that comes while there is none starts its own.
func (e *Executor) keepSpare() {
	pause := minRespawn
	for e.ctx.Err() == nil {
		c, err := e.spawn()
		if err != nil {
			e.log.Error("no runner can be started ahead of need", "error", err)
			e.sleep(pause)
			pause = min(2*pause, maxRespawn)
			continue
		}
		select {
		case e.spares <- c:
			pause = minRespawn
			continue
		case <-c.exited:
			e.log.Warn("the idle runner ended, starting another", "exit_code", c.code)
		case <-e.ctx.Done():
		}
		if err := c.kill(); err != nil {
			e.log.Warn("the idle runner was not put away", "error", err)
		}
		e.sleep(pause)
		pause = min(2*pause, maxRespawn)
	}
}

// sleep waits for d or Close.
func (e *Executor) sleep(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-e.ctx.Done():
	}
}
