package terraform

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// workspacesFolder is where the engine's "local" backend keeps the states of workspaces that are not "default".
const workspacesFolder = stateFile + ".d"

// NamesWorkspace reports whether a configuration below dir may ask for its workspace's name. Of the engine's backends that
// can be used for a run only the file has workspaces, and the file is slow, so it is used for those configurations only. A
// comment that mentions the name costs time, nothing else. Modules that init downloads are not looked at. The files are read
// with user's rights.
func NamesWorkspace(user *User, dir string) (found bool, err error) {
	err = user.Do(func() error {
		found, err = mentionsWorkspace(dir)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("look for the workspace's name in the configuration: %w", err)
	}
	return found, nil
}

func mentionsWorkspace(dir string) (found bool, err error) {
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && e.Name() == ".terraform":
			return fs.SkipDir
		case !e.Type().IsRegular() || !strings.Contains(e.Name(), ".tf") && !strings.Contains(e.Name(), ".tofu"):
			return nil
		}
		text, err := os.ReadFile(path)
		if err == nil && (bytes.Contains(text, []byte("terraform.workspace")) || bytes.Contains(text, []byte("tofu.workspace"))) {
			found = true
			err = fs.SkipAll
		}
		return err
	})
	return found, err
}

// linkWorkspace puts the state where the engine has that of the workspace, and leads the name by which everything else knows
// it there. The link is not the engine's: it removes a state file that is empty when it lets go of it.
func (s *Session) linkWorkspace() error {
	if s.cfg.Workspace == "" {
		return nil
	}
	known, own := filepath.Join(s.cfg.Root, stateFile), filepath.Join(s.cfg.Root, workspacesFolder, s.cfg.Workspace, stateFile)
	if err := os.MkdirAll(filepath.Dir(own), 0o700); err != nil {
		return fmt.Errorf("prepare the work folder: %w", err)
	}
	if err := os.Rename(known, own); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("prepare the work folder: %w", err)
	}
	return os.Symlink(own, known)
}
