package pgserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
)

// Discard removes a home and all of its data, stopping a Postgres that a killed process left running in it. The error
// is ErrInUse when a live process uses the home, fs.ErrNotExist when there is none. A home that is only just being made
// must not be passed: its lock is not taken yet.
func Discard(ctx context.Context, home string, log *slog.Logger) error {
	home, err := filepath.Abs(home)
	if err != nil {
		return err
	}
	info, err := os.Lstat(home)
	if err != nil {
		return err
	}
	if uid, _ := owner(info); !info.IsDir() || uid != os.Geteuid() {
		return fmt.Errorf("%s is not a folder of ours: %w", home, fs.ErrPermission)
	}
	user, err := Unprivileged()
	if err != nil {
		return err
	}
	socket, err := socketDir(home, user)
	if err != nil {
		return err
	}
	lock, err := lockFile(filepath.Join(home, "lock"))
	if err != nil {
		return err
	}
	s := &Server{cfg: Config{Home: home, Log: log}, user: user, data: filepath.Join(home, dataName), socket: socket, lock: lock}
	err = s.clearLeftovers(ctx)
	if err == nil {
		err = os.RemoveAll(home)
	}
	return errors.Join(err, s.release())
}
