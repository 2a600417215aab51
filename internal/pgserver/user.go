package pgserver

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
)

// User is the account Postgres runs as. A nil *User means the account of this process.
type User struct {
	Name string
	UID  int
	GID  int
}

// Unprivileged returns the account to drop to: nil when this process is not root, else postgres, else nobody
// (Postgres refuses to run as root, and initdb insists on an account that has a name).
func Unprivileged() (*User, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		account, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.Atoi(account.Uid)
		gid, gidErr := strconv.Atoi(account.Gid)
		if uidErr == nil && gidErr == nil && uid != 0 {
			return &User{Name: name, UID: uid, GID: gid}, nil
		}
	}
	return nil, errors.New("no account for Postgres, which cannot run as root: there is neither a user postgres nor a user nobody:" +
		" run gantry as another user, create one of the two, or give --database-url")
}

// blockedBy returns the first folder on the way to path, or path itself, that u may not enter; "" when there is none.
// What does not exist yet does not block: it is going to be made.
func (u *User) blockedBy(path string) (string, error) {
	if u == nil {
		return "", nil
	}
	real, err := resolveExisting(path)
	if err != nil {
		return "", err
	}
	for dir := real; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return "", err
		}
		if info.IsDir() && !u.mayEnter(info) {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", nil
		}
	}
}

func (u *User) mayEnter(info fs.FileInfo) bool {
	uid, gid := owner(info)
	switch {
	case uid == u.UID:
		return info.Mode()&0o100 != 0
	case gid == u.GID:
		return info.Mode()&0o010 != 0
	default:
		return info.Mode()&0o001 != 0
	}
}

// resolveExisting returns the longest part of path that exists, without symbolic links.
func resolveExisting(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	for {
		real, err := filepath.EvalSymlinks(path)
		if err == nil {
			return real, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		path = filepath.Dir(path)
	}
}

// own gives path to u; nothing to do when Postgres runs as this process does.
func (u *User) own(path string) error {
	if u == nil {
		return nil
	}
	return os.Lchown(path, u.UID, u.GID)
}

// ownTree gives everything below dir to u, when dir belongs to another: the account to drop to can change between
// two starts, for example when a postgres package is installed.
func (u *User) ownTree(dir string) error {
	if u == nil {
		return nil
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if uid, _ := owner(info); uid == u.UID {
		return nil
	}
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return u.own(path)
	})
}

// makeDir makes dir (its parent exists) a folder of u's with mode 0700. A dir that another account owns is refused
// rather than used, for the case that it is below a folder everybody may write to.
func (u *User) makeDir(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if err == nil {
		return u.own(dir)
	}
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	uid, _ := owner(info)
	if !info.IsDir() || (uid != os.Geteuid() && (u == nil || uid != u.UID)) {
		return fmt.Errorf("%s is not a folder of Gantry's: remove it", dir)
	}
	return errors.Join(os.Chmod(dir, 0o700), u.own(dir))
}
