package pgserver

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// Gantry's server does not run on Windows; its CLI, in the same program, does. Start fails at the lock.

func owner(fs.FileInfo) (uid, gid int) { return 0, 0 }

func lockFile(string) (*os.File, error) {
	return nil, errors.New("a private PostgreSQL needs Linux or macOS: give --database-url")
}

func unlockFile(*os.File) error { return nil }

func childAttr(*User, syscall.Signal) *syscall.SysProcAttr { return nil }

func isPostmaster(int, string) bool { return false }
