package secrets

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// WriteFile0600 replaces the file at path with data in one step: a reader sees the old content or the new, and only
// the owner can read either. The folder must exist.
func WriteFile0600(path string, data []byte) error {
	temp, err := writeTemp(path, data)
	if err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(temp))
	}
	return syncFolder(filepath.Dir(path))
}

// createFile0600 is WriteFile0600 for a file that must not exist yet; else the error is fs.ErrExist.
func createFile0600(path string, data []byte) error {
	temp, err := writeTemp(path, data)
	if err != nil {
		return err
	}
	// A link, unlike a rename, fails when the name is taken, so two creators cannot overwrite each other.
	linkErr := os.Link(temp, path)
	if err := errors.Join(linkErr, os.Remove(temp)); err != nil {
		return fmt.Errorf("create %s: %w", path, err)
	}
	return syncFolder(filepath.Dir(path))
}

// writeTemp writes data to a synced file beside path and returns its name. os.CreateTemp makes it 0600.
func writeTemp(path string, data []byte) (name string, err error) {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return "", fmt.Errorf("write %s: %w", path, err)
	}
	_, writeErr := file.Write(data)
	if err := errors.Join(writeErr, file.Sync(), file.Close()); err != nil {
		return "", errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(file.Name()))
	}
	return file.Name(), nil
}

// syncFolder makes a new name in the folder survive a power cut.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	// Some file systems (and Windows) cannot sync a folder; the file itself is synced either way.
	_ = folder.Sync()
	return folder.Close()
}
