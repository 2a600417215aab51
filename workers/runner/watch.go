package runner

import "time"

// pollFile is watchFile without help of the kernel: a value every pause.
func pollFile(pause time.Duration) (written <-chan struct{}, stop func()) {
	c, quit, done := make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(pause)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				select {
				case c <- struct{}{}:
				default:
				}
			case <-quit:
				return
			}
		}
	}()
	return c, func() { close(quit); <-done }
}
