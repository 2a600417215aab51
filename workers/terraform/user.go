package terraform

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"gantry.example/workers/terraform/shim"
)

// User is who an engine runs as, and everything it starts; a nil *User is the user of this process. Only root can run engines as
// somebody else.
//
// What such an engine works in is made of two kinds of folders. Its own (configuration, plugins, home, temporary files) belong
// to it, mode 0700. Those around them belong to us and it can only pass through them, so that it can never put a link where
// we expect a folder; in its own folders it can, and so we touch nothing there except with its rights: see Do.
type User struct {
	UID int `json:"uid"`
	GID int `json:"gid"`
}

// UserOf returns whom the engine of the attempt whose private folder is dir runs as, or would have; nil if none was prepared.
func UserOf(dir string) (*User, error) {
	spec, err := readSpec(dir)
	if err != nil || spec.UID == 0 {
		return nil, err
	}
	return &User{UID: spec.UID, GID: spec.GID}, nil
}

// readSpec reads what the attempt's shim is told; nothing if the attempt did not come to that.
func readSpec(dir string) (shim.Spec, error) {
	var spec shim.Spec
	b, err := os.ReadFile(filepath.Join(dir, specFile))
	if errors.Is(err, fs.ErrNotExist) {
		return spec, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &spec)
	}
	return spec, err
}

// MakeDir makes a private folder of u's. Its parent is ours.
func (u *User) MakeDir(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if u == nil {
		return nil
	}
	if err := u.own(dir); err != nil {
		return err
	}
	if err := u.Do(func() error { _, err := os.ReadDir(dir); return err }); err != nil {
		if place, linked := filepath.EvalSymlinks(dir); linked == nil {
			dir = place
		}
		return fmt.Errorf("the user that terraform runs as (uid %d) cannot get to its folder %s; let others pass through those above it (chmod o+x): %w", u.UID, dir, err)
	}
	return nil
}

// LetPass lets u through a folder of ours, without showing it what is there.
func (u *User) LetPass(dir string) error {
	if u == nil {
		return nil
	}
	return os.Chmod(dir, 0o711)
}

// Successor returns whom an engine has to run as that goes on in a folder that an earlier one left: whom it belongs to. The
// error is about a folder that an engine of u's kind (of this process, or not) has not made.
func (u *User) Successor(dir string) (*User, error) {
	info, err := os.Lstat(dir)
	if err != nil {
		return nil, err
	}
	uid, gid := ownerOf(info)
	if (u == nil) != (uid == os.Geteuid()) {
		return nil, fmt.Errorf("%s belongs to uid %d", dir, uid)
	}
	if u == nil {
		return nil, nil
	}
	return &User{UID: uid, GID: gid}, nil
}

func (u *User) own(path string) error {
	if u == nil {
		return nil
	}
	return os.Lchown(path, u.UID, u.GID)
}

// ownFolders gives u the folder dir and all below it, and no file: those may be links to what others use too. Nobody but us can
// get into dir before its turn comes, which is the last.
func (u *User) ownFolders(dir string) error {
	if u == nil {
		return nil
	}
	var folders []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			folders = append(folders, path)
		}
		return err
	})
	for _, folder := range slices.Backward(folders) {
		err = errors.Join(err, u.own(folder))
	}
	return err
}

// lend lets u read a file of ours that is in a folder of ours, and takes away what else u could do with it.
func (u *User) lend(path string) error {
	if u == nil {
		return nil
	}
	return errors.Join(os.Lchown(path, os.Geteuid(), u.GID), os.Chmod(path, 0o640))
}

// reaches reports for each path whether u can get to it.
func (u *User) reaches(paths []string) (reachable []bool, err error) {
	reachable = make([]bool, len(paths))
	err = u.Do(func() error {
		for i, path := range paths {
			_, err := os.Stat(path)
			reachable[i] = err == nil
		}
		return nil
	})
	return reachable, err
}
