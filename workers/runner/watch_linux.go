package runner

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// watchFile returns a channel that gets a value soon after the file at path was written to; one value may stand for many
// writes. stop waits until the watching has ended.
func watchFile(path string) (written <-chan struct{}, stop func()) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return pollFile(watchFallback)
	}
	events := os.NewFile(uintptr(fd), "inotify")
	if _, err := unix.InotifyAddWatch(fd, path, unix.IN_MODIFY); err != nil {
		_ = events.Close()
		return pollFile(watchFallback)
	}
	c, quit, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 4096)
		for {
			if _, err := events.Read(buf); err != nil {
				return // stopped
			}
			select { // not read on before somebody wants to know: the kernel makes one event of many writes
			case c <- struct{}{}:
			case <-quit:
				return
			}
		}
	}()
	return c, func() { close(quit); _ = events.Close(); <-done }
}

// watchFallback is the pause between looks where the kernel does not tell: its watches are limited.
const watchFallback = 25 * time.Millisecond
