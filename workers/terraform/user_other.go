//go:build !linux

package terraform

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Do calls f. Other users are for Linux only.
func (u *User) Do(f func() error) error {
	if u == nil {
		return f()
	}
	return fmt.Errorf("act as uid %d: %w", u.UID, errors.ErrUnsupported)
}

// ownerOf is asked only about what this process made.
func ownerOf(fs.FileInfo) (uid, gid int) { return os.Geteuid(), os.Getegid() }
