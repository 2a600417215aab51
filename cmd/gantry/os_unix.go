//go:build unix

package main

import (
	"os"
	"path/filepath"
	"syscall"
)

// lockExclusive takes the file's lock, which the system releases when this process ends, however it ends.
func lockExclusive(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}

// defaultDataDir is a folder of the system for root and of the user otherwise.
func defaultDataDir() string {
	if os.Geteuid() == 0 {
		return "/var/lib/gantry"
	}
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "gantry")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "gantry-data" // below the working folder: there is no better place
	}
	return filepath.Join(home, ".local", "share", "gantry")
}
