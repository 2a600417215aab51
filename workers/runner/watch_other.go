//go:build unix && !linux

package runner

import "time"

// watchFile returns a channel that gets a value now and then: there is no inotify here.
func watchFile(string) (written <-chan struct{}, stop func()) { return pollFile(25 * time.Millisecond) }
